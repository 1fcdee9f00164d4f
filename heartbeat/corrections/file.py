"""The file of corrections: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heartbeat import sqlite_files
from heartbeat.errors import CorrectionsUnusable

NAME: Final = "corrections.db"
"""What the file is called in the data directory."""
APPLICATION_ID: Final = 0x48426366
PAGE_BYTES: Final = 1024
EMPTY_BYTES: Final = PAGE_BYTES
"""Stand before each text, so that it lies on overflow pages only. `secure_delete` overwrites these to the last byte;
of what lies inside the tree, it forgets copies when it rebalances."""

STEPS: Final[tuple[str, ...]] = (
    """
    -- The posts that are corrected, in the revision that was seen.
    CREATE TABLE posts (
        post INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, id TEXT NOT NULL, rev INTEGER NOT NULL,
        UNIQUE (source, id)
    );
    CREATE TABLE texts (post INTEGER PRIMARY KEY, body BLOB NOT NULL);

    -- Every correction that was made. The newest of a post stands; what it had been called is as it was shown then.
    CREATE TABLE corrections (
        number INTEGER PRIMARY KEY AUTOINCREMENT, post INTEGER NOT NULL, corrected_ms INTEGER NOT NULL,
        label TEXT, lang TEXT, task TEXT NOT NULL, time_ms INTEGER NOT NULL,
        was_label TEXT, was_lang TEXT NOT NULL, was_lang_confidence REAL NOT NULL,
        was_pos REAL, was_neu REAL, was_neg REAL, was_model TEXT
    );
    CREATE INDEX corrections_by_post ON corrections (post, corrected_ms, number);
    CREATE INDEX corrections_by_time ON corrections (corrected_ms);
    CREATE TRIGGER post_gone AFTER DELETE ON posts BEGIN
        DELETE FROM texts WHERE post = OLD.post;
        DELETE FROM corrections WHERE post = OLD.post;
    END;
    """,
)
"""Step n brings a file of version n to version n + 1; a new file starts at 0. Steps are only ever added."""

BUSY_MS: Final = 2_000
_UNUSABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_PASSING: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_BUSY: "another process is writing to it; try again",
    sqlite3.SQLITE_LOCKED: "another process is writing to it; try again",
    sqlite3.SQLITE_IOERR: "the disk reports an error; look at it, and at quotas",
    sqlite3.SQLITE_READONLY: "it is not writable; check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the permissions of the file and its folder",
}


def explained(error: sqlite3.Error | OSError, path: Path) -> CorrectionsUnusable:
    """What SQLite's error means to us."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNUSABLE:
        return CorrectionsUnusable(
            f"{path} is damaged or no SQLite file; move it away, with its -wal and -shm, and corrections begin anew "
            "(what was exported can be imported again)"
        )
    return CorrectionsUnusable(f"the corrections {path} cannot be used: {_PASSING.get(code, error)}")


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the file, make it or bring it up to date. For any thread, one at a time.

    Raises:
        CorrectionsUnusable: it cannot be opened, is damaged, is something else, or was written by a newer Heartbeat.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.close(sqlite_files.make_private(path))
    except OSError as error:
        raise CorrectionsUnusable(f"{path} cannot be made: {error.strerror}; the folder has to be writable") from error
    connection = _connect(path)
    with _closing_on_failure(connection, path):
        version = _version(connection, path)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # can be set only while nothing is there
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        connection.execute("PRAGMA synchronous = FULL")  # they are few, and a person's work
        for step in range(version, len(STEPS)):
            _migrate(connection, step)
        # an earlier life may have erased texts without having cut them out of the WAL
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """Open the file to read it, whether a worker has it open or not; None if nothing has ever been corrected.

    Raises:
        CorrectionsUnusable: as `open_for_writing`.
    """
    try:
        if not path.exists() or not path.stat().st_size:
            return None
        connection = sqlite_files.open_for_reading(path, timeout_s=BUSY_MS / 1000)
    except (sqlite3.Error, OSError) as error:
        if why := sqlite_files.why_unreadable(path):
            raise CorrectionsUnusable(f"the corrections {path} cannot be read: {why}") from error
        raise explained(error, path) from error
    with _closing_on_failure(connection, path):
        if _version(connection, path) == 0:
            connection.close()
            return None
    return connection


@contextlib.contextmanager
def _closing_on_failure(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Close the connection if what is done with it fails; SQLite's errors are explained."""
    try:
        yield
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    except BaseException:
        connection.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()
    except sqlite3.Error as error:
        raise explained(error, path) from error
    return connection


def _migrate(connection: sqlite3.Connection, step: int) -> None:
    """Take one step: all of it or nothing, and once, however many processes begin at the same moment."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if int(connection.execute("PRAGMA user_version").fetchone()[0]) == step:
            for statement in _statements(STEPS[step]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """A script's statements one by one: `executescript` would commit before it begins."""
    found, statement = [], ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID and (version or connection.execute("SELECT 1 FROM sqlite_master").fetchall()):
        raise CorrectionsUnusable(f"{path} is a SQLite file, but not of corrections; move it away")
    if version > len(STEPS):
        raise CorrectionsUnusable(
            f"{path} was written by a newer Heartbeat (version {version}, this one knows {len(STEPS)}); use that one, "
            "or move the file away"
        )
    return version
