"""The tests that every log has to pass: what `heartbeat.engine.log.Log` promises, as far as a test can tell.

    class TestMyLog(LogContract):
        def open(self, folder: Path, clock: Clock) -> MyLog:
            return MyLog.open(folder / "log", clock=clock)

Needs pytest with pytest-asyncio in its auto mode. A log that keeps nothing beyond its object sets `forgets`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heartbeat.engine.log import TP, Advance, Append, Log, Put, UnitWrite
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.log_contract_base import SOURCE, appends
from heartbeat.testing.log_contract_messages import MessagesContract
from heartbeat.testing.log_contract_state import StateContract
from heartbeat.testing.log_contract_units import UnitsContract


class LogContract(MessagesContract, UnitsContract, StateContract):
    """Subclass this and say how the log is opened."""

    def test_schemas(self, log: Log) -> None:
        """The same schema has the same number, another another."""
        post, other, later = (log.register_schema(*schema) for schema in (("Post", "1"), ("Other", "1"), ("Post", "2")))
        assert len({post, other, later}) == 3
        assert all(0 < number < 2**32 for number in (post, other, later))
        assert log.register_schema("Post", "1") == post
        assert (log.schema(post), log.schema(later), log.schema(10**6)) == ("1", "2", None)

    async def test_sizes(self, log: Log) -> None:
        """Grow with what is there."""
        assert set(log.sizes()) >= {"events", "others", "newest"}
        assert log.sizes()["events"] == 0
        await log.write(UnitWrite(appends("events", 0, b"x" * 1000) + appends("newest", 0, b"y" * 500)))
        sizes = log.sizes()
        assert 2000 <= sizes["events"] < 2500
        assert 1000 <= sizes["newest"] < 1500
        assert sizes["others"] == 0

    async def test_all_of_it_is_there_after_a_restart(self, log: Log, tmp_path: Path, clock: FakeClock) -> None:
        """Topics, messages, offsets, state, schemas."""
        if self.forgets:
            pytest.skip("this log keeps nothing")
        number = log.register_schema("Post", "{}")
        unit = UnitWrite(
            [*appends("events", 2, b"a", b"b"), *appends("newest", 1, b"k", b"l"), Append("newest", 1, b"k", None)],
            [Advance("g", SOURCE, None, 4)],
            [Put("seen", 1, b"key", b"value", 5)],
        )
        await log.write(unit)
        pending = log.write(UnitWrite(appends("events", 2, b"c")))
        before = (await log.fetch(TP("events", 2), 0, 2, 0), list(log.latest(TP("newest", 1))))
        self.close(log)
        assert await asyncio.wait_for(pending, 5) == [2]  # closing waits for what was queued
        again = self.open(tmp_path, clock)
        try:
            assert (again.partitions("events"), again.partitions("newest")) == (3, 2)
            assert (await again.fetch(TP("events", 2), 0, 2, 0), list(again.latest(TP("newest", 1)))) == before
            assert (again.end_offset(TP("events", 2)), again.end_offset(TP("newest", 1))) == (3, 3)
            assert again.committed("g", SOURCE) == 4
            assert again.state("seen").get_many(1, [b"key"]) == {b"key": b"value"}
            assert again.state("seen").expired(1, 5, 9) == [(b"key", b"value")]
            assert (again.register_schema("Post", "{}"), again.schema(number)) == (number, "{}")
            assert await again.write(UnitWrite(appends("events", 2, b"d"))) == [3]
        finally:
            self.close(again)
