"""The embedded log's file when things go wrong with it: damaged, too new, read-only, no space left."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartbeat.engine import faults, sqlite_schema
from heartbeat.engine.log import TP, Advance, Append, Put, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_schema import place
from heartbeat.errors import BadLogUrl, LogDamaged, LogTooNew, LogUnavailable, StartError, UnknownTopic
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.faults import Injector, parse
from heartbeat.topics import Topic

EVENTS = Topic("events")
NEWEST = Topic("newest", retention_ms=None, compact=True)
TEXT = b"the quick brown fox"


def opened(path: Path, **options: bool) -> SqliteLog:
    return SqliteLog.open(path, clock=FakeClock(), **options)


def unit(number: int, size: int = 300) -> UnitWrite:
    name = b"%d" % number
    return UnitWrite(
        [*(Append("events", p, name, TEXT * (size // 19)) for p in (0, 1)), Append("newest", 0, name, TEXT + name)],
        [Advance("g", TP("events", 0), number or None, number + 1)],
        [Put("seen", 0, name, b"state " + name, number)],
    )


def contents(log: SqliteLog) -> list[object]:
    async def read() -> list[object]:
        return [await log.fetch(TP("events", partition), 0, 10**9, 0) for partition in (0, 1)]

    found = asyncio.run(read())
    found.append(list(log.latest(TP("newest", 0))))
    seen = log.state("seen").get_many(0, [b"%d" % n for n in range(400)])
    found += [seen, sorted(log.state("seen").expired(0, 10**6, 10**6))]
    return found


def filled(path: Path, units: int = 200) -> list[object]:
    async def fill() -> None:
        await asyncio.gather(*(log.write(unit(number)) for number in range(units)))

    log = opened(path)
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        asyncio.run(fill())
        return contents(log)
    finally:
        log.close()


# Where it is


@pytest.mark.parametrize("url", ["sqlite:///var/x.db", "sqlite:x.db", "kafka://host", "", "sqlite", "sqlite://host/x"])
def test_a_place_in_a_url_is_an_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadLogUrl, match="data-dir"):
        place(url, tmp_path)


def test_the_place_is_in_the_data_directory(tmp_path: Path) -> None:
    assert place("sqlite:", tmp_path) == tmp_path / "log.db"


def test_a_reader_makes_no_log(tmp_path: Path) -> None:
    with pytest.raises(BadLogUrl, match="no log here"):
        opened(tmp_path / "log.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    filled(tmp_path / "log.db")
    assert [file.name for file in tmp_path.iterdir()] == ["log.db"]
    assert (tmp_path / "log.db").stat().st_mode & 0o777 == 0o600


# Readers beside the owner


async def test_a_reader_follows_the_owner(tmp_path: Path) -> None:
    owner = opened(tmp_path / "log.db")
    reader = opened(tmp_path / "log.db", read_only=True)
    try:
        with pytest.raises(UnknownTopic):
            reader.end_offset(TP("events", 0))
        owner.create_topic(EVENTS, 2)
        owner.create_topic(NEWEST, 1)
        waiting = asyncio.ensure_future(reader.fetch(TP("events", 0), 0, 9, 30))
        await asyncio.sleep(0.05)
        await owner.write(unit(0))
        assert [r.key for r in await asyncio.wait_for(waiting, 20)] == [b"0"]
        assert (reader.end_offset(TP("events", 0)), reader.committed("g", TP("events", 0))) == (1, 1)
        assert reader.state("seen").count(0) == 1
        assert reader.sizes() == owner.sizes()
        with pytest.raises(LogUnavailable, match="for reading alone"):
            await reader.write(unit(1))
        with pytest.raises(LogUnavailable, match="for reading alone"):
            reader.create_topic(Topic("another"), 1)
    finally:
        reader.close()
        owner.close()


async def test_a_half_read_page_holds_no_snapshot(tmp_path: Path) -> None:
    """So the WAL can be given back while somebody is in the middle of a long read."""
    owner = opened(tmp_path / "log.db")
    try:
        owner.create_topic(NEWEST, 1)
        await owner.write(UnitWrite([Append("newest", 0, b"%d" % n, TEXT) for n in range(3000)]))
        reader = opened(tmp_path / "log.db", read_only=True)
        live = iter(reader.latest(TP("newest", 0)))
        next(live)
        con = sqlite3.connect(tmp_path / "log.db")
        assert con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        con.close()
        assert sum(1 for _ in live) == 2999
        reader.close()
    finally:
        owner.close()


async def test_a_second_writer_is_fenced(tmp_path: Path) -> None:
    """Should the lock on the directory ever fail: offsets are compared with the file's, not with memory's."""
    first, second = opened(tmp_path / "log.db"), opened(tmp_path / "log.db")
    try:
        first.create_topic(EVENTS, 2)
        first.create_topic(NEWEST, 1)
        await first.write(unit(0))
        late = opened(tmp_path / "log.db")
        await first.write(unit(1))
        results = await asyncio.gather(late.write(unit(1)), late.write(unit(2)), return_exceptions=True)
        assert "stands at 2" in str(results[0])
        assert results[1] == [2, 2, 2]
        assert await first.write(unit(3)) == [3, 3, 3]
        late.close()
        assert [r.offset for r in await first.fetch(TP("events", 1), 0, 9, 0)] == [0, 1, 2, 3]
    finally:
        first.close()
        second.close()


async def test_after_closing_everything_is_refused(tmp_path: Path) -> None:
    log = opened(tmp_path / "log.db")
    log.create_topic(EVENTS, 2)
    waiting = asyncio.ensure_future(log.fetch(TP("events", 0), 0, 9, 30))
    await asyncio.sleep(0.01)
    log.close()
    log.close()
    assert await asyncio.wait_for(waiting, 20) == []
    with pytest.raises(LogUnavailable, match="closed"):
        await log.write(unit(0))
    with pytest.raises(LogUnavailable, match="closed"):
        await log.fetch(TP("events", 0), 0, 9, 0)
    with pytest.raises(LogUnavailable, match="closed"):
        log.schema(1)


async def test_an_impossible_unit_fails_alone(tmp_path: Path) -> None:
    """Beside good ones in the same transaction."""
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        wrong = UnitWrite([Append("events", 1, b"k", b"v")], puts=[Put("seen", 0, b"k", b"v", 2**70)])
        results = await asyncio.gather(log.write(unit(0)), log.write(wrong), log.write(unit(1)), return_exceptions=True)
        assert results[0] == [0, 0, 0]
        assert "cannot be written" in str(results[1])
        assert results[2] == [1, 1, 1]
        with pytest.raises(TypeError):
            await log.write(UnitWrite([Append("events", 0, b"k", "text")]))  # type: ignore[arg-type]
        with pytest.raises(Exception, match="compact: a message needs a key"):
            await log.write(UnitWrite([Append("newest", 0, None, b"v")]))
    finally:
        log.close()


async def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartbeat.engine.sqlite_log.MAX_QUEUED_BYTES", 10_000)
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        futures = [log.write(UnitWrite([Append("events", 0, b"k", bytes(4000))])) for _ in range(10)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(result, list) for result in results] == [True] * 3 + [False] * 7
        assert isinstance(results[-1], LogUnavailable)
        assert await log.write(UnitWrite([Append("events", 0, b"k", b"v")])) == [3]
    finally:
        log.close()


# Damage


@pytest.mark.parametrize("size", [0, 1, 99, 100, 4096, 40_000, -4096, -1])
def test_a_file_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log.db"
    filled(path)
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match=r"log\.db: the log is damaged .*backup"):
        opened(path)
    assert path.read_bytes() == before


def test_another_program_s_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE mine(a)")
    con.close()
    for read_only in (False, True):
        with pytest.raises(LogDamaged, match="another program"):
            opened(path, read_only=read_only)
    path.write_bytes(b"not a database at all, and long enough to have a header" * 100)
    with pytest.raises(LogDamaged, match="no SQLite header"):
        opened(path)


def test_remains_of_a_log_are_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    (tmp_path / "log.db-wal").write_bytes(b"something")
    with pytest.raises(LogDamaged, match="is gone"):
        opened(path)
    assert not path.exists()


def test_flipped_bytes_never_pass_for_messages(tmp_path: Path) -> None:
    """Wherever they are: what is read is what was written, or the log says that it is damaged."""
    path, copy = tmp_path / "log.db", tmp_path / "copy" / "log.db"
    copy.parent.mkdir()
    wanted = filled(path)
    whole = path.read_bytes()
    dice = random.Random(1)  # how much is noticed depends on the places: most pages are half empty
    noticed = 0
    for place_ in [*range(0, 100, 7), *(dice.randrange(len(whole)) for _ in range(80))]:
        broken = bytearray(whole)
        for at in range(place_, min(place_ + 3, len(whole))):
            broken[at] ^= 0x55
        for old in copy.parent.iterdir():
            old.unlink()
        copy.write_bytes(broken)
        try:
            log = opened(copy)
        except (LogDamaged, LogTooNew, LogUnavailable):
            noticed += 1
            continue
        try:
            found = contents(log)
        except (LogDamaged, UnknownTopic):
            noticed += 1
        else:
            # a key that the index no longer leads to is missing, never wrong
            assert found[:3] == wanted[:3]
            assert isinstance(found[3], dict)
            assert isinstance(wanted[3], dict)
            assert found[3].items() <= wanted[3].items()
        finally:
            log.close()
    assert noticed > 30


@pytest.fixture
def unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage that comes after the start, or that the start had no time to find."""
    monkeypatch.setattr("heartbeat.engine.sqlite_integrity.faults", lambda *_, **__: iter(()))


