"""SQLite files of the data directory: made whole or not at all, for their owner alone; read where one may not write."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

_NOT_WRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


def make_private(path: Path) -> int:
    """Make a file that its owner alone may read, for it may hold texts; gives it opened for reading and writing.

    Raises:
        FileExistsError: there is something.
        OSError: it cannot be made.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def sibling(path: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside another: its `-wal`, its `-shm`."""
    return path.with_name(path.name + suffix)


def has_wal(path: Path) -> bool:
    """Whether there are changes beside the file; an empty WAL is what a reader leaves."""
    try:
        return sibling(path, "-wal").stat().st_size > 0
    except OSError:
        return False


def create_whole(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Build a file under another name and move it into its place, so that a file there is never half made.

    Args:
        path: where nothing is yet.
        fill: makes the tables.

    Raises:
        OSError, sqlite3.Error: it cannot be made; nothing is left of it.
    """
    new = sibling(path, ".new")
    try:
        for leftover in (new, sibling(path, ".new-journal")):
            leftover.unlink(missing_ok=True)
        os.close(make_private(new))
        with closing(sqlite3.connect(new, isolation_level=None)) as con:
            fill(con)
        os.rename(new, path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error):
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder. Raises `OSError`."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def copy(source: sqlite3.Connection, target: Path) -> None:
    """A copy as of one moment: all of it in one step, so that a writer cannot have it begin again and again.

    Raises:
        OSError, sqlite3.Error
    """
    os.close(make_private(target))
    with closing(sqlite3.connect(target)) as to:
        source.backup(to, pages=-1)
        to.execute("PRAGMA journal_mode = DELETE").fetchall()


def open_for_reading(path: Path, *, timeout_s: float, cached_statements: int = 128) -> sqlite3.Connection:
    """Open a file that others may be writing to. Any thread may use the connection, one at a time.

    To read a file with a WAL, SQLite writes beside it. Where it may not (a copy that is mounted read-only, another
    user's folder) and no WAL is left, the file is whole and nobody writes to it: then it is read as it lies.

    Raises:
        OSError, sqlite3.Error: it cannot be read; `why_unreadable` may know more.
    """
    for end in ("", "&immutable=1"):
        con = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{end}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=timeout_s,
            cached_statements=cached_statements,
        )
        try:
            con.execute("PRAGMA user_version").fetchall()  # the first look at the file
            return con
        except sqlite3.Error as error:
            con.close()
            if end or error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE or has_wal(path):
                raise
        except BaseException:
            con.close()
            raise
    raise AssertionError("unreachable")


def why_unreadable(path: Path) -> str | None:
    """What keeps this user from reading a file or folder, and what to do; None if nothing that is known here does."""
    folder = os.path.isdir(path)
    if not os.access(path, os.R_OK | os.X_OK if folder else os.R_OK):
        owner = _owner(path)
        if owner == os.geteuid():
            return f"its rights do not allow it; `chmod -R u+rwX {path if folder else path.parent}` mends that"
        return f"it belongs to {_name(owner)}, and {_name(os.geteuid())} may not read it; run this as {_name(owner)}"
    if has_wal(path) and not os.access(path.parent, os.W_OK):
        return (
            f"its newest changes lie in {sibling(path, '-wal').name}, and to read these SQLite has to write beside "
            "them, which may not be done here: copy the whole directory, and name the copy with --data-dir"
        )
    return None


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:  # one may not even look into its folder
        return _owner(path.parent)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
