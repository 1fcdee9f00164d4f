"""The tests that every log has to pass: what `heartbeat.engine.log.Log` promises, as far as a test can tell.

    class TestMyLog(LogContract):
        def open(self, folder: Path, clock: Clock) -> MyLog:
            return MyLog.open(folder / "log", clock=clock)

Needs pytest with pytest-asyncio in its auto mode. A log that keeps nothing beyond its object sets `forgets`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from heartbeat.clock import Clock
from heartbeat.engine.log import TP, Advance, Append, Log, LogRecord, Put, UnitWrite
from heartbeat.errors import StaleUnit, UnknownTopic
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic

EVENTS: Final = Topic("events")
OTHERS: Final = Topic("others")
NEWEST: Final = Topic("newest", retention_ms=None, compact=True)
SOURCE: Final = TP("events", 0)


def appends(topic: str, partition: int, *values: bytes) -> list[Append]:
    """Messages whose keys are their values."""
    return [Append(topic, partition, value, value) for value in values]


def put(key: bytes, value: bytes | None, expires_ms: int | None = None, *, partition: int = 0) -> UnitWrite:
    """A unit with one change of the store `seen`."""
    return UnitWrite(puts=[Put("seen", partition, key, value, expires_ms)])


def _note(done: list[int], number: int, _: object) -> None:
    done.append(number)


class LogContract:
    """Subclass this and say how the log is opened."""

    forgets = False

    def open(self, folder: Path, clock: Clock) -> Any:
        """A log in that folder: a new one, or the one that was closed there."""
        raise NotImplementedError

    def close(self, log: Any) -> None:
        """Close it."""
        if hasattr(log, "close"):
            log.close()

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The log's clock."""
        return FakeClock()

    @pytest.fixture
    def log(self, tmp_path: Path, clock: FakeClock) -> Iterator[Log]:
        """A new log with three topics."""
        log = self.open(tmp_path, clock)
        log.create_topic(EVENTS, 3)
        log.create_topic(OTHERS, 2)
        log.create_topic(NEWEST, 2)
        yield log
        self.close(log)

    # Topics

    def test_a_topic_keeps_its_partitions(self, log: Log) -> None:
        """Declared again with another number, it has the first one."""
        log.create_topic(EVENTS, 7)
        assert (log.partitions("events"), log.partitions("others")) == (3, 2)

    @pytest.mark.parametrize("tp", [TP("nowhere", 0), TP("events", 3), TP("events", -1)])
    async def test_unknown_partitions(self, log: Log, tp: TP) -> None:
        """Every way of naming one says so; writes say it through the future."""
        with pytest.raises(UnknownTopic):
            log.end_offset(tp)
        with pytest.raises(UnknownTopic):
            log.begin_offset(tp)
        with pytest.raises(UnknownTopic):
            await log.fetch(tp, 0, 1, 0)
        with pytest.raises(UnknownTopic):
            await log.write(UnitWrite(appends("events", 0, b"a") + appends(*tp, b"b")))
        with pytest.raises(UnknownTopic):
            await log.write(UnitWrite(appends("events", 0, b"a"), [Advance("group", tp, None, 1)]))
        assert log.end_offset(SOURCE) == 0

    def test_unknown_topic(self, log: Log) -> None:
        """Asked for its partitions."""
        with pytest.raises(UnknownTopic):
            log.partitions("nowhere")

    # Messages

    async def test_what_was_appended_is_read(self, log: Log, clock: FakeClock) -> None:
        """With offsets from 0 on, the time of append, and every kind of key, value and headers."""
        messages = [
            Append("events", 1, b"key", b"value"),
            Append("events", 1, None, b""),
            Append("events", 1, b"", None),
            Append("events", 1, bytes(range(256)), b"\0" * 1000, (("reason", b"\xff\x00"), ("agent", b""))),
            Append("events", 1, None, None),
        ]
        first_ms = clock.now_ms()
        assert await log.write(UnitWrite(messages[:4])) == [0, 1, 2, 3]
        clock.advance(-7)
        assert await log.write(UnitWrite(messages[4:])) == [4]
        times = [first_ms] * 4 + [first_ms - 7000]
        wanted = [LogRecord(n, times[n], m.key, m.value, m.headers) for n, m in enumerate(messages)]
        assert await log.fetch(TP("events", 1), 0, 100, 0) == wanted
        assert (log.begin_offset(TP("events", 1)), log.end_offset(TP("events", 1))) == (0, 5)
        assert (log.begin_offset(TP("events", 0)), log.end_offset(TP("events", 0))) == (0, 0)

    async def test_a_unit_over_several_partitions(self, log: Log) -> None:
        """Gives the offsets in the order of its appends, whatever the order of partitions."""
        await log.write(UnitWrite(appends("events", 2, b"x", b"y")))
        mixed = [
            *appends("events", 2, b"a"),
            *appends("others", 1, b"b"),
            *appends("events", 2, b"c"),
            *appends("newest", 0, b"d"),
            *appends("events", 0, b"e", b"f"),
            *appends("newest", 0, b"d"),
        ]
        assert await log.write(UnitWrite(mixed)) == [2, 0, 3, 0, 0, 1, 1]
        assert [r.value for r in await log.fetch(TP("events", 2), 0, 9, 0)] == [b"x", b"y", b"a", b"c"]

    async def test_an_empty_unit(self, log: Log) -> None:
        """Is a unit."""
        assert await log.write(UnitWrite()) == []

    @pytest.mark.parametrize("limit", [1, 7, 511, 512, 513, 5000])
    async def test_reading_on_from_anywhere(self, log: Log, limit: int) -> None:
        """Each message once, in order, however the reading is cut."""
        values = [b"%d" % n for n in range(1300)]
        for size in (1300, 1, 2, 600):
            await log.write(UnitWrite(appends("events", 0, *values[:size])))
        wanted = [*values, *values[:1], *values[:2], *values[:600]]
        for start in (0, 1, 511, 512, 1299, 1300, 1303):
            read: list[bytes | None] = []
            while found := await log.fetch(SOURCE, start + len(read), min(limit, 10 if start else limit), 0):
                assert len(found) <= limit
                assert [r.offset for r in found] == list(range(start + len(read), start + len(read) + len(found)))
                read += [r.value for r in found]
                if start and len(read) > 30:
                    break
            assert read == wanted[start : start + len(read)]
            assert read
        assert await log.fetch(SOURCE, 1903, limit, 0) == []
        assert await log.fetch(SOURCE, 5000, limit, 0) == []

    async def test_large_messages(self, log: Log) -> None:
        """Beside small ones; fewer may come at once."""
        large = bytes(range(256)) * 8192
        await log.write(UnitWrite([Append("events", 0, b"k", value) for value in (b"a", large, b"b", large)]))
        found = await log.fetch(SOURCE, 1, 2, 0)
        assert found
        found += await log.fetch(SOURCE, found[-1].offset + 1, 2 - len(found), 0) if len(found) < 2 else []
        assert [r.value for r in found] == [large, b"b"]

    # Order and atomicity

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

    # Waiting

    async def test_a_fetch_waits_for_the_first_message(self, log: Log) -> None:
        """And for no other partition's."""
        waiting = [asyncio.ensure_future(log.fetch(SOURCE, 0, 9, 30)) for _ in range(3)]
        other = asyncio.ensure_future(log.fetch(TP("events", 1), 0, 9, 0.3))
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in waiting)
        await log.write(UnitWrite(appends("events", 0, b"a", b"b")))
        for found in await asyncio.wait_for(asyncio.gather(*waiting), 5):
            assert [r.value for r in found] == [b"a", b"b"]
        assert await other == []

    async def test_a_fetch_beyond_the_end_waits_for_its_offset(self, log: Log) -> None:
        """An earlier message does not end it."""
        waiting = asyncio.ensure_future(log.fetch(SOURCE, 2, 9, 30))
        await log.write(UnitWrite(appends("events", 0, b"a")))
        await log.write(UnitWrite(appends("events", 0, b"b")))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await log.write(UnitWrite(appends("events", 0, b"c")))
        assert [r.offset for r in await asyncio.wait_for(waiting, 5)] == [2]

    async def test_a_fetch_gives_up_in_time(self, log: Log) -> None:
        """With nothing in hand."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert await log.fetch(SOURCE, 0, 9, 0.1) == []
        assert 0.09 <= loop.time() - start < 2

    async def test_a_cancelled_fetch_is_forgotten(self, log: Log) -> None:
        """The next append meets nobody."""
        waiting = asyncio.ensure_future(log.fetch(SOURCE, 0, 9, 30))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await log.write(UnitWrite(appends("events", 0, b"a")))
        assert len(await log.fetch(SOURCE, 0, 9, 30)) == 1

    # Compact topics

    async def test_a_compact_topic_keeps_the_newest_of_each_key(self, log: Log) -> None:
        """In the order of offsets; None takes the key away; offsets never come again."""
        tp = TP("newest", 0)
        await log.write(UnitWrite([Append("newest", 0, key, b"1") for key in (b"a", b"b", b"c", b"d")]))
        changes = [
            Append("newest", 0, b"b", b"2", (("h", b"x"),)),
            Append("newest", 0, b"c", None),
            Append("newest", 0, b"e", b"2"),
            Append("newest", 0, b"e", None),
            Append("newest", 0, b"a", b"2"),
            Append("newest", 0, b"a", b"3"),
            Append("newest", 1, b"d", b"elsewhere"),
            Append("newest", 0, b"gone", None),
        ]
        assert await log.write(UnitWrite(changes)) == [4, 5, 6, 7, 8, 9, 0, 10]
        live = list(log.latest(tp))
        assert log.count_latest(tp) == len(live)
        assert [(r.offset, r.key, r.value) for r in live] == [(3, b"d", b"1"), (4, b"b", b"2"), (9, b"a", b"3")]
        assert live[1].headers == (("h", b"x"),)
        assert log.begin_offset(tp) <= 3
        assert log.end_offset(tp) == 11
        for offset in (0, 4, 10):  # what was replaced may be read for a while
            read = await log.fetch(tp, offset, 20, 0)
            assert [r for r in read if r in live] == [r for r in live if r.offset >= offset]
            assert [r.offset for r in read] == sorted({r.offset for r in read if r.offset >= offset})

    async def test_many_live_keys(self, log: Log) -> None:
        """More than anybody reads at a time."""
        keys = [b"%d" % n for n in range(5001)]
        for start in range(0, 5001, 1000):
            await log.write(UnitWrite([Append("newest", 1, key, key) for key in keys[start : start + 1000]]))
        await log.write(UnitWrite([Append("newest", 1, key, None) for key in keys[1::2]]))
        assert [r.key for r in log.latest(TP("newest", 1))] == keys[::2]
        assert log.count_latest(TP("newest", 1)) == 2501

    # State

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

    # The rest

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