def test_damage_in_the_middle_of_a_message_is_named(tmp_path: Path, unnoticed: None) -> None:
    path = tmp_path / "log.db"
    filled(path, 3)
    whole = path.read_bytes()
    at = whole.rindex(TEXT * 5)
    path.write_bytes(whole[: at + 20] + b"X" + whole[at + 21 :])
    log = opened(path)
    try:
        with pytest.raises(LogDamaged, match="checksum in events/"):
            contents(log)
    finally:
        log.close()


def test_damage_in_state_is_named(tmp_path: Path, unnoticed: None) -> None:
    path = tmp_path / "log.db"
    filled(path, 3)
    whole = path.read_bytes()
    at = whole.index(b"state 1")
    path.write_bytes(whole[:at] + b"X" + whole[at + 1 :])
    log = opened(path)
    try:
        with pytest.raises(LogDamaged, match="checksum in the state store seen/0"):
            log.state("seen").get_many(0, [b"1"])
        with pytest.raises(LogDamaged, match="checksum in the state store seen/0"):
            log.state("seen").expired(0, 10, 10)
        assert log.state("seen").get_many(0, [b"2"]) == {b"2": b"state 2"}
    finally:
        log.close()


async def test_damage_that_a_write_meets(tmp_path: Path) -> None:
    """Long after opening."""
    path = tmp_path / "log.db"
    await asyncio.to_thread(filled, path)
    log = opened(path)
    try:
        assert log._writing is not None
        log._writing.execute("PRAGMA shrink_memory")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        results = await asyncio.gather(log.write(unit(200)), log.write(unit(201)), return_exceptions=True)
        assert [type(result) for result in results] == [LogDamaged, LogDamaged]
    finally:
        log.close()


