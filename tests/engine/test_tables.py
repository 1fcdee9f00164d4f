from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.engine.log import TP, Append, Put, UnitWrite
from heartbeat.engine.runner import Partitions
from heartbeat.engine.tables import DiskTable, MemoryTable, TableCodec, TableMisuse, json_codec
from heartbeat.engine.unit import Unit, current
from heartbeat.errors import LogDamaged
from heartbeat.records import Record
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog

NUMBERS: TableCodec[str, int] = TableCodec(str.encode, bytes.decode, orjson.dumps, orjson.loads)


def encode(value: Record) -> bytes:
    return b""


def unit(log: MemoryLog, partition: int = 0, agent: str = "owner") -> Unit:
    return Unit(agent, agent, TP("in", partition), 0, 1, encode=encode, partitions=Partitions(log), messages=1)


@contextmanager
def inside(one: Unit) -> Iterator[Unit]:
    token = current.set(one)
    try:
        yield one
    finally:
        current.reset(token)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(FakeClock())


@pytest.fixture
def table(log: MemoryLog) -> MemoryTable[str, int]:
    out: MemoryTable[str, int] = MemoryTable("t", NUMBERS)
    out.bind("owner", log, 2)
    return out


@pytest.fixture
def disk(log: MemoryLog) -> DiskTable[str, int]:
    out: DiskTable[str, int] = DiskTable("d", NUMBERS)
    out.bind("owner", log, 2)
    return out


def test_one_changelog_row_for_each_key_that_changed(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    part = table.part(1)
    with inside(unit(log, 1)) as one:
        part["a"], part["b"] = 1, 2
        part["a"] = 3
        part["gone"] = 4
        del part["gone"]
        one.seal()
    assert one.appends == [Append("t-changelog", 1, b"a", b"3"), Append("t-changelog", 1, b"b", b"2")]
    with inside(unit(log, 1)) as two:
        del part["a"]
        part["b"] = 2
        two.seal()
    assert two.appends[0] == Append("t-changelog", 1, b"a", None)
    assert dict(part.items()) == {"b": 2}


def test_deleting_what_is_not_there_is_an_error(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    with inside(unit(log)), pytest.raises(KeyError):
        del table.part(0)["nothing"]


def test_it_may_be_changed_while_iterating(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    part = table.part(0)
    with inside(unit(log)):
        for number in range(10):
            part[str(number)] = number
        for key, number in part.items():
            if number % 2:
                del part[key]
            part[f"{key}, again"] = number
    assert len(part) == 5 + 10


Changes = st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 9)))), max_size=6)


@given(Changes, st.integers(0, 6))
def test_rolled_back_newest_first_a_table_is_as_it_was(changes: list[list[tuple[str, int | None]]], keep: int) -> None:
    log = MemoryLog(FakeClock())
    table: MemoryTable[str, int] = MemoryTable("t", NUMBERS)
    disk: DiskTable[str, int] = DiskTable("d", NUMBERS)
    table.bind("owner", log, 1)
    disk.bind("owner", log, 1)
    part, disk_part = table.part(0), disk.part(0)
    units: list[Unit] = []
    states: list[dict[str, int]] = [{}]
    for change in changes:
        with inside(unit(log)) as one:
            for key, value in change:
                if value is not None:
                    part[key] = value
                    disk_part.put(key, value)
                elif key in part:
                    del part[key]
                    disk_part.delete(key)
            one.seal()
        units.append(one)
        states.append(dict(part.items()))
        assert disk_part.get_many("abcd") == states[-1]
    for one in units[:keep]:  # these become durable, oldest first
        for _, partition, raw, stored, _ in one.puts:
            rows = log.state("d").rows[partition]
            if stored is None:
                rows.pop(raw, None)
            else:
                rows[raw] = stored, None
        one.durable()
        assert disk_part.get_many("abcd") == states[-1]
    for at in range(len(units) - 1, min(keep, len(units)) - 1, -1):
        units[at].rollback()
        assert dict(part.items()) == states[at]
        assert disk_part.get_many("abcd") == states[at]
    assert not disk_part._overlay


