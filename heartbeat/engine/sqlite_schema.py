"""The embedded log's file: its schema, its versions, and how it is opened and checked.

A new file is built under another name and moved into place, so `log.db` is never half made: a file of that name that
is not whole is damaged, and is never begun anew in silence.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from heartbeat import sqlite_files
from heartbeat.engine.faults import point
from heartbeat.errors import BadLogUrl, LogDamaged, LogError, LogTooNew, LogUnavailable, StartError

FILE_NAME: Final = "log.db"
APPLICATION_ID: Final = 0x48424C47
"""`HBLG`, in the file's header: tells our file from any other SQLite database."""
VERSION: Final = 1
OFFSET_BITS: Final = 40
"""A message's row id is its partition's slot and its offset in one integer: a partition's messages lie together."""

SCHEMA: Final = """
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL);
INSERT INTO meta VALUES (1, 0);
CREATE TABLE topics(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    retention_ms INTEGER, compact INTEGER NOT NULL, holds_content INTEGER NOT NULL);
CREATE TABLE partitions(
    slot INTEGER PRIMARY KEY, topic INTEGER NOT NULL, number INTEGER NOT NULL,
    next INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (topic, number));
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY, length INTEGER NOT NULL, ts_ms INTEGER NOT NULL, crc INTEGER NOT NULL,
    headed INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE latest(
    id INTEGER PRIMARY KEY, slot INTEGER NOT NULL, key BLOB NOT NULL, ts_ms INTEGER NOT NULL,
    crc INTEGER NOT NULL, headers BLOB, value BLOB NOT NULL);
CREATE UNIQUE INDEX latest_by_key ON latest(slot, key);
CREATE TABLE commits(consumer TEXT, slot INTEGER, offset INTEGER NOT NULL, PRIMARY KEY (consumer, slot)) WITHOUT ROWID;
CREATE TABLE consumers(topic INTEGER, consumer TEXT, PRIMARY KEY (topic, consumer)) WITHOUT ROWID;
CREATE TABLE stores(
    slot INTEGER PRIMARY KEY, name TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL,
    UNIQUE (name, number));
CREATE TABLE state(
    id INTEGER PRIMARY KEY, slot INTEGER NOT NULL, hash INTEGER NOT NULL, expires_ms INTEGER,
    crc INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL);
CREATE INDEX state_by_hash ON state(slot, hash);
CREATE INDEX state_by_expiry ON state(slot, expires_ms) WHERE expires_ms IS NOT NULL;
CREATE TABLE schemas(id INTEGER PRIMARY KEY, subject TEXT NOT NULL, schema TEXT NOT NULL, UNIQUE (subject, schema));
"""

MIGRATIONS: Final[Mapping[int, str]] = {}
"""From a version to the next: SQL that runs in one transaction with the change of version."""

CHECKPOINT_PAGES: Final = 8_000
"""How long the WAL gets (32 MB) before it is copied into the file, unless a reader is in the way."""
BUSY_S: Final = 5.0
_STATEMENTS: Final = 256
CHECK_S: Final = 0.7
"""How long opening may spend on looking through the whole file; what lies beyond is checked as it is read."""


def place(url: str, data_dir: Path) -> Path:
    """Where the log of a broker URL is: always `log.db` in the data directory.

    Raises:
        BadLogUrl: anything but `sqlite:`. A path in a URL would be a file somewhere else sooner or later.
    """
    if url.rstrip("/") != "sqlite:":
        raise BadLogUrl(f"{url!r}: the broker has to be `sqlite:`, which takes no path; --data-dir says where it is")
    return data_dir / FILE_NAME


def explain(error: Exception, path: Path) -> LogError:
    """What an error of SQLite or of the system means for the log."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if isinstance(error, LogError):
        return error
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    number = error.errno if isinstance(error, OSError) else None
    if primary == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT):
        return LogUnavailable(f"{path}: the disk is full; nothing was lost: free some space and it goes on")
    if primary == sqlite3.SQLITE_READONLY or number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return LogUnavailable(f"{path}: the file or its folder is read-only; make both writable")
    if primary == sqlite3.SQLITE_IOERR or number in (errno.EIO, errno.EFBIG):
        return LogUnavailable(
            f"{path}: the disk reports an error ({error}); look at the disk, at quotas, and at how large files may get "
            "(`ulimit -f`)"
        )
    if isinstance(error, (sqlite3.Error, OSError)):
        return LogUnavailable(f"{path}: {error}")
    return LogError(f"{path}: {type(error).__name__}: {error}")


def explain_opening(error: sqlite3.Error | OSError, path: Path, *, read_only: bool) -> LogError:
    """The same where it could not even be opened; who only wants to read is not told to make it writable."""
    known = explain(error, path)
    if read_only and isinstance(known, LogUnavailable) and (why := sqlite_files.why_unreadable(path)):
        return LogUnavailable(f"{path}: {why}")
    return known


def damaged(path: Path, what: str) -> LogDamaged:
    """The error for a file that is not whole."""
    return LogDamaged(
        f"{path}: the log is damaged ({what}). Restore the whole data directory from a backup (`heartbeat restore`); "
        f"or, to keep what can be read, run `heartbeat doctor --salvage NEW_DIRECTORY`; or move {path.name}, "
        f"{path.name}-wal and {path.name}-shm away together and begin anew"
    )


def connect(path: Path, *, durable: bool = False, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the settings that all of them share."""
    if read_only:
        con = sqlite_files.open_for_reading(path, timeout_s=BUSY_S, cached_statements=_STATEMENTS)
    else:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        con = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
            timeout=BUSY_S,
        )
    try:
        point("log.open")
        con.execute("PRAGMA cache_size = -32000")
        if not read_only:
            con.execute("PRAGMA journal_mode = WAL")
            con.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            con.execute("PRAGMA secure_delete = ON")
            con.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            con.execute(f"PRAGMA journal_size_limit = {CHECKPOINT_PAGES * 4096}")
            con.execute("PRAGMA foreign_keys = OFF")
    except BaseException:
        con.close()
        raise
    return con