def test_opening_a_large_file_is_quick(tmp_path: Path) -> None:
    """The look through the file is given up in time."""

    async def fill() -> None:
        await asyncio.gather(
            *(log.write(UnitWrite([Append("events", 0, b"k", bytes(100_000)) for _ in range(20)])) for _ in range(75))
        )

    path = tmp_path / "log.db"
    log = opened(path)
    log.create_topic(EVENTS, 1)
    asyncio.run(fill())
    log.close()
    assert path.stat().st_size > 140_000_000
    begun = time.monotonic()
    opened(path).close()
    assert time.monotonic() - begun < 20


# Versions


def test_a_newer_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    wanted = filled(path)
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {sqlite_schema.VERSION + 1}")
    con.close()
    for read_only in (False, True):
        with pytest.raises(LogTooNew, match="newer Heartbeat"):
            opened(path, read_only=read_only)
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {sqlite_schema.VERSION}")
    con.close()
    log = opened(path)
    assert contents(log) == wanted
    log.close()


def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    filled(path)
    now = sqlite_schema.VERSION
    steps = {now: "CREATE TABLE added(a INTEGER)", now + 1: "INSERT INTO added VALUES (7)"}
    con = sqlite_schema.connect(path)
    sqlite_schema.migrate(con, path, steps, now + 2)
    assert con.execute("SELECT a FROM added").fetchall() == [(7,)]
    assert con.execute("PRAGMA user_version").fetchone() == (now + 2,)
    con.close()


def test_a_migration_that_fails_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    filled(path)
    now = sqlite_schema.VERSION
    steps = {now: "CREATE TABLE added(a)", now + 1: "INSERT INTO added VALUES (1); INSERT INTO nowhere VALUES (1)"}
    con = sqlite_schema.connect(path)
    with pytest.raises(LogUnavailable, match="nowhere"):
        sqlite_schema.migrate(con, path, steps, now + 2)
    assert con.execute("PRAGMA user_version").fetchone() == (now + 1,)
    assert con.execute("SELECT * FROM added").fetchall() == []
    con.close()


# Space and rights


