"""Retention of the embedded log: what goes, what stays, and that nothing of it is left on the disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heartbeat.engine import retention as module
from heartbeat.engine.log import TP, Advance, Append, Put, UnitWrite
from heartbeat.engine.retention import Removed, Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogUnavailable
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic
from tests.engine.log_writer import verify_sizes

HOUR_MS = 3_600_000
DAY = Topic("day", retention_ms=24 * HOUR_MS)
POSTS = Topic("posts", retention_ms=24 * HOUR_MS, holds_content=True)
LETTERS = Topic("letters", retention_ms=None, holds_content=True)
EVER = Topic("ever", retention_ms=None)
NEWEST = Topic("newest", retention_ms=None, compact=True)
SECRET = b"a text that is to be forgotten"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def log(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteLog]:
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    for topic in (DAY, POSTS, LETTERS, EVER, NEWEST):
        log.create_topic(topic, 2)
    yield log
    verify_sizes(log)
    log.close()


async def append(log: SqliteLog, topic: Topic, *values: bytes, partition: int = 0) -> None:
    await log.write(UnitWrite([Append(topic.name, partition, b"k", value) for value in values]))


async def commit(log: SqliteLog, group: str, tp: TP, to: int) -> None:
    await log.write(UnitWrite(advances=[Advance(group, tp, log.committed(group, tp), to)]))


def begins(log: SqliteLog) -> dict[str, int]:
    return {topic: log.begin_offset(TP(topic, 0)) for topic in log.topics()}


async def test_age_decides(log: SqliteLog, clock: FakeClock) -> None:
    """Counted from the time of append; content has a limit of its own; compact topics keep what they have."""
    for topic in (DAY, POSTS, LETTERS, EVER, NEWEST):
        await append(log, topic, b"old", b"old")
    clock.advance(5 * 3600)
    for topic in (DAY, POSTS, LETTERS, EVER, NEWEST):
        await append(log, topic, b"newer")
    retention = Retention(log, clock, content_ms=6 * HOUR_MS)
    before = begins(log)
    assert await retention.run_once() == Removed()
    assert begins(log) == before
    clock.advance(3600)
    removed = await retention.run_once()
    assert removed.messages == 4
    assert begins(log) == before | {"posts": 2, "letters": 2}
    clock.advance(18 * 3600)
    await retention.run_once()
    assert begins(log) == before | {"day": 2, "posts": 3, "letters": 3}
    assert [r.value for r in await log.fetch(TP("day", 0), 0, 9, 0)] == [b"newer"]
    assert [r.value for r in await log.fetch(TP("ever", 0), 0, 9, 0)] == [b"old", b"old", b"newer"]
    assert log.sizes()["posts"] == 0
    assert log.end_offset(TP("posts", 0)) == 3
    await append(log, POSTS, b"next")
    assert [r.offset for r in await log.fetch(TP("posts", 0), 0, 9, 0)] == [3]


async def test_what_is_unread_stays(log: SqliteLog, clock: FakeClock) -> None:
    """By any registered group, also by one that has never committed; groups that are not registered do not count."""
    log.register_group("fast", "posts")
    log.register_group("slow", "posts")
    for value in (b"0", b"1", b"2"):
        await append(log, POSTS, value)
    tp = TP("posts", 0)
    clock.advance(1_000 * 3600)
    retention = Retention(log, clock, content_ms=HOUR_MS)
    await commit(log, "fast", tp, 3)
    await commit(log, "stranger", tp, 0)
    assert (await retention.run_once()).messages == 0
    await commit(log, "slow", tp, 1)
    assert (await retention.run_once()).messages == 1
    assert [r.value for r in await log.fetch(tp, 0, 9, 0)] == [b"1", b"2"]
    log.forget_group("slow", "posts")
    assert log.committed("slow", tp) is None
    assert log.groups("posts") == {"fast"}
    assert (await retention.run_once()).messages == 2
    assert log.begin_offset(tp) == log.end_offset(tp) == 3


async def test_a_unit_read_in_part_stays(log: SqliteLog, clock: FakeClock) -> None:
    """Messages of one unit lie in one row: the row goes when all of it has been read."""
    log.register_group("g", "day")
    await append(log, DAY, b"0", b"1", b"2")
    await commit(log, "g", TP("day", 0), 2)
    clock.advance(25 * 3600)
    retention = Retention(log, clock, content_ms=HOUR_MS)
    assert (await retention.run_once()).messages == 0
    await commit(log, "g", TP("day", 0), 3)
    assert (await retention.run_once()).messages == 3


async def test_groups_outlive_a_restart(clock: FakeClock, tmp_path: Path) -> None:
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    log.create_topic(POSTS, 1)
    log.register_group("g", "posts")
    log.register_group("g", "posts")
    await append(log, POSTS, b"0")
    log.close()
    clock.advance(1_000 * 3600)
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    try:
        assert log.groups("posts") == {"g"}
        assert (await Retention(log, clock, content_ms=1).run_once()).messages == 0
    finally:
        log.close()


async def test_a_clock_that_was_ahead_for_a_while(log: SqliteLog, clock: FakeClock) -> None:
    """Its messages go with those that came after them, not years later; a clock that is behind removes nothing."""
    retention = Retention(log, clock, content_ms=10**15)
    await append(log, DAY, b"before")
    clock.advance(1_000 * 24 * 3600)
    await append(log, DAY, b"ahead")
    clock.advance(-1_000 * 24 * 3600)
    await append(log, DAY, b"after")
    clock.advance(-48 * 3600)
    assert (await retention.run_once()).messages == 0
    clock.advance((48 + 25) * 3600)
    assert (await retention.run_once()).messages == 3


async def test_many_small_steps(log: SqliteLog, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between which units of others go through."""
    monkeypatch.setattr(module, "STEP_BYTES", 10_000)
    for _ in range(100):
        await append(log, DAY, bytes(1000), partition=1)
    clock.advance(25 * 3600)
    run = asyncio.ensure_future(Retention(log, clock, content_ms=HOUR_MS).run_once())
    between = 0
    while not run.done():
        await append(log, EVER, b"x")
        between += 1
    assert (await run).messages == 100
    assert between >= 5
    assert log.sizes()["day"] == 0