def create(path: Path) -> None:
    """Make a new, empty log in its place.

    Raises:
        LogDamaged: there are remains of a log whose main file is gone.
        StartError: the folder cannot be written to.
    """
    if sqlite_files.has_wal(path):
        raise damaged(path, f"{path.name} is gone, but {path.name}-wal is there")
    try:
        sqlite_files.create_whole(path, _fill)
    except (OSError, sqlite3.Error) as error:
        raise StartError(
            f"{path}: a log cannot be made here ({error}); the folder has to be writable, with some space left"
        ) from error


def _fill(con: sqlite3.Connection) -> None:
    con.execute("PRAGMA page_size = 4096")
    con.execute("PRAGMA auto_vacuum = INCREMENTAL")
    con.executescript(
        f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )
    point("log.create")


def check(con: sqlite3.Connection, path: Path) -> None:
    """Whether the file is ours, whole as far as can be told in a second, and of a version that we read.

    Raises:
        LogDamaged, LogTooNew
    """
    check_version(con, path)
    try:
        faults = _said_by(con, "quick_check", time.monotonic() + CHECK_S)
    except sqlite3.DatabaseError as error:
        raise explain(error, path) from error
    if faults:
        raise damaged(path, faults)


def check_version(con: sqlite3.Connection, path: Path) -> None:
    """Whether the file is ours and of a version that we read.

    Raises:
        LogDamaged, LogTooNew
    """
    try:
        if con.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise damaged(path, "it is another program's database, or was never finished")
        version = con.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise explain(error, path) from error
    if version > VERSION:
        raise LogTooNew(
            f"{path}: written by a newer Heartbeat (format {version}, this one reads up to {VERSION}); "
            "update Heartbeat, or name another data directory"
        )


def migrate(con: sqlite3.Connection, path: Path, steps: Mapping[int, str] = MIGRATIONS, to: int = VERSION) -> None:
    """Bring an older file up to date, version by version, each step whole or not at all.

    Raises:
        LogUnavailable: a step failed and was undone.
    """
    version = con.execute("PRAGMA user_version").fetchone()[0]
    while version < to:
        try:
            con.executescript(f"BEGIN IMMEDIATE; {steps[version]}; PRAGMA user_version = {version + 1};")
            point("log.migrate")
            con.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if con.in_transaction:
                con.execute("ROLLBACK")
            raise explain(error, path) from error
        version += 1


def check_indexes(con: sqlite3.Connection, path: Path, until: float) -> None:
    """Whether indexes lead to every row, as far as there is time.

    Raises:
        LogDamaged
    """
    if time.monotonic() < until and (faults := _said_by(con, "integrity_check", until)):
        raise damaged(path, faults)


def _said_by(con: sqlite3.Connection, check: str, until: float) -> str:
    """The first fault that one of SQLite's checks finds in the time there is, or nothing."""
    con.set_progress_handler(lambda: time.monotonic() > until, 20_000)
    try:
        found = con.execute(f"PRAGMA {check}(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return ""
    finally:
        con.set_progress_handler(None, 0)
    return "" if found == "ok" else str(found).replace("\n", " ")


def check_length(path: Path) -> None:
    """Find a file that was cut short: its header says how many pages it had.

    With a WAL beside it the file may rightly be shorter than its header says: pages are still to be copied.
    """
    with path.open("rb") as file:
        header = file.read(100)
    size = path.stat().st_size
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise damaged(path, f"it has {size} bytes and no SQLite header")
    if sqlite_files.has_wal(path):
        return
    page_size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    if pages * (65536 if page_size == 1 else page_size) > size:
        raise damaged(path, f"it was cut short: {size} bytes of {pages * page_size}")