@contextmanager
def as_nobody() -> Iterator[None]:
    """Rights mean nothing to root, so be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may pass through."""
    path = Path(tempfile.mkdtemp(prefix="heartbeat-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(StartError, match="has to be writable"):
        opened(folder / "log.db")
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)


def test_a_read_only_file(folder: Path) -> None:
    path = folder / "log.db"
    wanted = filled(path)
    path.chmod(0o444)
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(LogUnavailable, match=r"log\.db: "):
        opened(path)
    folder.chmod(0o755)
    path.chmod(0o644)
    log = opened(path)
    assert contents(log) == wanted
    log.close()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_no_space_for_the_wal(tmp_path: Path) -> None:
    """Units fail, nothing of them is there; once there is space again they go through."""
    path = tmp_path / "log.db"
    log = opened(path)
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        await log.write(unit(0))
        with no_file_larger_than(max(file.stat().st_size for file in tmp_path.iterdir()) + 200_000):
            number = 1
            with pytest.raises(LogUnavailable, match=r"log\.db"):
                while number < 100:
                    await log.write(unit(number, 9_000))
                    number += 1
            assert 1 < number < 100
            with pytest.raises(LogUnavailable):
                await log.write(unit(number, 90_000))
            assert log.committed("g", TP("events", 0)) == number
            assert log.end_offset(TP("events", 0)) == number
            assert len(await log.fetch(TP("events", 1), 0, 1000, 0)) == number
        assert await log.write(unit(number)) == [number] * 3
    finally:
        log.close()
    again = opened(path)
    assert (again.committed("g", TP("events", 0)), again.state("seen").count(0)) == (number + 1, number + 1)
    again.close()


async def test_a_full_disk_says_so(tmp_path: Path) -> None:
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        await log.write(unit(0))

        def limit(pages: str) -> None:
            assert log._writing is not None
            log._writing.execute(f"PRAGMA max_page_count = {pages}")

        limit("1")  # no more than there is
        with pytest.raises(LogUnavailable, match="disk is full; nothing was lost"):
            await log.write(unit(1, 100_000))
        assert log.committed("g", TP("events", 0)) == 1
        limit("1000000")
        assert await log.write(unit(1, 100_000)) == [1, 1, 1]
    finally:
        log.close()


async def test_the_wal_stays_bounded(tmp_path: Path) -> None:
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 1)
        for _ in range(120):
            await log.write(UnitWrite([Append("events", 0, b"k", bytes(1_000_000))]))
        assert log.wal_bytes() < 48 * 1024 * 1024
        assert log.file_bytes() > 120_000_000
    finally:
        log.close()


# Outcomes


@pytest.fixture
def injected() -> Iterator[Callable[[str], Injector]]:
    def install(text: str) -> Injector:
        injector = parse(text)
        faults.install(injector)
        return injector

    yield install
    faults.install(None)


async def test_an_error_after_the_fact_is_no_failure(tmp_path: Path, injected: Callable[[str], Injector]) -> None:
    """COMMIT reports an error for what it did, and looking it up fails a few times: the caller learns the truth."""
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        injector = injected("log.committed:lie:0.5,log.settle:fail:0.5,seed=3")
        for number in range(40):
            assert await log.write(unit(number)) == [number] * 3
        assert log.register_schema("Post", "{}") == 1
        assert injector.struck > 20
    finally:
        faults.install(None)
        log.close()


@pytest.mark.parametrize("name", ["log.begin", "log.begun", "log.insert", "log.commit"])
async def test_an_error_before_the_fact_is_one(tmp_path: Path, injected: Callable[[str], Injector], name: str) -> None:
    """All units of the transaction fail, nothing of them is there, and the next ones go through."""
    log = opened(tmp_path / "log.db")
    try:
        log.create_topic(EVENTS, 2)
        log.create_topic(NEWEST, 1)
        injected(f"{name}:full:@1")
        futures = [log.write(unit(number)) for number in range(3)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(results[0], LogUnavailable)
        assert "disk is full" in str(results[0])
        assert not any(isinstance(result, list) for result in results)
        assert log.committed("g", TP("events", 0)) is None
        assert log.end_offset(TP("events", 0)) == log.state("seen").count(0) == 0
        assert await log.write(unit(0)) == [0, 0, 0]
        assert await log.write(unit(1)) == [1, 1, 1]
    finally:
        log.close()


async def test_an_outcome_that_nobody_can_look_up(tmp_path: Path, injected: Callable[[str], Injector]) -> None:
    """The caller waits for as long as it is not known; closing ends that, and the next start knows."""
    path = tmp_path / "log.db"
    log = opened(path)
    log.create_topic(EVENTS, 2)
    log.create_topic(NEWEST, 1)
    injected("log.committed:lie,log.settle:fail")
    future = log.write(unit(0))
    done, _ = await asyncio.wait([future], timeout=0.3)
    assert not done
    await asyncio.to_thread(log.close)
    with pytest.raises(LogUnavailable, match="is not known"):
        await asyncio.wait_for(future, 30)
    faults.install(None)
    log = opened(path)
    assert log.committed("g", TP("events", 0)) == 1
    log.close()


async def test_long_messages_come_a_few_at_a_time(tmp_path: Path) -> None:
    log = opened(tmp_path / "log.db")
    log.create_topic(EVENTS, 1)
    sent = [b"%d" % number + bytes(400_000) for number in range(20)]
    await log.write(UnitWrite([Append("events", 0, b"k", value) for value in sent]))
    got: list[bytes | None] = []
    while records := await log.fetch(TP("events", 0), len(got), 512, 0):
        assert sum(len(record.value or b"") for record in records) < 2_000_000
        got += [record.value for record in records]
    assert got == sent
    log.close()
