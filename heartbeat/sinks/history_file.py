"""The history's file: how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from heartbeat import sqlite_files
from heartbeat.errors import HeartbeatError, HistoryError, Retry
from heartbeat.sinks import history_schema
from heartbeat.sinks.history_creation import create, tighten

NAME: Final = "history.db"
"""What the file is called in the data directory."""
APPLICATION_ID: Final = 0x48426869
"""Stands in the header of every file of ours, so that another SQLite file is not taken for one."""

OLDEST_SQLITE: Final = (3, 38, 0)
BUSY_MS: Final = 2_000

_UNUSABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_PASSING: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_BUSY: "another process is writing to it",
    sqlite3.SQLITE_LOCKED: "another process is writing to it",
    sqlite3.SQLITE_IOERR: "the disk reports an error; look at it, at quotas, and at `ulimit -f`",
    sqlite3.SQLITE_READONLY: "it is not writable; check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


_MOVE: Final = (
    "move it away, with its -wal and -shm, and a new one is begun (it holds what the topics still hold: older windows "
    "and posts are then missing from charts and exports)"
)


def explained(error: sqlite3.Error, path: Path) -> HeartbeatError | None:
    """What SQLite's error means to us: `Retry` if it may pass, `HistoryError` if not, None if it is no such thing."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNUSABLE:
        return HistoryError(f"the history {path} is damaged or no SQLite file; {_MOVE}")
    if code in _PASSING:
        return Retry(f"the history {path} cannot be used now: {_PASSING[code]}")
    return None


def open_for_writing(path: Path, *, durable: bool = False) -> sqlite3.Connection:
    """Open the file, make it or bring it up to date. The calling thread owns the connection.

    Raises:
        HistoryError: it cannot be opened, is damaged, is something else, or was written by a newer Heartbeat.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise HistoryError(f"SQLite {sqlite3.sqlite_version} is too old for the history: 3.38 or newer is needed")
    if not path.exists():
        create(path, _fill)
    tighten(path)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise unopened(error, path) from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        version = _version(connection, path, newest=len(history_schema.STEPS))
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA wal_autocheckpoint = 4000").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {32 * 2**20}").fetchall()
        for step in range(version, len(history_schema.STEPS)):
            _migrate(connection, history_schema.STEPS[step], step + 1)
        # an earlier life may have erased texts without having cut them out of the WAL
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise unopened(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file."""
    connection.execute("PRAGMA page_size = 4096")  # these two can be set only while nothing is there
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for step, sql in enumerate(history_schema.STEPS):
        _migrate(connection, sql, step + 1)


def _migrate(connection: sqlite3.Connection, step: str, version: int) -> None:
    """Take one step: all of it or nothing."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; "
            f"PRAGMA application_id = {APPLICATION_ID}; COMMIT"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_for_reading(path: Path, *, of_any_version: bool = False) -> sqlite3.Connection:
    """Open the file to read it, whether a worker has it open or not. Any thread may use the connection, one at a time.

    Args:
        path: the file.
        of_any_version: also a file that a worker has to bring up to date first: to check it or copy it as it is.

    Raises:
        HistoryError: there is none, it cannot be read, or it is of another version.
    """
    if not path.exists():
        raise HistoryError(f"there is no history at {path} yet: it is begun by the first `heartbeat worker` there")
    try:
        connection = sqlite_files.open_for_reading(path, timeout_s=BUSY_MS / 1000)
    except (sqlite3.Error, OSError) as error:
        raise unopened(error, path, reading=True) from error
    try:
        version = _version(connection, path, newest=len(history_schema.STEPS))
        if version < history_schema.READABLE and not of_any_version:
            raise HistoryError(older(path))
    except sqlite3.Error as error:
        connection.close()
        raise unopened(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def older(path: Path) -> str:
    """What to say of a file that a reader cannot use yet."""
    return f"the history {path} is of an older version: start the worker once to bring it up"


def schema_version(path: Path) -> int:
    """The version of the file at this place."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID and (
        version or application or connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    ):
        raise HistoryError(f"{path} is a SQLite file, but no history of Heartbeat's; move it away")
    if version == 0:  # a new file is moved into its place with all its tables in it
        raise HistoryError(f"the history {path} is damaged: there is nothing in it; {_MOVE}")
    if version > newest:
        raise HistoryError(
            f"the history {path} was written by a newer Heartbeat (version {version}, this one knows {newest}); "
            "use that one, or move the file away"
        )
    return version


def unopened(error: sqlite3.Error | OSError, path: Path, *, reading: bool = False) -> HistoryError:
    """The error for a file that cannot be opened: nobody waits for that to pass, so there is no `Retry`."""
    if reading and (why := sqlite_files.why_unreadable(path)):
        return HistoryError(f"the history {path} cannot be read: {why}")
    known = explained(error, path) if isinstance(error, sqlite3.Error) else None
    return HistoryError(str(known) if known else f"the history {path} cannot be opened: {error}")
