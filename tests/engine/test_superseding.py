"""What is superseded goes, and whoever reads on arrives at the same: against a plain list of what was appended."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.engine import erasure
from heartbeat.engine import superseding as module
from heartbeat.engine.log import ONLY_FOR, TP, Advance, Append, LogRecord, UnitWrite
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.superseding import Superseding
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic
from tests.engine.log_writer import verify_sizes

MEMORY: Final = "/dev/shm"
MINUTE_MS: Final = 60_000
TOPIC: Final = Topic("states", retention_ms=None, superseded_ms=MINUTE_MS)
HERE: Final = TP("states", 1)
READER: Final = "reader"

keys = st.none() | st.sampled_from([b"a", b"b", b"c", b"d" * 30])
steps = st.one_of(
    st.lists(keys, min_size=1, max_size=8),
    st.tuples(st.just("advance"), st.sampled_from([1, 30, 61, 200, -100])),
    st.tuples(st.just("read"), st.integers(1, 6)),
    st.tuples(st.just("supersede"), st.sampled_from([0, 61, 200])),
    st.tuples(st.just("reopen"), st.just(0)),
)


@contextmanager
def worth_it_from(share: float) -> Iterator[None]:
    before, module.SHARE = module.SHARE, share
    try:
        yield
    finally:
        module.SHARE = before


class Story:
    """A partition, what was appended to it, and a group that reads it now and then."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock = folder / "log.db", FakeClock()
        self.written: list[LogRecord] = []
        self.seen: list[LogRecord] = []
        self.open()
        self.log.register_group(READER, TOPIC.name)

    def open(self) -> None:
        self.log = SqliteLog.open(self.path, clock=self.clock)
        self.log.create_topic(TOPIC, 2)

    async def append(self, names: list[bytes | None]) -> None:
        values = [b"%d" % (len(self.written) + at) for at in range(len(names))]
        headers = [(("h", b"x"),) if name == b"a" else () for name in names]
        appends = [Append(*HERE, name, value, head) for name, value, head in zip(names, values, headers, strict=True)]
        offsets = await self.log.write(UnitWrite(appends))
        now_ms = self.clock.now_ms()
        self.written += [LogRecord(at, now_ms, *append[2:]) for at, append in zip(offsets, appends, strict=True)]

    async def read(self, limit: int) -> bool:
        """A few messages, as a pipeline does: from where the group stands, moved on by compare-and-set."""
        at = self.log.committed(READER, HERE)
        found = await self.log.fetch(HERE, self.log.begin_offset(HERE) if at is None else at, limit, 0)
        if found:
            await self.log.write(UnitWrite(advances=[Advance(READER, HERE, at, found[-1].offset + 1)]))
            self.seen += found
        return bool(found)

    async def supersede(self) -> int:
        """Nothing goes that may not, and everything that may if that is worth it."""
        had = await self.log.fetch(HERE, 0, 10**6, 0)
        size = self.log.sizes()[TOPIC.name]
        removed, freed = await Superseding(self.log, self.clock, {TOPIC.name: MINUTE_MS}).run_once()
        kept = await self.log.fetch(HERE, 0, 10**6, 0)
        assert kept == [record for record in had if record in kept]
        gone = [record for record in had if record not in kept]
        assert (len(gone), size - self.log.sizes()[TOPIC.name]) == (removed, freed)
        newest = {record.key: record.offset for record in had}
        old_ms = self.clock.now_ms() - MINUTE_MS
        settled = max((record.offset for record in had if record.timestamp_ms <= old_ms), default=-1)
        assert all(record.key is not None and record.offset < min(newest[record.key], settled) for record in gone)
        assert kept[:1] == had[:1]
        assert self.log.count(HERE) == len(kept)
        last = {record.key: record.offset for record in had if record.offset <= settled}
        superseded = [r for r in kept[1:] if r.key is not None and r.offset < last.get(r.key, -1)]
        if module.SHARE == 0:
            assert not superseded
        return len(gone)

    async def check(self) -> None:
        """Both who reads now and who has read all along know the newest of each key, and all that have none."""
        while await self.read(5):
            pass
        verify_sizes(self.log)
        for reader in (self.seen, await self.log.fetch(HERE, 0, 10**6, 0)):
            assert [r.offset for r in reader] == sorted({r.offset for r in reader})
            assert {r.key: r for r in reader if r.key} == {r.key: r for r in self.written if r.key}
            assert [r for r in reader if r.key is None] == [r for r in self.written if r.key is None]
            assert all(r == self.written[r.offset] for r in reader)
        assert self.log.end_offset(HERE) == len(self.written)
        assert (self.log.committed(READER, HERE) or 0) == len(self.written)


async def live(story: Story, todo: list[object]) -> int:
    gone = 0
    for step in todo:
        if isinstance(step, list):
            await story.append(step)
            continue
        assert isinstance(step, tuple)
        what, how_much = step
        if what == "advance":
            story.clock.advance(how_much)
        elif what == "read":
            await story.read(how_much)
        elif what == "reopen":
            story.log.close()
            story.open()
        else:
            story.clock.advance(how_much)
            gone += await story.supersede()
    await story.check()
    return gone