async def test_a_topic_at_its_cap_loses_what_has_been_read(log: SqliteLog, clock: FakeClock) -> None:
    """The oldest first, before its time; what is unread stays even so."""
    log.register_group("g", "posts")
    for number in range(100):
        await append(log, POSTS, bytes(1000), partition=number % 2)
    for partition in (0, 1):
        await commit(log, "g", TP("posts", partition), 20)
    retention = Retention(log, clock, content_ms=HOUR_MS, max_topic_bytes=100_000)
    removed = await retention.run_once()
    assert removed.messages > 0
    assert 80_000 < log.sizes()["posts"] <= 90_000
    retention = Retention(log, clock, content_ms=HOUR_MS, max_topic_bytes=1_000)
    await retention.run_once()
    assert [log.begin_offset(TP("posts", partition)) for partition in (0, 1)] == [20, 20]


async def test_all_topics_together_have_a_cap(log: SqliteLog, clock: FakeClock) -> None:
    """The largest gives way."""
    for _ in range(50):
        await append(log, POSTS, bytes(1000))
        await append(log, DAY, bytes(1000))
    for _ in range(10):
        await append(log, EVER, bytes(1000))
    retention = Retention(log, clock, content_ms=HOUR_MS, max_log_bytes=80_000)
    await retention.run_once()
    sizes = log.sizes()
    assert 60_000 < sum(sizes.values()) <= 72_000
    assert sizes["ever"] > 10_000
    assert sizes["posts"] < 32_000
    assert sizes["day"] < 32_000
    assert (await retention.run_once()).messages == 0


async def test_nothing_is_left_on_the_disk(log: SqliteLog, clock: FakeClock, tmp_path: Path) -> None:
    """Neither in the file nor in the WAL; what was replaced or removed from state and compact topics is gone too."""

    def traces() -> int:
        return sum(file.read_bytes().count(SECRET) for file in tmp_path.iterdir())

    for size in (1, 3, 400):
        await append(log, POSTS, *[SECRET * size] * 20)
    await append(log, NEWEST, SECRET)
    await log.write(UnitWrite(puts=[Put("seen", 0, SECRET + b"%d" % n, SECRET * 50) for n in range(300)]))
    assert traces() > 0
    await append(log, NEWEST, b"harmless")
    await log.write(UnitWrite(puts=[Put("seen", 0, SECRET + b"%d" % n, None) for n in range(300)]))
    clock.advance(2 * 3600)
    removed = await Retention(log, clock, content_ms=HOUR_MS).run_once()
    assert removed.messages == 60
    assert traces() == 0


async def test_free_pages_go_back_to_the_disk(
    log: SqliteLog, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_PAGES", 100)
    for _ in range(30):
        await append(log, POSTS, *[os.urandom(50_000)] * 10)
    await append(log, EVER, b"stays")
    clock.advance(2 * 3600)
    retention = Retention(log, clock, content_ms=HOUR_MS)
    removed = await retention.run_once()
    assert removed.freed_bytes > 10_000_000
    await retention.run_once()
    clock.advance(3600)
    await append(log, POSTS, b"something")
    clock.advance(2 * 3600)
    await retention.run_once()
    assert (tmp_path / "log.db").stat().st_size < 2_000_000
    assert [r.value for r in await log.fetch(TP("ever", 0), 0, 9, 0)] == [b"stays"]


async def test_a_closed_log_says_so(log: SqliteLog, clock: FakeClock, tmp_path: Path) -> None:
    await append(log, POSTS, b"x")
    other = SqliteLog.open(tmp_path / "log.db", clock=clock, read_only=True)
    clock.advance(48 * 3600)
    with pytest.raises(LogUnavailable, match="for reading alone"):
        await Retention(other, clock, content_ms=1).run_once()
    other.close()
