"""Texts are gone to the last byte when they are said to be: in the file, its free pages and the WAL."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.records import Scored
from heartbeat.sinks import history_texts
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_upkeep import TRUNCATE_EVERY_MS
from heartbeat.topics import HOUR_MS
from tests.sinks.model import T0, StillClock, in_all_files, open_history, scored

POSTS = ("sentiment", 0)
MARK = b"SECRET"
MANY = 200
"""Posts of the largest batches: many chunks even of short texts. Long ones would only be more of the same there."""


async def upkeep(history: History, clock: StillClock) -> None:
    for _ in range(1000):
        if not await history.maintain(clock.ms):
            return
    raise AssertionError("upkeep finds no end")


def secret(number: int, length: int) -> str:
    return f"{MARK.decode()}{number:08}".ljust(length, "x")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 7, 40, MANY]), st.booleans())
def test_expired_texts_leave_no_fragment(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, restart: bool
) -> None:
    asyncio.run(_expire_all(tmp_path_factory.mktemp("texts"), random.Random(seed), batch, restart))


def found(folder: Path) -> set[int]:
    """The numbers of the texts whose beginning can be read in the files (unless it stands across two pages)."""
    data = b"".join(path.read_bytes() for path in folder.glob("history.db*"))
    return {int(number) for number in re.findall(MARK + rb"(\d{8})", data)}


def shown(history: History) -> set[int]:
    """The numbers of the texts that a reader is given."""
    with HistoryReader(history.path) as reader:
        texts = [row.content for row in reader.posts(content=True) if row.content is not None]
    assert all(text.startswith(MARK.decode()) for text in texts)
    return {int(text[len(MARK) : len(MARK) + 8]) for text in texts}


async def _expire_all(folder: Path, chance: random.Random, batch: int, restart: bool) -> None:
    """Post, edit and delete over two days, erasing now and then; then let the day after pass."""
    clock = StillClock()
    history = open_history(folder, clock, content_hours=24.0)
    live: list[Scored] = []
    offset, number = 0, 0
    longest = chance.choice([30, 300] if batch == MANY else [30, 300, 9_000])
    for _ in range(60):
        records = []
        for _ in range(batch):
            number += 1
            text = secret(number, chance.choice([len(MARK) + 8, longest, 3 * longest]))
            if live and chance.random() < 0.3:
                old = live.pop(chance.randrange(len(live)))
                records.append(old._replace(op="retract", content=None))
                if chance.random() < 0.5:
                    live.append(old._replace(rev=old.rev + 1, content=text))
                    records.append(live[-1])
            else:
                live.append(scored(f"{chance.random()}", time_ms=clock.ms - chance.randrange(10**6), content=text))
                records.append(live[-1])
        await history.store_posts(POSTS, [(offset + at, clock.ms, record) for at, record in enumerate(records)])
        offset += len(records)
        clock.ms += TRUNCATE_EVERY_MS + chance.randrange(2 * HOUR_MS)
        if chance.random() < 0.3:
            await upkeep(history, clock)
            assert found(folder) <= shown(history)
        if restart and chance.random() < 0.1:
            history.close()
            history = open_history(folder, clock, content_hours=24.0)
    await upkeep(history, clock)
    assert found(folder) <= shown(history) and len(found(folder)) > 0.9 * len(shown(history))
    clock.ms += 24 * HOUR_MS
    await upkeep(history, clock)
    assert in_all_files(folder, MARK) == 0
    assert in_all_files(folder, b"xxxxxxxx") == 0
    with HistoryReader(history.path) as reader:
        rows = list(reader.posts(content=True))
    assert len(rows) == len(live) and not any(row.content for row in rows)
    history.close()


async def test_the_search_would_find_texts_that_are_only_deleted(tmp_path: Path) -> None:
    """A control: in a column of the tree itself, `secure_delete` leaves copies behind."""
    connection = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    connection.execute("CREATE TABLE posts (time INTEGER, id TEXT, content TEXT, PRIMARY KEY (time, id)) WITHOUT ROWID")
    chance = random.Random(1)
    connection.execute("BEGIN")
    for number in range(5_000):
        row = (chance.randrange(10**6), f"{number}", secret(number, chance.randrange(20, 200)))
        connection.execute("INSERT INTO posts VALUES (?, ?, ?)", row)
    connection.execute("COMMIT")
    connection.execute("UPDATE posts SET content = NULL")
    connection.close()
    assert in_all_files(tmp_path, MARK) > 0


async def test_texts_lie_on_overflow_pages_alone(tmp_path: Path) -> None:
    """At most the page less 35 bytes of a row are kept inside the tree (SQLite's file format, 1.6)."""
    history = open_history(tmp_path)
    await history.store_posts(POSTS, [(0, T0, scored("1", content="SECRET"))])
    history.close()
    with closing(sqlite3.connect(history.path)) as connection:
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        ((place, at),) = connection.execute("SELECT instr(body, CAST('SECRET' AS BLOB)) - 1, at FROM chunks, posts")
    assert place == at >= page_size - 35


async def test_a_deleted_post_leaves_no_text(tmp_path: Path) -> None:
    clock = StillClock()
    history = open_history(tmp_path, clock)
    posts = [scored(f"{at:03}", content=secret(at, 20)) for at in range(100)]
    await history.store_posts(POSTS, [(at, T0, post) for at, post in enumerate(posts)])
    await upkeep(history, clock)
    gone = [post._replace(op="retract", content=None) for post in posts[::2]]
    await history.store_posts(POSTS, [(100 + at, T0, post) for at, post in enumerate(gone)])
    clock.ms += 60_000
    await upkeep(history, clock)
    assert found(tmp_path) <= shown(history) == set(range(1, 100, 2))
    assert len(found(tmp_path)) > 45
    history.close()


async def test_a_text_that_is_replaced_or_not_taken_is_erased(tmp_path: Path) -> None:
    clock = StillClock()
    history = open_history(tmp_path, clock)
    first = scored("1", rev=1, content="SECRET first")
    await history.store_posts(POSTS, [(0, T0, first)])
    await history.store_posts(POSTS, [(1, T0, first._replace(rev=0, content="SECRET older"))])
    await history.store_posts(POSTS, [(2, T0, first._replace(content="other words"))])
    await upkeep(history, clock)
    assert in_all_files(tmp_path, MARK) == 0
    with HistoryReader(history.path) as reader:
        assert [(row.rev, row.content) for row in reader.posts(content=True)] == [(1, "other words")]
    history.close()


async def test_texts_larger_than_a_chunk_and_chunks_that_fill_up(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    lengths = [history_texts.CHUNK_BYTES + 1, 1, 60_000, 60_000, 60_000, 0, 300_000, 5]
    posts = [scored(f"{at}", content=f"{at}" * length) for at, length in enumerate(lengths)]
    await history.store_posts(POSTS, [(at, T0, post) for at, post in enumerate(posts)])
    with HistoryReader(history.path) as reader:
        assert [row.content for row in reader.posts(content=True)] == [post.content for post in posts]
    history.close()


async def test_a_clock_that_was_ahead_keeps_no_text_longer(tmp_path: Path) -> None:
    """The time of append comes from the log; one from a clock that was years ahead counts from now instead."""
    clock = StillClock()
    history = open_history(tmp_path, clock, content_hours=1.0)
    await history.store_posts(POSTS, [(0, T0 + 10**11, scored("1", content="SECRET"))])
    clock.ms += HOUR_MS
    await upkeep(history, clock)
    assert in_all_files(tmp_path, MARK) == 0
    history.close()


async def test_a_reader_in_the_middle_of_a_page_only_delays_the_erasure(tmp_path: Path) -> None:
    clock = StillClock()
    history = open_history(tmp_path, clock)
    await history.store_posts(POSTS, [(0, T0, scored("1", content="SECRET"))])
    with sqlite3.connect(history.path, isolation_level=None) as slow:
        slow.execute("BEGIN")
        slow.execute("SELECT * FROM posts").fetchall()
        clock.ms += 25 * HOUR_MS
        await upkeep(history, clock)
        assert in_all_files(tmp_path, MARK) > 0
        slow.execute("COMMIT")
    slow.close()
    clock.ms += 60_000
    await upkeep(history, clock)
    assert in_all_files(tmp_path, MARK) == 0
    history.close()
