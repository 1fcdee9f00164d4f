"""What a log promises of topics and messages: what was appended is read, at once or after waiting for it."""

from __future__ import annotations

import asyncio

import pytest

from heartbeat.engine.log import TP, Advance, Append, Log, LogRecord, UnitWrite
from heartbeat.errors import UnknownTopic
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.log_contract_base import EVENTS, SOURCE, LogUnderTest, appends


class MessagesContract(LogUnderTest):
    """Topics, messages, waiting for them, and compact topics."""

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
