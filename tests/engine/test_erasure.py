"""Erased messages are gone to the last byte, and all others are where they were."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.engine import erasure, sqlite_wal
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.log import TP, Append, LogRecord, UnitWrite
from heartbeat.engine.retention import TRUNCATE_EVERY_MS, Retention
from heartbeat.engine.sqlite_chunks import Chunk, pack, unpack, without
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_reader import FETCH_BYTES
from heartbeat.engine.sqlite_schema import connect
from heartbeat.engine.sqlite_wal import cut_wal
from heartbeat.records import Post
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from heartbeat.topics import INGEST, Topic
from tests.engine.chain import post

PARTS = st.none() | st.binary(max_size=12)
MESSAGES = st.lists(
    st.tuples(PARTS, PARTS, st.lists(st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=5)), max_size=2)),
    min_size=1,
    max_size=12,
)
MARK = b"SECRET"
SEEDS = range(5)
Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


@given(MESSAGES, st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_a_chunk_without_some_messages(messages: list[Message], first: set[int], then: set[int]) -> None:
    appends = [Append("t", 0, key, value, tuple(headers)) for key, value, headers in messages]
    for chunk in pack(appends):
        records = unpack(chunk, 100, 7)
        left = without(without(chunk, first), then)
        assert unpack(left, 100, 7) == [r for at, r in enumerate(records) if at not in first | then]
        assert (left.length, left.headed, len(left.body)) == (chunk.length, chunk.headed, len(chunk.body))


def test_nothing_of_a_message_is_left_in_its_chunk() -> None:
    (chunk,) = pack([Append("t", 0, MARK, MARK * 3, (("h", MARK),)), Append("t", 0, b"k", b"v")])
    assert isinstance(chunk, Chunk) and MARK in chunk.body
    assert MARK not in without(chunk, {0}).body and MARK[:3] not in without(chunk, {0}).body


async def read(log: SqliteLog, tp: TP, offset: int, limit: int) -> list[LogRecord]:
    """All messages from an offset on."""
    found: list[LogRecord] = []
    while records := await log.fetch(tp, offset, limit, 0.0):
        found += records
        offset = records[-1].offset + 1
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 200]))
def test_what_is_left_is_where_it_was(tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int) -> None:
    asyncio.run(erase_some(tmp_path_factory.mktemp("log"), random.Random(seed), batch))


async def erase_some(folder: Path, dice: random.Random, batch: int) -> None:
    log = SqliteLog.open(folder / "log.db", clock=FakeClock())
    for name in ("one", "two"):
        log.create_topic(Topic(name), 2)
    written: dict[TP, list[tuple[bytes, bytes]]] = {TP(name, part): [] for name in ("one", "two") for part in (0, 1)}
    for _ in range(12):
        tp = dice.choice(list(written))
        said = [(b"%d" % dice.randrange(9), MARK + b"%012d" % dice.getrandbits(30) + b"x" * dice.choice([0, 50, 3_000]))
                for _ in range(dice.randint(1, batch))]  # fmt: skip
        written[tp] += said
        await log.write(UnitWrite([Append(*tp, key, value) for key, value in said]))
    gone = {b"%d" % number for number in range(0, 9, 2)}
    found = await erasure.find(log, ["one", "nowhere"], lambda record: record.key in gone)
    expected = [
        (tp, at) for tp in written if tp.topic == "one" for at, (key, _) in enumerate(written[tp]) if key in gone
    ]
    assert sorted(one.record.offset for one in found) == sorted(at for _, at in expected)
    sizes, ends = log.sizes(), {tp: log.end_offset(tp) for tp in written}
    assert await erasure.erase(log, found) == len(expected)
    assert await erasure.erase(log, found) == 0  # they are gone
    assert await erasure.find(log, ["one"], lambda record: record.key in gone) == []
    assert await cut_wal(log)
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    for again in (False, True):
        for tp, said in written.items():
            left = [(at, *one) for at, one in enumerate(said) if tp.topic == "two" or one[0] not in gone]
            assert log.count(tp) == len(left)
            start = dice.randrange(len(said) + 1)
            records = await read(log, tp, start, dice.choice([1, 3, 500]))
            assert [record[:1] + record[2:4] for record in records] == [one for one in left if one[0] >= start]
            for at, (_, value) in enumerate(said):
                if all(at != kept for kept, _, _ in left):
                    assert value[:18] not in data
        assert (log.sizes(), {tp: log.end_offset(tp) for tp in written}) == (sizes, ends)
        if not again:
            log.close()
            log = SqliteLog.open(folder / "log.db", clock=FakeClock())
    log.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_single_messages_are_gone_whatever_lies_beside_them(tmp_path: Path, seed: int) -> None:
    """Small chunks, many to a page, erased a few at a time: were they written anew, pages would be split."""
    dice, tp = random.Random(seed), TP("one", 0)
    log = SqliteLog.open(tmp_path / "log.db", clock=FakeClock())
    log.create_topic(Topic("one"), 1)
    said: list[bytes] = []
    for _ in range(dice.randint(100, 400)):
        lengths = [dice.choice([0, 10, 50, 200, 400, 700]) for _ in range(dice.randint(1, dice.choice([1, 2, 5])))]
        part = [MARK + b"%06d " % at + b"x" * length for at, length in enumerate(lengths, len(said))]
        said += part
        await log.write(UnitWrite([Append(*tp, b"k", value, (("topic", b"t"),)) for value in part]))
    left = set(range(len(said)))
    for _ in range(12):
        some = dice.sample(sorted(left), min(len(left), dice.randint(1, 40)))
        assert await erasure.erase_at(log, tp, [*some, len(said) + 5]) == len(some)
        left -= set(some)
    assert await cut_wal(log)
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [at for at, value in enumerate(said) if value[:13] in data] == sorted(left)
    assert [record.offset for record in await read(log, tp, 0, 500)] == sorted(left)
    log.close()


async def test_a_reader_that_stays_keeps_the_wal_from_being_cut_and_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "TRIES", 2)
    monkeypatch.setattr(sqlite_wal, "PAUSE_S", 0.01)
    log = SqliteLog.open(tmp_path / "log.db", clock=FakeClock())
    log.create_topic(Topic("one"), 1)
    await log.write(UnitWrite([Append("one", 0, b"a", MARK)]))
    with closing(connect(log.path, read_only=True)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM chunks").fetchall() == [(1,)]
        assert await erasure.erase_at(log, TP("one", 0), [0]) == 1
        assert not await cut_wal(log)
        await log.write(UnitWrite([Append("one", 0, b"b", b"written")]))
    assert MARK in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert await cut_wal(log)
    assert MARK not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    log.close()


async def test_a_needle_only_says_where_to_look(tmp_path: Path) -> None:
    log = SqliteLog.open(tmp_path / "log.db", clock=FakeClock())
    log.create_topic(Topic("one"), 1)
    await log.write(UnitWrite([Append("one", 0, b"a", b"hay"), Append("one", 0, b"b", b"needle")]))
    await log.write(UnitWrite([Append("one", 0, b"c", b"hay")]))
    found = await erasure.find(log, ["one"], lambda record: True, needle=b"needle")
    assert [one.record.key for one in found] == [b"a", b"b"]  # of one chunk; the other was not taken apart
    log.close()


@pytest.mark.parametrize("erased", ["end", "middle"])
async def test_whoever_reads_later_gets_past_what_was_erased(tmp_path: Path, erased: str) -> None:
    """At the end of a partition, where nothing follows; and more of it in a row than is read at a time."""
    seen: list[str] = []

    async def note(batch: Batch[Post], emit: Emit) -> None:
        seen.extend(event.value.id for event in batch)

    clock = FakeClock()
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    driver = Driver(lambda: [AgentSpec("agent", INGEST, note)], partitions=1, log=log, clock=clock)
    await driver.start()
    names = ["kept", "gone", "gone", "gone"] if erased == "end" else ["kept", "gone", "gone", "gone", "last"]
    for name in names:
        said = name if name != "gone" else name * (FETCH_BYTES // 4)
        await driver.send(INGEST, post(0)._replace(id=name, content=said), key=name, partition=0)
    assert await erasure.erase(log, await erasure.find(log, [INGEST.name], lambda one: one.key == b"gone")) == 3
    await driver.run_until_idle(max_steps=50)
    assert seen == [name for name in names if name != "gone"]
    assert log.committed("test-agent", TP(INGEST.name, 0)) == len(names)
    await driver.send(INGEST, post(0)._replace(id="next"), key="next", partition=0)
    await driver.run_until_idle(max_steps=50)
    assert seen[-1] == "next"
    log.close()


async def test_what_a_reader_kept_in_the_wal_is_cut_when_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "TRIES", 1)
    clock = FakeClock()
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    log.create_topic(Topic("t"), 1)
    retention = Retention(log, clock, content_ms=24 * 3_600_000)
    await retention.run_once()
    await log.write(UnitWrite([Append("t", 0, b"k", MARK)]))
    with closing(connect(log.path, read_only=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunks").fetchall()
        assert await erasure.erase(log, await erasure.find(log, ["t"], lambda record: True)) == 1
        assert not await cut_wal(log)
    clock.advance(TRUNCATE_EVERY_MS / 1000)
    await retention.run_once()
    assert not any(MARK in path.read_bytes() for path in tmp_path.iterdir())
    log.close()
