"""What insights are read from: a real file against a plain loop over the windows that were written."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.insights.company import Company
from heartbeat.insights.insight import Past
from heartbeat.insights.voice import Said
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.history_reader import HistoryReader
from tests.sinks.model import open_history

TASKS = ["t", "ü", "=1", "never"]
figures = st.builds(
    lambda positive, negative, unscored, sums: Figures(
        positive + negative, unscored, positive, 0, negative, 0, *sums if positive + negative else (0, 0, 0)
    ),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.tuples(*[st.integers(0, 10**7)] * 3),
)
windows = st.dictionaries(
    st.tuples(st.sampled_from(TASKS[:3]), st.sampled_from([10, 60]), st.integers(-5, 30)),
    st.tuples(figures, st.booleans()),
    max_size=60,
)
spans = st.lists(st.tuples(st.integers(-400, 400), st.integers(0, 300)), max_size=3).map(
    lambda pairs: [(1000 * start, 1000 * (start + length)) for start, length in pairs]
)


async def write(folder: Path, stored: dict[tuple[str, int, int], tuple[Figures, bool]]) -> None:
    history = open_history(folder)
    try:
        records = [
            Pulse(task, size_s, 1000 * size_s * at, 1, final, 0, each, {}, {})
            for (task, size_s, at), (each, final) in stored.items()
        ]
        await history.store_windows(("pulse", 0), list(enumerate(records)))
    finally:
        history.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    windows, spans, st.sampled_from(TASKS), st.sets(st.sampled_from(TASKS)), st.none() | st.sets(st.sampled_from(TASKS))
)
def test_it_is_what_was_written(
    tmp_path_factory: object,
    stored: dict[tuple[str, int, int], tuple[Figures, bool]],
    asked: list[tuple[int, int]],
    task: str,
    alike: set[str],
    compared: set[str] | None,
) -> None:
    folder: Path = tmp_path_factory.mktemp("history")  # type: ignore[attr-defined]
    asyncio.run(write(folder, stored))
    mine = {(name, 60_000 * at): each for (name, size_s, at), each in stored.items() if size_s == 60}

    def inside(start_ms: int) -> bool:
        return any(first <= start_ms < last for first, last in asked)

    def together(names: set[str]) -> dict[int, int]:
        posts: dict[int, int] = {}
        for (name, start_ms), (each, _) in mine.items():
            if name in names and inside(start_ms):
                posts[start_ms] = posts.get(start_ms, 0) + each.scored + each.unscored
        return posts

    with HistoryReader(folder / "history.db") as reader:
        around = reader.around(60)
        past = around.past(task, Company(tuple(alike), None if compared is None else tuple(compared)), asked)
        assert past == Past(
            60,
            {start: each for (name, start), (each, _) in mine.items() if name == task and inside(start)},
            together(alike),
            min((start for name, start in mine if name == task), default=None),
            None if compared is None else together(compared),
            {start for (name, start), (_, final) in mine.items() if name == task and inside(start) and not final},
        )
        said = [
            Said(name, start, each.scored + each.unscored, final)
            for (name, start), (each, final) in mine.items()
            if name in alike and 0 <= start < 600_000
        ]
        assert sorted(around.said(sorted(alike), 0, 600_000)) == sorted(said)
        closed = [start for (name, start), (_, final) in mine.items() if name in alike and final]
        assert around.newest(sorted(alike)) == max(closed, default=None)
