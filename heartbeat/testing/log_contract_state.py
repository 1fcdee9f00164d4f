"""What a log promises of its state stores."""

from __future__ import annotations

from heartbeat.engine.log import Log, Put, UnitWrite
from heartbeat.testing.log_contract_base import LogUnderTest


def put(key: bytes, value: bytes | None, expires_ms: int | None = None, *, partition: int = 0) -> UnitWrite:
    """A unit with one change of the store `seen`."""
    return UnitWrite(puts=[Put("seen", partition, key, value, expires_ms)])


class StateContract(LogUnderTest):
    """Keys with values, some of which expire."""

    async def test_state(self, log: Log) -> None:
        """Set, replaced, removed; stores and partitions apart."""
        seen = log.state("seen")
        assert (seen.get_many(0, [b"a"]), seen.count(0)) == ({}, 0)
        puts = [Put("seen", 0, b"a", b"1"), Put("seen", 0, b"b", b"1"), Put("seen", 1, b"a", b"2")]
        await log.write(UnitWrite(puts=[*puts, Put("other", 0, b"a", b"3")]))
        assert seen.get_many(0, [b"b", b"a", b"none", b"a"]) == {b"a": b"1", b"b": b"1"}
        assert (seen.get_many(1, [b"a", b"b"]), log.state("other").get_many(0, [b"a"])) == ({b"a": b"2"}, {b"a": b"3"})
        await log.write(
            UnitWrite(puts=[Put("seen", 0, b"a", b""), Put("seen", 0, b"b", None), Put("seen", 0, b"c", None)])
        )
        assert seen.get_many(0, [b"a", b"b", b"c"]) == {b"a": b""}
        assert (seen.count(0), seen.count(1), seen.count(7)) == (1, 1, 0)

    async def test_the_last_change_of_a_key_counts(self, log: Log) -> None:
        """Within one unit."""
        values = [b"1", None, b"2", b"3", None, b"4"]
        await log.write(UnitWrite(puts=[Put("seen", 0, b"a", value) for value in values]))
        await log.write(UnitWrite(puts=[Put("seen", 0, b"b", value) for value in values[:5]]))
        assert (log.state("seen").get_many(0, [b"a", b"b"]), log.state("seen").count(0)) == ({b"a": b"4"}, 1)

    async def test_many_keys(self, log: Log) -> None:
        """More than go into one statement, with thousands of them changed again."""
        keys = [b"%d" % n for n in range(3001)]
        await log.write(UnitWrite(puts=[Put("seen", 2, key, key, n) for n, key in enumerate(keys)]))
        await log.write(UnitWrite(puts=[Put("seen", 2, key, b"new", n) for n, key in enumerate(keys[:1700])]))
        await log.write(UnitWrite(puts=[Put("seen", 2, key, None) for key in keys[2500:]]))
        found = log.state("seen").get_many(2, keys + [b"x" + key for key in keys])
        assert found == {key: b"new" if n < 1700 else key for n, key in enumerate(keys[:2500])}
        assert log.state("seen").count(2) == 2500
        assert log.state("seen").get_many(2, []) == {}

    async def test_expiry(self, log: Log) -> None:
        """Lists what is due, oldest first, and removes nothing."""
        for key, expires_ms in ((b"c", 30), (b"a", 10), (b"none", None), (b"b", 20), (b"later", 10)):
            await log.write(put(key, b"v" + key, expires_ms))
        await log.write(put(b"a", b"elsewhere", 5, partition=1))
        await log.write(put(b"later", b"w", 40))
        seen = log.state("seen")
        assert seen.expired(0, 9, 10) == []
        assert seen.expired(0, 20, 10) == [(b"a", b"va"), (b"b", b"vb")]
        assert seen.expired(0, 100, 2) == [(b"a", b"va"), (b"b", b"vb")]
        await log.write(put(b"a", None))
        assert [key for key, _ in seen.expired(0, 100, 10)] == [b"b", b"c", b"later"]
        assert seen.count(0) == 4