@given(st.lists(steps, max_size=30), st.sampled_from([0.0, 0.5]))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_newest_of_each_key_stays_and_offsets_do(todo: list[object], share: float) -> None:
    with (
        worth_it_from(share),
        tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder,
    ):
        story = Story(Path(folder))
        try:
            asyncio.run(live(story, todo))
        finally:
            story.log.close()


@pytest.mark.parametrize("hours", [1, 4])
async def test_what_nobody_reads_does_not_grow_with_time(tmp_path: Path, hours: int) -> None:
    """20 windows that change every second, upkeep every half minute: what is kept follows the windows alone."""
    story = Story(tmp_path)
    retention = Retention(story.log, story.clock, content_ms=1, superseded_ms={TOPIC.name: MINUTE_MS})
    most = 0
    for minute in range(hours * 60):
        await story.append([b"window %d %d" % (minute // 15, n % 20) for n in range(20 * 60)])
        story.clock.advance(60)
        await retention.run_once()
        most = max(most, len(await story.log.fetch(HERE, 0, 10**6, 0)))
    windows = hours * 4 * 20
    assert most < 3 * 20 * 60 + 2 * windows
    assert story.log.end_offset(HERE) == hours * 60 * 1200
    story.clock.advance(600)
    with worth_it_from(0):
        await retention.run_once()
    assert len(await story.log.fetch(HERE, 0, 10**6, 0)) == windows + 1  # the first message, which stays
    await story.check()
    story.log.close()


async def test_a_chunk_of_which_something_was_erased_stays_as_it_is(tmp_path: Path) -> None:
    log = SqliteLog.open(tmp_path / "log.db", clock=(clock := FakeClock()))
    log.create_topic(TOPIC, 2)
    await log.write(UnitWrite([Append(*HERE, key, b"1") for key in (b"first", b"a", b"b", b"c", b"d")]))
    await log.write(UnitWrite([Append(*HERE, key, b"2") for key in (b"a", b"b", b"b")]))
    gone = await erasure.find(log, [TOPIC.name], lambda record: record.offset in (0, 2))
    assert await erasure.erase(log, gone) == 2
    await log.write(UnitWrite([Append(*HERE, b"c", b"3")]))
    clock.advance(3600)
    with worth_it_from(0.0):
        removed, _ = await Superseding(log, clock, {TOPIC.name: MINUTE_MS}).run_once()
    left = [(record.offset, record.key, record.value) for record in await log.fetch(HERE, 0, 100, 0)]
    assert removed == 1
    assert left == [
        (1, b"a", b"1"), (3, b"c", b"1"), (4, b"d", b"1"), (5, b"a", b"2"), (7, b"b", b"2"), (8, b"c", b"3"),
    ]  # fmt: skip
    log.close()


async def test_what_is_given_back_to_one_agent_replaces_nothing_for_the_others(tmp_path: Path) -> None:
    log = SqliteLog.open(tmp_path / "log.db", clock=(clock := FakeClock()))
    log.create_topic(TOPIC, 2)
    await log.write(UnitWrite([Append(*HERE, key, b"1") for key in (b"first", b"a", b"a")]))
    await log.write(UnitWrite([Append(*HERE, b"a", b"again", ((ONLY_FOR, b"influx"),)), Append(*HERE, b"b", b"1")]))
    await log.write(UnitWrite([Append(*HERE, b"b", b"2")]))
    clock.advance(3600)
    with worth_it_from(0.0):
        await Superseding(log, clock, {TOPIC.name: MINUTE_MS}).run_once()
    left = [(record.offset, record.value) for record in await log.fetch(HERE, 0, 100, 0)]
    assert left == [(0, b"1"), (2, b"1"), (3, b"again"), (5, b"2")]
    log.close()


async def test_what_is_erased_meanwhile_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a chunk and its replacement some of it is erased."""
    log = SqliteLog.open(tmp_path / "log.db", clock=(clock := FakeClock()))
    log.create_topic(TOPIC, 2)
    await log.write(UnitWrite([Append(*HERE, key, b"SECRET" if key == b"b" else b"1") for key in (b"f", b"a", b"b")]))
    await log.write(UnitWrite([Append(*HERE, b"a", b"2")]))
    clock.advance(3600)
    submit, size = log.submit, log.sizes()[TOPIC.name]

    async def erasing_first(work: Any, **more: Any) -> Any:
        monkeypatch.undo()
        assert await erasure.erase(log, await erasure.find(log, [TOPIC.name], lambda one: one.key == b"b")) == 1
        return await submit(work, **more)

    monkeypatch.setattr(log, "submit", erasing_first)
    with worth_it_from(0.0):
        assert await Superseding(log, clock, {TOPIC.name: MINUTE_MS}).run_once() == (0, 0)
    assert [record.offset for record in await log.fetch(HERE, 0, 100, 0)] == [0, 1, 3]
    assert log.sizes()[TOPIC.name] == size
    verify_sizes(log)
    log.close()
