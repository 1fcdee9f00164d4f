"""The history's file: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from heartbeat.errors import HeartbeatError, HistoryError, Retry
from heartbeat.sinks.history_creation import create, tighten

NAME: Final = "history.db"
"""What the file is called in the data directory."""
APPLICATION_ID: Final = 0x48426869
"""Stands in the header of every file of ours, so that another SQLite file is not taken for one."""

STEPS: Final[tuple[str, ...]] = (
    """
    -- Every task, source, feed, language, label, model and reason once; rows name them by number. Never removed.
    CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

    -- The first offset of each partition that is not in this file yet.
    CREATE TABLE offsets (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID;

    -- A small row a window, so that a chart of a month reads some fifty pages in one stretch. Sums are in 10⁻⁶.
    CREATE TABLE windows (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL, final INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        scored INTEGER NOT NULL, unscored INTEGER NOT NULL,
        positive INTEGER NOT NULL, neutral INTEGER NOT NULL, negative INTEGER NOT NULL, mixed INTEGER NOT NULL,
        pos_e6 INTEGER NOT NULL, neu_e6 INTEGER NOT NULL, neg_e6 INTEGER NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;

    -- The same windows by language and by source: JSON objects of the nine figures under each key.
    CREATE TABLE parts (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        lang TEXT NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    CREATE TRIGGER window_gone AFTER DELETE ON windows BEGIN
        DELETE FROM parts WHERE task = OLD.task AND size_s = OLD.size_s AND start_ms = OLD.start_ms;
    END;

    -- Keyed by time, not by id alone: a retraction carries the time of what it takes back, so nothing else is needed to
    -- find it; and a tree ordered by ids would cost a random page for each post. Scores are in 10⁻⁶, as in windows.
    CREATE TABLE posts (
        task INTEGER NOT NULL, time_ms INTEGER NOT NULL, source INTEGER NOT NULL, id TEXT NOT NULL,
        rev INTEGER NOT NULL, feed INTEGER NOT NULL, lang INTEGER NOT NULL, lang_confidence_e6 INTEGER NOT NULL,
        label INTEGER, pos_e6 INTEGER, neu_e6 INTEGER, neg_e6 INTEGER, model INTEGER, unscored_reason INTEGER,
        late INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        chunk INTEGER, at INTEGER, length INTEGER,
        PRIMARY KEY (task, time_ms, source, id)
    ) WITHOUT ROWID;

    -- Posts whose addition came after their windows were sealed. Both topics are read on their own, so a mark may come
    -- before its post; and it tells whether a retraction has anything to take back.
    CREATE TABLE late (
        task INTEGER NOT NULL, time_ms INTEGER NOT NULL, source INTEGER NOT NULL, id TEXT NOT NULL,
        rev INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        PRIMARY KEY (task, time_ms, source, id, rev)
    ) WITHOUT ROWID;

    -- Posts' texts, many to a chunk (see history_texts). Numbers are never used again.
    CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, kept_ms INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX chunks_by_age ON chunks (kept_ms);

    -- Places of texts that nobody refers to any more, until the end of the transaction overwrites them.
    CREATE TABLE erasures (chunk INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL);
    CREATE TRIGGER post_gone AFTER DELETE ON posts WHEN OLD.chunk IS NOT NULL BEGIN
        INSERT INTO erasures VALUES (OLD.chunk, OLD.at, OLD.length);
    END;
    CREATE TRIGGER post_replaced AFTER UPDATE OF chunk, at, length ON posts WHEN OLD.chunk IS NOT NULL BEGIN
        INSERT INTO erasures VALUES (OLD.chunk, OLD.at, OLD.length);
    END;
    """,
    """
    -- Tasks of replays that an earlier history held, and that could not be read again in full when this one was begun.
    CREATE TABLE lost (task TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
    """
    -- How many of a window's posts each model scored: a JSON object of counts. Of earlier windows nothing is known.
    ALTER TABLE parts ADD COLUMN model TEXT NOT NULL DEFAULT '{}';
    """,
    """
    -- Windows whose last posts were taken back after they were sealed. Others may have copies of them, and have to be
    -- able to tell a window that became empty from one that was never here.
    CREATE TABLE emptied (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    """,
)
"""Step n brings a file of version n to version n + 1; a new file starts at 0. Steps are only ever added."""

READABLE: Final = 1
"""The oldest version whose tables can be read as those of the newest."""
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
        version = _version(connection, path, newest=len(STEPS))
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA wal_autocheckpoint = 4000").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {32 * 2**20}").fetchall()
        for step in range(version, len(STEPS)):
            _migrate(connection, STEPS[step], step + 1)
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
    for step, sql in enumerate(STEPS):
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


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file to read it, whether a worker has it open or not. Any thread may use the connection, one at a time.

    Raises:
        HistoryError: there is none, it cannot be read, or it is of another version.
    """
    if not path.exists():
        raise HistoryError(f"there is no history at {path} yet: it is begun by the first `heartbeat worker` there")
    for immutable in (False, True):
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise unopened(error, path) from error
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if _version(connection, path, newest=len(STEPS)) < READABLE:
                raise HistoryError(older(path))
            return connection
        except sqlite3.Error as error:
            connection.close()
            # In a folder that we may not write to, SQLite cannot open a WAL file's index. Where there is no WAL, the
            # file is whole and nobody is writing to it.
            wal = path.with_name(path.name + "-wal")
            if immutable or (wal.exists() and wal.stat().st_size) or error.sqlite_errorcode & 0xFF in _UNUSABLE:
                raise unopened(error, path) from error
        except BaseException:
            connection.close()
            raise
    raise AssertionError("unreachable")


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


def unopened(error: sqlite3.Error, path: Path) -> HistoryError:
    """The error for a file that cannot be opened: nobody waits for that to pass, so there is no `Retry`."""
    known = explained(error, path)
    return HistoryError(str(known) if known else f"the history {path} cannot be opened: {error}")
