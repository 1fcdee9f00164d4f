"""Fields for points: what the pure functions say of the history, whoever asks, whenever, and together with whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from heartbeat.insights.company import Company, company_of
from heartbeat.insights.fields import FIELDS, fields
from heartbeat.insights.insight import Judge, spans_of
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.insight_fields import InsightFields, as_text
from tests.sinks.model import open_history

STEP = 900_000
NEWEST = 1_760_000_400_000 // STEP * STEP
FEEDS = {"a": ["demo"], "b": ["demo", "bluesky"], "c": ["bluesky"]}


def window(task: str, start_ms: int, posts: int, *, revision: int = 1, size_s: int = 900) -> Pulse:
    figures = Figures(posts, 1, posts - posts // 4, 0, posts // 4, 0, 500_000 * posts, 0, 250_000 * posts)
    return Pulse(task, size_s, start_ms, revision, revision > 0, 0, figures, {}, {})


def store(folder: Path, windows: list[Pulse], first_offset: int = 0) -> None:
    history = open_history(folder)
    try:
        asyncio.run(history.store_windows(("pulse", 0), list(enumerate(windows, first_offset))))
    finally:
        history.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = Random(4)
    store(
        tmp_path,
        [
            window(task, start_ms, random.randint(20, 60))
            for task in (*FEEDS, "replayed")
            for start_ms in range(NEWEST - 800 * STEP, NEWEST + STEP, STEP)
        ],
    )
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Iterator[HistoryReader]:
    with HistoryReader(folder / "history.db") as opened:
        yield opened


def test_each_is_what_is_said_of_it_alone(reader: HistoryReader) -> None:
    keys = [(task, 900, NEWEST - back * STEP) for back in (0, 1, 7) for task in (*FEEDS, "replayed")]
    found = InsightFields(reader, FEEDS).of(keys)
    assert list(found) == keys
    for task, _, start_ms in keys:
        past = reader.around(900).past(task, company_of(task, FEEDS), spans_of(900, start_ms))
        assert found[task, 900, start_ms] == fields(Judge(past).insight(start_ms, final=True))
    everything = found["b", 900, NEWEST - STEP]
    assert list(everything) == list(FIELDS)
    assert all(type(value) is float for value in everything.values())
    assert list(found["replayed", 900, NEWEST - STEP]) == list(FIELDS[1:])
    shares = [found[task, 900, NEWEST]["voice_share"] for task in FEEDS]
    assert sum(shares) == pytest.approx(1)


def test_what_comes_later_changes_nothing_and_a_correction_does(folder: Path, reader: HistoryReader) -> None:
    asked = InsightFields(reader, FEEDS)
    key = "a", 900, NEWEST
    before = asked.of([key])
    store(folder, [window(task, NEWEST + later * STEP, 500) for task in FEEDS for later in (1, 2, 3)], 10_000)
    assert asked.of([key]) == before
    store(folder, [window("a", NEWEST - STEP, 1, revision=2)], 20_000)
    after = asked.of([key])
    assert after[key]["change_prev"] > before[key]["change_prev"]
    assert after[key]["change_day"] == before[key]["change_day"]


def test_what_is_not_stored_as_closed_has_none(folder: Path, reader: HistoryReader) -> None:
    opened = NEWEST + STEP
    store(folder, [window("a", opened, 9, revision=0), window("a", opened, 9, size_s=10)], 10_000)
    assert InsightFields(reader, FEEDS).of([("a", 900, opened), ("a", 900, opened + STEP), ("a", 10, opened)]) == {}


def test_company_is_who_is_fed_alike() -> None:
    assert company_of("a", FEEDS) == Company(("a", "b"), ("a", "b", "c"), tuple(FEEDS["a"]))
    assert company_of("b", FEEDS) == Company(("a", "b", "c"), ("a", "b", "c"), tuple(FEEDS["b"]))
    assert company_of("replayed", FEEDS) == Company(("replayed",))


def test_they_are_floats_in_line_protocol() -> None:
    assert as_text({"voice_share": 0.25, "spike_z": -4.5, "change_day": 1.0}) == (
        ",voice_share=0.25,spike_z=-4.5,change_day=1.0"
    )
    assert as_text({}) == ""
