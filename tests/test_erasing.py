"""What is owed an erasure is owed until no file holds it, the WAL included, and whatever comes of it meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from heartbeat import erasing
from heartbeat.app import station
from heartbeat.codec import Codec
from heartbeat.engine import sqlite_wal
from heartbeat.engine.deadletters import dead_letter
from heartbeat.engine.log import TP, Append, LogRecord, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.erasing import Erasing
from heartbeat.feeds.base import Rejected
from heartbeat.feeds.owed import Owed
from heartbeat.feeds.units import dead_letter as rejected
from heartbeat.health import State
from heartbeat.records import Post
from heartbeat.services import running
from heartbeat.settings import load
from heartbeat.settling import settled
from heartbeat.station import Station
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import DEADLETTERS, INGEST, partition_of, post_key

MARK = "zyxwvut-quark"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[Station, SqliteLog]]:
    parts = station(load().model_copy(update={"data_dir": tmp_path, "sentiment_model": "sentiment-fast"}))

    def crash(error: BaseException) -> None:
        raise error

    async with running(parts, crash) as (log, _, _):
        yield parts, log


def holding(data: Path) -> set[str]:
    return {path.name for path in data.iterdir() if path.is_file() and MARK.encode() in path.read_bytes()}


async def said(log: SqliteLog) -> None:
    """A text is in the stream, and has been deleted: long ago, so that its erasure is due."""
    post = Post("1", "bluesky", "bluesky", [], "upsert", 0, MARK, 0, 0)
    key = post_key("bluesky", "1")
    message = Append(INGEST.name, partition_of(key, log.partitions(INGEST.name)), key.encode(), Codec(log).encode(post))
    owed = Owed(log, FakeClock(0), content_ms=3_600_000).puts([("bluesky", "1")], [])
    await log.write(UnitWrite([message], puts=owed))


async def test_a_text_is_owed_until_it_is_out_of_the_wal(
    world: tuple[Station, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "TRIES", 1)
    parts, log = world
    await said(log)
    await settled(parts, log)
    it = Erasing(parts, log)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunks").fetchall()
        assert await it.look() == 2
        assert await it.look() == 0
        assert "log.db-wal" in holding(log.path.parent)
    await it.look()
    assert holding(log.path.parent) == set()
    assert not Owed(log, parts.clock, content_ms=1).due().posts


async def test_what_a_replay_could_not_use_stays(world: tuple[Station, SqliteLog]) -> None:
    parts, log = world
    await said(log)
    key, rubbish = post_key("bluesky", "1"), b'{"source": "bluesky", "id": "1", "content": 5}'
    tp = TP(INGEST.name, 0)
    letters = []
    for feed in ("bluesky", "replay:a"):
        value = Codec(log).encode(Post("1", "bluesky", feed, [], "upsert", 0, f"of {feed}", 0, 0))
        record = LogRecord(0, 0, key.encode(), value)
        letters.append(dead_letter(record, tp, "language", ValueError(), at_ms=0, partitions=1))
        letters.append(rejected(feed, Rejected(rubbish, "no text", "line 1"), 1, 0))
    await log.write(UnitWrite(letters))
    await Erasing(parts, log).look()
    left = await log.fetch(TP(DEADLETTERS.name, 0), 0, 10, 0.0)
    assert [(each.value, dict(each.headers)["topic"]) for each in left] == [
        (letters[2].value, b"ingest"),
        (rubbish, b"replay:a"),
    ]


async def test_damage_in_the_file_is_told_and_keeps_nothing_else_from_going_on(
    world: tuple[Station, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "TRY_AGAIN_S", 0.05)
    parts, log = world
    await said(log)
    await settled(parts, log)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        holds = "SELECT id, body FROM chunks WHERE instr(body, ?)"
        whole = other.execute(holds, (MARK.encode(),)).fetchall()
        assert len(whole) == 2
        for row_id, body in whole:
            other.execute("UPDATE chunks SET body = ? WHERE id = ?", (b"\xfe\xff\xff\x7f" + body[4:], row_id))
        running = asyncio.ensure_future(Erasing(parts, log).run())
        while (status := parts.board.get("erasing")) is None:
            await asyncio.sleep(0.01)
            assert not running.done()
        assert status.state is State.WAITING and "wrong checksum" in status.why and MARK not in status.why
        for row_id, body in whole:
            other.execute("UPDATE chunks SET body = ? WHERE id = ?", (body, row_id))
    while (status := parts.board.get("erasing")) is None or status.state is not State.OK:
        await asyncio.sleep(0.01)
        assert not running.done()
    assert holding(log.path.parent) == set()
    running.cancel()
