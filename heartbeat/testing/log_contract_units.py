"""What a log promises of units: durable in their order, as a whole or not at all, none of them twice."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from heartbeat.engine.log import TP, Advance, Log, Put, UnitWrite
from heartbeat.errors import StaleUnit
from heartbeat.testing.log_contract_base import SOURCE, LogUnderTest, appends


def _note(done: list[int], number: int, _: object) -> None:
    done.append(number)


class UnitsContract(LogUnderTest):
    """Order and atomicity."""

    async def test_writes_become_durable_in_order(self, log: Log) -> None:
        """Of the calls, whether awaited or not."""
        done: list[int] = []
        futures = []
        for number in range(200):
            future = log.write(UnitWrite(appends("events", number % 3, b"%d" % number)))
            future.add_done_callback(partial(_note, done, number))
            futures.append(future)
        offsets = await asyncio.gather(*futures)
        assert done == list(range(200))
        assert offsets == [[number // 3] for number in range(200)]

    async def test_offsets_of_groups(self, log: Log) -> None:
        """Each group has its own, None before the first."""
        assert log.committed("a", SOURCE) is None
        await log.write(UnitWrite(advances=[Advance("a", SOURCE, None, 0)]))
        assert (log.committed("a", SOURCE), log.committed("b", SOURCE)) == (0, None)
        await log.write(UnitWrite(advances=[Advance("a", SOURCE, 0, 5), Advance("b", TP("others", 1), None, 2)]))
        assert (log.committed("a", SOURCE), log.committed("b", TP("others", 1))) == (5, 2)
        assert (log.committed("a", TP("events", 1)), log.committed("b", TP("others", 0))) == (None, None)

    @pytest.mark.parametrize("expected", [None, 0, 2, 4])
    async def test_a_stale_unit_leaves_nothing(self, log: Log, expected: int | None) -> None:
        """Neither messages, nor offsets of other partitions, nor state."""
        await log.write(UnitWrite(advances=[Advance("g", SOURCE, None, 3)]))
        stale = UnitWrite(
            [*appends("events", 1, b"a"), *appends("newest", 0, b"b")],
            [Advance("g", TP("events", 1), None, 9), Advance("g", SOURCE, expected, 6)],
            [Put("seen", 0, b"key", b"value")],
        )
        with pytest.raises(StaleUnit):
            await log.write(stale)
        assert log.end_offset(TP("events", 1)) == log.end_offset(TP("newest", 0)) == 0
        assert await log.fetch(TP("events", 1), 0, 9, 0) == []
        assert list(log.latest(TP("newest", 0))) == []
        assert (log.committed("g", SOURCE), log.committed("g", TP("events", 1))) == (3, None)
        assert log.state("seen").get_many(0, [b"key"]) == {}
        assert log.state("seen").count(0) == 0

    async def test_units_behind_a_stale_one_fail_too(self, log: Log) -> None:
        """Those of the same partition; others go on."""
        chain = [
            log.write(UnitWrite(appends("others", 0, b"%d" % n), [Advance("g", SOURCE, n, n + 1)])) for n in (5, 6)
        ]
        others = [
            log.write(UnitWrite(appends("others", 1, b"%d" % n), [Advance("g", TP("events", 1), n or None, n + 1)]))
            for n in (0, 1)
        ]
        for future in chain:
            with pytest.raises(StaleUnit):
                await future
        assert [await future for future in others] == [[0], [1]]
        assert log.end_offset(TP("others", 0)) == 0

    async def test_a_unit_given_twice_counts_once(self, log: Log) -> None:
        """What a caller does that does not know how the first attempt went."""
        unit = UnitWrite(appends("others", 0, b"a"), [Advance("g", SOURCE, None, 1)])
        first, second = log.write(unit), log.write(unit)
        assert await first == [0]
        with pytest.raises(StaleUnit):
            await second
        assert log.end_offset(TP("others", 0)) == 1

    async def test_units_in_flight_follow_each_other(self, log: Log) -> None:
        """Hundreds of them, of several partitions, without waiting."""
        futures = [
            log.write(UnitWrite(appends("others", p % 2, b"%d" % n), [Advance("g", TP("events", p), n or None, n + 1)]))
            for n in range(150)
            for p in range(3)
        ]
        await asyncio.gather(*futures)
        assert [log.committed("g", TP("events", p)) for p in range(3)] == [150] * 3
        assert log.end_offset(TP("others", 0)) + log.end_offset(TP("others", 1)) == 450
