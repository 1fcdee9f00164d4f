"""The embedded log against a plain model of what it promises, whatever the order of events."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from heartbeat.engine.log import TP, Advance, Append, LogRecord, Put, UnitWrite
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import StaleUnit
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic

MEMORY = "/dev/shm"
"""Hundreds of files are made and closed: without a disk that is ten times as quick."""
HOUR_MS = 3_600_000
PLAIN = [TP("plain", 0), TP("plain", 1), TP("content", 0)]
COMPACT = [TP("compact", 0), TP("compact", 1)]
TOPICS = [
    (Topic("plain", retention_ms=10 * HOUR_MS), 2),
    (Topic("content", retention_ms=10 * HOUR_MS, holds_content=True), 1),
    (Topic("compact", retention_ms=None, compact=True), 2),
]
AGES_MS = {"plain": 10 * HOUR_MS, "content": 5 * HOUR_MS}
GROUPS = ["a", "b"]

keys = st.sampled_from([b"k%d" % n for n in range(6)])
values = st.binary(max_size=20)
headers = st.sampled_from([(), (("name", b"\xff"),)])
appends = st.one_of(
    st.builds(
        lambda tp, key, value, head: Append(tp.topic, tp.partition, key, value, head),
        st.sampled_from(PLAIN),
        st.none() | keys,
        st.none() | values,
        headers,
    ),
    st.builds(
        lambda tp, key, value, head: Append(tp.topic, tp.partition, key, value, head),
        st.sampled_from(COMPACT),
        keys,
        st.none() | values,
        headers,
    ),
)
puts = st.builds(
    Put, st.sampled_from(["s", "t"]), st.integers(0, 1), keys, st.none() | values, st.none() | st.integers(0, 50)
)
steps = st.tuples(st.sampled_from(GROUPS), st.sampled_from(PLAIN), st.integers(0, 3), st.integers(0, 9))
units = st.tuples(st.lists(appends, max_size=12), st.lists(steps, max_size=2), st.lists(puts, max_size=8))
"""Of a step, the last number is 0 when its unit is to be stale."""


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.clock = FakeClock()
        self.messages: dict[TP, list[LogRecord]] = {tp: [] for tp in PLAIN + COMPACT}
        self.begins: dict[TP, int] = dict.fromkeys(PLAIN, 0)
        self.commits: dict[tuple[str, TP], int] = {}
        self.registered: set[tuple[str, str]] = set()
        self.state: dict[tuple[str, int], dict[bytes, tuple[bytes, int | None]]] = {}
        self.ends: dict[TP, int] = dict.fromkeys(PLAIN + COMPACT, 0)
        self.log: SqliteLog = self.opened()

    def opened(self) -> SqliteLog:
        log = SqliteLog.open(self.folder / "log.db", clock=self.clock)
        for topic, partitions in TOPICS:
            log.create_topic(topic, partitions)
        return log

    def teardown(self) -> None:
        self.log.close()
        self.runner.close()
        shutil.rmtree(self.folder)

    def run(self, work: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return await work()

        return self.runner.run(call())

    @initialize(registered=st.lists(st.tuples(st.sampled_from(GROUPS), st.sampled_from(["plain", "content"]))))
    def register(self, registered: list[tuple[str, str]]) -> None:
        for group, topic in registered:
            self.log.register_group(group, topic)
            self.registered.add((group, topic))

    @rule(batch=st.lists(units, min_size=1, max_size=5))
    def write(self, batch: list[Any]) -> None:
        """Several units at once: they may share a transaction."""
        wanted: list[list[int] | None] = []
        written = []
        for unit_appends, unit_steps, unit_puts in batch:
            moved: dict[tuple[str, TP], int] = {}
            advances = []
            fits = True
            for group, tp, distance, luck in unit_steps:
                stands = moved.get((group, tp), self.commits.get((group, tp)))
                expected = stands if luck else (stands or 0) + 1
                fits = fits and luck > 0
                advances.append(Advance(group, tp, expected, min((expected or 0) + distance, self.ends[tp])))
                moved[group, tp] = advances[-1].to
            written.append(UnitWrite(unit_appends, advances, unit_puts))
            wanted.append(self.apply(unit_appends, moved, unit_puts) if fits else None)

        async def work() -> list[Any]:
            return await asyncio.gather(*map(self.log.write, written), return_exceptions=True)

        got = self.run(work)
        assert [None if isinstance(result, StaleUnit) else result for result in got] == wanted

    def apply(self, unit_appends: list[Append], moved: dict[tuple[str, TP], int], unit_puts: list[Put]) -> list[int]:
        offsets = []
        for message in unit_appends:
            tp = TP(message.topic, message.partition)
            offset = self.ends[tp]
            self.ends[tp] += 1
            offsets.append(offset)
            kept = self.messages[tp]
            if tp in COMPACT:
                kept[:] = [record for record in kept if record.key != message.key]
            if tp in PLAIN or message.value is not None:
                kept.append(LogRecord(offset, self.clock.now_ms(), *message[2:]))
        self.commits.update(moved)
        for store, partition, key, value, expires_ms in unit_puts:
            rows = self.state.setdefault((store, partition), {})
            rows.pop(key, None)
            if value is not None:
                rows[key] = (value, expires_ms)
        return offsets

    @rule(hours=st.floats(-2, 8))
    def time_passes(self, hours: float) -> None:
        self.clock.advance(hours * 3600)

    @rule()
    def retain(self) -> None:
        retention = Retention(self.log, self.clock, content_ms=5 * HOUR_MS)
        before = {tp: self.log.begin_offset(tp) for tp in PLAIN}
        sizes = self.log.sizes()
        removed = self.run(retention.run_once)
        assert removed.bytes == sum(sizes.values()) - sum(self.log.sizes().values())
        for tp in PLAIN:
            begin = self.log.begin_offset(tp)
            readers = [self.commits.get((group, tp), 0) for group, topic in self.registered if topic == tp.topic]
            floor = min(readers, default=self.ends[tp])
            gone = self.messages[tp][: begin - self.begins[tp]]
            latest_ms = self.clock.now_ms() - AGES_MS[tp.topic]
            # nothing unread goes, and nothing before its time: what goes is old, or lies before something old
            assert begin <= max(floor, before[tp])
            assert not gone or gone[-1].timestamp_ms <= latest_ms
            # and what may go does, as far as whole units go
            head = [record for record in self.messages[tp] if begin <= record.offset < floor]
            if head and all(record.timestamp_ms <= latest_ms for record in head) and floor == self.ends[tp]:
                raise AssertionError(f"{tp}: {head} should be gone")
            del self.messages[tp][: begin - self.begins[tp]]
            self.begins[tp] = begin

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = self.opened()

    @precondition(lambda self: any(self.messages.values()))
    @rule(tp=st.sampled_from(PLAIN + COMPACT), offset=st.integers(0, 60), limit=st.integers(1, 20))
    def fetch(self, tp: TP, offset: int, limit: int) -> None:
        found = self.run(lambda: self.log.fetch(tp, offset, limit, 0))
        assert found == [record for record in self.messages[tp] if record.offset >= offset][:limit]

    @rule(now_ms=st.integers(0, 60), limit=st.integers(1, 8))
    def expire(self, now_ms: int, limit: int) -> None:
        for (store, partition), rows in self.state.items():
            due = {key: (at, value) for key, (value, at) in rows.items() if at is not None and at <= now_ms}
            found = self.log.state(store).expired(partition, now_ms, limit)
            assert len(found) == min(limit, len(due))
            assert [due[key][1] for key, _ in found] == [value for _, value in found]
            times = [due[key][0] for key, _ in found]
            assert times == sorted(at for at, _ in due.values())[: len(times)]

    @invariant()
    def everything_stands(self) -> None:
        assert {tp: self.log.end_offset(tp) for tp in self.ends} == self.ends
        for group in GROUPS:
            for tp in PLAIN:
                assert self.log.committed(group, tp) == self.commits.get((group, tp))
        for tp in COMPACT:
            assert list(self.log.latest(tp)) == self.messages[tp]
        for (store, partition), rows in self.state.items():
            assert self.log.state(store).count(partition) == len(rows)
            found = self.log.state(store).get_many(partition, [b"k%d" % n for n in range(6)])
            assert found == {key: value for key, (value, _) in rows.items()}


def test_the_log_is_its_model() -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