def test_only_inside_a_unit_of_that_partition_and_agent(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    part = table.part(0)
    with pytest.raises(TableMisuse, match="only be changed while its agent's handler runs"):
        part["a"] = 1
    with inside(unit(log, 1)), pytest.raises(TableMisuse, match="partition 1 cannot change partition 0"):
        part["a"] = 1
    with inside(unit(log, 0, "other")), pytest.raises(TableMisuse, match="written by owner, not by other"):
        part["a"] = 1
    with inside(unit(log)) as one:
        one.seal()
        with pytest.raises(TableMisuse, match="while its agent's handler runs"):
            part["a"] = 1
    with pytest.raises(TableMisuse, match="other cannot write it too"):
        table.bind("other", log, 2)
    assert not len(table)


def test_a_disk_table_is_held_to_the_same(log: MemoryLog, disk: DiskTable[str, int]) -> None:
    with pytest.raises(TableMisuse):
        disk.part(0).put("a", 1)
    with inside(unit(log, 1)), pytest.raises(TableMisuse):
        disk.part(0).delete("a")
    fresh: DiskTable[str, int] = DiskTable("fresh", NUMBERS)
    with pytest.raises(TableMisuse, match="before its agent has been started"):
        fresh.part(0).get_many(["a"])


@pytest.mark.parametrize("how", ["get", "items", "put back"])
def test_values_changed_in_place_are_found(log: MemoryLog, how: str) -> None:
    table: MemoryTable[str, list[int]] = MemoryTable("t", json_codec(), checked=True)
    table.bind("owner", log, 1)
    part = table.part(0)
    with inside(unit(log)) as one:
        part["a"] = [1]
        one.seal()
        one.durable()
    with inside(unit(log)) as two:
        value = dict(part.items())["a"] if how == "items" else part.get("a")
        assert value is not None
        value.append(2)
        if how == "put back":
            part["a"] = value
        with pytest.raises(TableMisuse, match="changed in place"):
            two.seal()


def test_values_replaced_are_not_taken_for_changed_in_place(log: MemoryLog) -> None:
    table: MemoryTable[str, list[int]] = MemoryTable("t", json_codec(), checked=True)
    table.bind("owner", log, 1)
    part = table.part(0)
    for number in range(3):
        with inside(unit(log)) as one:
            part["a"] = [*(part.get("a") or []), number]
            part["a"] = [*(part.get("a") or []), -number]
            if number == 2:
                del part["a"]
            one.seal()
            one.durable()
    assert part.get("a") is None


async def test_recovery_replaces_what_was_there(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    topic = "t-changelog"
    rows = [Append(topic, 1, b"a", b"1"), Append(topic, 1, b"b", b"2"), Append(topic, 1, b"a", None)]
    rows += [Append(topic, 1, b"n%d" % number, b"%d" % number) for number in range(5000)]
    await log.write(UnitWrite(rows))
    with inside(unit(log, 1)):
        table.part(1)["stale"] = 1
    seen: list[int] = []
    part = table.part(1)
    assert await table.load(log, 1, seen.append) == 5001
    assert dict(part.items()) == {"b": 2} | {f"n{number}": number for number in range(5000)}
    assert seen == [2000, 2000]
    assert table.stored(log, 1) == 5001


async def test_a_changelog_that_cannot_be_read_is_damage(log: MemoryLog, table: MemoryTable[str, int]) -> None:
    await log.write(UnitWrite([Append("t-changelog", 0, b"a", b"{")]))
    with pytest.raises(LogDamaged, match="t-changelog/0"):
        await table.load(log, 0)


async def test_due_rows_are_listed_unless_they_are_staged(log: MemoryLog, disk: DiskTable[str, int]) -> None:
    part = disk.part(0)
    await log.write(UnitWrite(puts=[Put("d", 0, b"%d" % n, b"%d" % n, n) for n in range(10)]))
    assert part.expired(4, 3) == [("0", 0), ("1", 1), ("2", 2)]
    with inside(unit(log)):
        part.delete("0")
        part.put("1", 7, expires_ms=99)
        assert part.expired(4, 10) == [("2", 2), ("3", 3), ("4", 4)]
        assert part.get_many(["0", "1", "2", "x", "2"]) == {"1": 7, "2": 2}
