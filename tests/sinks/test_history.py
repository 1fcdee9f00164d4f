"""The history holds what its records say: whatever their batches, their interleaving, and what comes again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.errors import HistoryError, Retry
from heartbeat.records import Late, Pulse, Scored
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rows import Summary
from tests.sinks.model import SIZES, T0, Model, StillClock, all_pulses, all_windows, late, open_history, pulse, scored

POSTS, WINDOWS = ("sentiment", 0), ("pulse", 0)
OVER_MS = T0 + 2 * 86_400_000


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["post", "post", "post", "post", "delete", "delete", "publish", "publish", "seal"]),
        st.sampled_from(["t", "ü"]),
        st.sampled_from(["1", "2", "ж", "=4", "5", "6"]),
        st.integers(0, 25),
        st.sampled_from([("x", "en"), ("x", "de"), ("reddit", "en")]),
        st.sampled_from([(0.7, "positive"), (0.123456, "mixed"), (0.5, "negative"), (0.0, "neutral"), (None, None)]),
        st.sampled_from([None, "", "text\0 with ü", "x" * 300]),
    ),
    min_size=15,
    max_size=50,
)


def streams(steps: list[Any]) -> tuple[list[Scored], list[Pulse | Late]]:
    """What `sentiment` and `pulse` write about some posts: added, edited, taken back, before and after sealing."""
    sentiment: list[Scored] = []
    pulses: list[Pulse | Late] = []
    live: dict[tuple[str, str], Scored] = {}
    counted: set[Scored] = set()
    sealed_ms = T0
    revisions: dict[tuple[str, int, int], int] = {}

    def publish(task: str) -> None:
        for size_s in SIZES:
            starts = {p.time_ms - p.time_ms % (1000 * size_s) for p in counted if p.task == task}
            touched = starts | {start for t, size, start in revisions if (t, size) == (task, size_s)}
            for start_ms in touched:
                if start_ms < sealed_ms:
                    continue
                key = (task, size_s, start_ms)
                revision = revisions[key] = revisions.get(key, -1) + 1
                inside = [p for p in counted if p.task == task and start_ms <= p.time_ms < start_ms + 1000 * size_s]
                pulses.append(pulse(size_s, start_ms, inside, task=task, revision=revision))

    def send(post: Scored) -> None:
        sentiment.append(post)
        if post.time_ms < sealed_ms:
            pulses.append(late(post))
        elif post.op == "add":
            counted.add(post)
        else:
            counted.discard(post._replace(op="add"))

    for step, task, post_id, at, (source, lang), (pos, label), content in steps:
        known = live.get((task, post_id))
        match step:
            case "post":
                if known:
                    send(known._replace(op="retract"))
                new = live[task, post_id] = scored(
                    post_id,
                    task=task,
                    rev=known.rev + 1 if known else 0,
                    time_ms=known.time_ms if known else T0 + at * 7_000,
                    source=known.source if known else source,
                    lang=lang,
                    pos=pos,
                    label=label,
                    content=content,
                )
                send(new)
            case "delete" if known:
                send(known._replace(op="retract"))
                del live[task, post_id]
            case "publish":
                publish(task)
            case "seal":
                publish("t")
                publish("ü")
                sealed_ms += 60_000
    return sentiment, pulses


async def write(
    folder: Path, random: Random, sentiment: list[Scored], pulses: list[Pulse | Late], *, add_up: bool
) -> None:
    """Write both in batches of any size, in any interleaving, some of them again, the file opened anew in between."""
    done = [0, 0]
    all_records: list[list[Any]] = [sentiment, pulses]
    history = open_history(folder, content_hours=1_000)
    try:
        while done[0] < len(sentiment) or done[1] < len(pulses):
            which = random.choice([at for at in (0, 1) if done[at] < len(all_records[at])])
            start = max(done[which] - random.randint(0, 4), 0)
            end = min(max(done[which] + random.randint(-3, 9), start), len(all_records[which]))
            batch = all_records[which][start:end]
            if which == 0:
                await history.store_posts(POSTS, [(start + at, T0, post) for at, post in enumerate(batch)])
            else:
                await history.store_windows(WINDOWS, [(start + at, record) for at, record in enumerate(batch)])
            done[which] = max(end, done[which])
            if random.random() < 0.1:
                history.close()
                history = open_history(folder, content_hours=1_000)
            if random.random() < 0.1:
                await history.maintain(OVER_MS)  # adds a day up, which may change after that
        while add_up and await history.maintain(OVER_MS):
            pass
    finally:
        history.close()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.large_base_example])
@given(STEPS, st.randoms(use_true_random=False), st.integers(1, 4), st.booleans())
def test_any_interleaving_and_repetition_gives_what_the_model_has(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], random: Random, page_rows: int, add_up: bool
) -> None:
    sentiment, pulses = streams(steps)
    folder = tmp_path_factory.mktemp("history")
    asyncio.run(write(folder, random, sentiment, pulses, add_up=add_up))
    model = Model()
    for post in sentiment:
        model.sentiment(post)
    for record in pulses:
        model.pulse(record)
    with HistoryReader(folder / "history.db", page_rows=page_rows) as reader:
        assert list(reader.posts(content=True)) == model.post_rows()
        assert all_windows(reader) == model.window_rows()
        assert all_pulses(reader) == {key: window._replace(late=0) for key, window in model.windows.items()}
        for task in reader.tasks():
            if summary := reader.summary(task):
                assert summary.late == sum(1 for mark in model.late if mark[0] == task)
                assert summary.total == sum(row.total for row in reader.windows(task, size_s=reader.sizes(task)[-1]))
        newest = [row for task in reader.tasks() for row in reader.posts(task, newest_first=True, content=True)]
        assert newest == sorted(
            sorted(model.post_rows(), key=lambda row: (row.time, row.source, row.id), reverse=True),
            key=lambda row: row.task,
        )


async def test_a_late_retraction_subtracts_once_however_often_it_comes(tmp_path: Path) -> None:
    one, two = scored("1"), scored("2", pos=0.5, source="reddit", lang="de")
    window = pulse(10, T0, [one, two])
    gone: list[tuple[int, Pulse | Late]] = [(0, window), (1, late(one._replace(op="retract")))]
    history = open_history(tmp_path)
    await history.store_windows(WINDOWS, gone)
    await history.store_windows(WINDOWS, gone[1:])
    history.close()
    history = open_history(tmp_path)
    await history.store_windows(WINDOWS, gone)
    with HistoryReader(history.path) as reader:
        (row, *_) = reader.windows()
        assert (row.total, row.positive, row.pos_mean, row.revision) == (1, 1, 0.5, 2)
        assert [row.key for row in reader.windows(by="lang")] == ["de"] * 3  # the window, its hour, its day
        assert [row.key for row in reader.windows(by="source")] == ["reddit"] * 3
    await history.store_windows(WINDOWS, [(2, late(two._replace(op="retract")))])
    with HistoryReader(history.path) as reader:
        assert list(reader.windows()) == []  # a window without posts is not stored
    history.close()


async def test_batches_that_wait_share_a_transaction_and_one_bad_message_fails_alone(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    good = [history.store_posts(("sentiment", part), [(0, T0, scored(f"{part}"))]) for part in range(8)]
    bad = history.store_posts(("sentiment", 9), [(0, T0, scored("bad", pos=float("nan")))])
    results = await asyncio.gather(*good, bad, return_exceptions=True)
    history.close()
    assert results[:-1] == [None] * 8 and isinstance(results[-1], ValueError)
    with HistoryReader(history.path) as reader:
        assert [row.id for row in reader.posts()] == [f"{part}" for part in range(8)]


async def test_a_log_that_was_deleted_is_not_taken_for_one_that_repeats_itself(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    await history.store_posts(POSTS, [(at, T0, scored(f"{at}")) for at in range(5)])
    history.align({POSTS: 5})
    await history.store_posts(POSTS, [(4, T0, scored("again"))])
    history.align({POSTS: 0})
    await history.store_posts(POSTS, [(0, T0, scored("new"))])
    history.close()
    with HistoryReader(history.path) as reader:
        assert [row.id for row in reader.posts()] == ["0", "1", "2", "3", "4", "new"]


async def test_a_writer_beside_us_is_noticed(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    await history.store_posts(POSTS, [(0, T0, scored("1"))])
    with sqlite3.connect(history.path, isolation_level=None) as other:
        other.execute("UPDATE offsets SET next = 7")
    other.close()
    with pytest.raises(Retry, match="another process"):
        await history.store_posts(POSTS, [(1, T0, scored("2"))])
    await history.store_posts(POSTS, [(1, T0, scored("2"))])  # what it left is known now
    history.close()
    with HistoryReader(history.path) as reader:
        assert [row.id for row in reader.posts()] == ["1"]


async def test_readers_see_commits_at_once_and_never_hold_the_writer(tmp_path: Path) -> None:
    clock = StillClock()
    history = open_history(tmp_path, clock)
    await history.store_posts(POSTS, [(at, T0, scored(f"{at:03}", time_ms=T0 + at)) for at in range(50)])
    with HistoryReader(history.path, page_rows=10) as reader:
        rows = reader.posts()
        first = next(rows)
        await history.store_posts(POSTS, [(50, T0, scored("999", time_ms=T0 + 99))])
        with sqlite3.connect(history.path) as other:
            busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        other.close()
        assert busy == 0
        assert [first.id, *(row.id for row in rows)] == [*(f"{at:03}" for at in range(50)), "999"]
    history.close()


async def test_reading_an_empty_history_and_unknown_tasks(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no history at"):
        HistoryReader(tmp_path / "history.db")
    open_history(tmp_path).close()
    with HistoryReader(tmp_path / "history.db") as reader:
        assert (reader.tasks(), reader.sizes(), reader.summary("t")) == ([], [], None)
        assert not any([*reader.posts(), *reader.windows(), *reader.posts("t"), *reader.windows("t", size_s=10)])


async def test_ranges_are_half_open_and_limits_hold_over_tasks(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    posts = [scored(f"{at}", task=task, time_ms=T0 + at) for task in ("a", "b") for at in range(5)]
    await history.store_posts(POSTS, [(at, T0, post) for at, post in enumerate(posts)])
    windows: list[Pulse | Late] = [pulse(10, T0 + 10_000 * at, posts[:2], task="a") for at in range(5)]
    await history.store_windows(WINDOWS, list(enumerate(windows)))
    history.close()
    with HistoryReader(history.path, page_rows=2) as reader:
        assert [p.id for p in reader.posts("a", from_ms=T0 + 1, to_ms=T0 + 3)] == ["1", "2"]
        assert [(p.task, p.id) for p in reader.posts(limit=6)][-2:] == [("a", "4"), ("b", "0")]
        assert [p.id for p in reader.posts("b", limit=3, newest_first=True)] == ["4", "3", "2"]
        assert list(reader.posts(limit=0)) == []
        starts = [w.window_start - T0 for w in reader.windows("a", size_s=10, from_ms=T0 + 10_000, to_ms=T0 + 30_000)]
        assert starts == [10_000, 20_000]
        assert reader.sizes("a") == [10, 3_600, 86_400] and reader.sizes("b") == []
        assert reader.summary("a") == Summary("a", T0, T0 + 50_000, 10, 0, 0, (10,)) and reader.summary("b") is None
