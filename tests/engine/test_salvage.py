"""Damaged logs: refused at start with the place, or as they were; and what salvage gets out of them."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.engine.log import TP, LogRecord, UnitWrite
from heartbeat.engine.salvage import salvage
from heartbeat.engine.salvage_report import Gap, Report, as_object, missing
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogDamaged, LogTooNew
from tests.engine.test_log_file import EVENTS, NEWEST, contents, filled, opened, unit

PAGE: Final = 4096
Damage = Callable[[bytearray, random.Random], None]


def flipped(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 20)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def zeroed(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) // PAGE) * PAGE
        data[at : at + PAGE] = bytes(PAGE)


def scribbled(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + dice.randint(1, 3 * PAGE)] = dice.randbytes(min(dice.randint(1, 3 * PAGE), len(data) - at))


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(1, len(data)) :]


def swapped(data: bytearray, dice: random.Random) -> None:
    one, other = (dice.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]


def beginning(data: bytearray, dice: random.Random) -> None:
    """Where the schema and the small tables are."""
    for _ in range(dice.randint(1, 6)):
        data[dice.randrange(min(len(data), 14 * PAGE))] = dice.randrange(256)


DAMAGES: Final = [flipped, zeroed, scribbled, cut, swapped, beginning]


class Whole:
    """A log's file and what is in it."""

    def __init__(self, data: bytes, wanted: list[object]) -> None:
        self.data, self.wanted = data, wanted

    def __repr__(self) -> str:
        return "Whole(…)"


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    """A log that nothing has happened to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        wanted = filled(path, 120)
        log = opened(path)
        log.register_group("g", "events")
        log.close()
        yield Whole(path.read_bytes(), wanted)


@given(damage=st.sampled_from(DAMAGES), seed=st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_damaged_log_is_refused_at_start_or_nothing_is_missing(whole: Whole, damage: Damage, seed: int) -> None:
    content, wanted = whole.data, whole.wanted
    data = bytearray(content)
    damage(data, random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        path.write_bytes(data)
        try:
            log = opened(path)
        except (LogDamaged, LogTooNew) as error:
            assert str(path) in str(error)
            return
        try:
            assert contents(log) == wanted
        finally:
            log.close()


@given(damage=st.sampled_from(DAMAGES), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_is_salvaged_is_what_was_written_and_the_rest_is_named(
    whole: Whole, damage: Damage, seed: int
) -> None:
    content, wanted = whole.data, whole.wanted
    data = bytearray(content)
    damage(data, random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "log.db", Path(folder) / "new.db"
        path.write_bytes(data)
        try:
            report = salvage(path, target)
        except LogDamaged:
            assert damage in (cut, scribbled, zeroed, swapped)
            return
        assert path.read_bytes() == bytes(data)
        log = opened(target)
        try:
            check(log, report, wanted)
            if set(log.topics()) == {"events", "newest"} and not report.guessed:  # and it can be gone on with
                asyncio.run(go_on(log))
        finally:
            log.close()


def check(log: SqliteLog, report: Report, wanted: list[object]) -> None:
    """Nothing that was not there, and every message that is not there is in a gap."""
    for partition in (0, 1):
        before = wanted[partition]
        assert isinstance(before, list)
        there: dict[int, LogRecord] = {}
        if "events" in log.topics() and partition < log.partitions("events"):
            there = {record.offset: record for record in log.peek(TP("events", partition), 0, 10**6)}
            assert all(before[offset] == record for offset, record in there.items())
        gone = {
            offset
            for gap in report.gaps
            if (gap.topic, gap.partition) == ("events", partition)
            for offset in range(gap.first, gap.last + 1)
        }
        assert not gone & there.keys()
        first = min(there, default=len(before))
        last = max([*there, *gone], default=-1)
        assert {offset for offset in range(first, last + 1)} == there.keys() | {one for one in gone if one >= first}
    newest, seen = wanted[2], wanted[3]
    assert isinstance(newest, list) and isinstance(seen, dict)
    if "newest" in log.topics() and log.topics()["newest"].compact:
        assert set(log.latest(TP("newest", 0))) <= set(newest)
    there_seen = log.state("seen").get_many(0, list(seen))
    assert there_seen.items() <= seen.items()
    if report.complete:
        assert len(there_seen) == len(seen) or not report.rows
    assert report.complete == (not list(missing(report)))


async def go_on(log: SqliteLog) -> None:
    log.create_topic(EVENTS, 2)
    log.create_topic(NEWEST, 1)
    stands = log.committed("g", TP("events", 0))
    write = unit(7)
    offsets = await log.write(
        UnitWrite(write.appends, [write.advances[0]._replace(expected=stands, to=10**6)], write.puts)
    )
    assert offsets[0] == log.end_offset(TP("events", 0)) - 1


def test_an_undamaged_log_is_salvaged_as_a_whole(whole: Whole, tmp_path: Path) -> None:
    content, wanted = whole.data, whole.wanted
    (tmp_path / "log.db").write_bytes(content)
    report = salvage(tmp_path / "log.db", tmp_path / "new.db")
    assert report.complete and report.unreadable == 0 and report.messages == {"events": 240, "newest": 120}
    log = opened(tmp_path / "new.db")
    assert contents(log) == wanted and log.committed("g", TP("events", 0)) == 120
    log.close()
    assert os.stat(tmp_path / "new.db").st_mode & 0o777 == 0o600


async def test_what_is_still_in_the_wal_is_salvaged_too(tmp_path: Path) -> None:
    """As `kill -9` leaves it."""
    log = opened(tmp_path / "log.db")
    log.create_topic(EVENTS, 2)
    log.create_topic(NEWEST, 1)
    await asyncio.gather(*(log.write(unit(number)) for number in range(50)))
    (tmp_path / "left").mkdir()
    for name in ("log.db", "log.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "left" / name)
    wanted = await asyncio.to_thread(contents, log)
    log.close()
    assert (tmp_path / "left" / "log.db-wal").stat().st_size > 100_000
    report = await asyncio.to_thread(salvage, tmp_path / "left" / "log.db", tmp_path / "new.db")
    assert report.complete
    new = opened(tmp_path / "new.db")
    assert await asyncio.to_thread(contents, new) == wanted
    new.close()


def test_gaps_of_what_was_replaced_do_not_hide_damage() -> None:
    """Each second of a window leaves one; they are told in a line, and counted all the same."""
    gaps = [Gap("pulse", 1, at, at + 1) for at in range(0, 900, 3)]
    report = Report(gaps=[*gaps, Gap("pulse", 2, 5, 5), Gap("sentiment", 0, 7, 8)])
    assert list(missing(report)) == [
        "pulse/1: 600 messages in 300 places (replaced by newer ones, or damaged)",
        "pulse/2: message 5 (damaged, or replaced by newer ones earlier)",
        "sentiment/0: messages 7 to 8 (damaged, or erased earlier)",
    ]
    assert len(as_object(report)["gaps"]) == 302


def test_a_damaged_message_is_named(whole: Whole, tmp_path: Path) -> None:
    data = bytearray(whole.data)
    at = data.index(b"quick brown fox", len(data) // 2)
    data[at : at + 5] = b"QUICK"
    (tmp_path / "log.db").write_bytes(data)
    with pytest.raises(LogDamaged, match="wrong checksum in (events|newest)/"):
        opened(tmp_path / "log.db")
    report = salvage(tmp_path / "log.db", tmp_path / "new.db")
    assert not report.complete and len(list(missing(report))) == 1


@pytest.mark.parametrize("content", [b"", b"x" * 5000, bytes(8192)])
def test_what_is_no_log_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.db").write_bytes(content)
    with pytest.raises(LogDamaged, match="restore a backup"):
        salvage(tmp_path / "log.db", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()
