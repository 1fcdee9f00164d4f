"""How the history's file comes to be: whole or not at all, and readable by its owner alone, since it holds texts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from heartbeat.errors import HistoryError

OTHERS: Final = 0o077
"""What nobody but the owner may do."""


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Build the file under another name and move it into its place, so that a file there is never half made.

    Args:
        path: where nothing is yet.
        fill: makes the tables.

    Raises:
        HistoryError: the folder cannot be written to, or there are remains of a file that is gone.
    """
    wal = path.with_name(path.name + "-wal")
    # SQLite would take it for the new file's own. An empty one is what a reader leaves.
    if wal.exists() and wal.stat().st_size:
        raise HistoryError(
            f"the history {path} is gone, but {wal.name} is there; put {path.name} back, or move {wal.name} away as "
            "well and a new history is begun"
        )
    new = path.with_name(path.name + ".new")
    try:
        for leftover in (new, path.with_name(new.name + "-journal")):
            leftover.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            fill(connection)
        finally:
            connection.close()
        os.rename(new, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise HistoryError(
            f"the history {path} cannot be opened: it cannot be made here ({error}); the folder has to be writable, "
            "with some space left"
        ) from error


def tighten(path: Path) -> None:
    """Take the rights of everybody but the owner away; an earlier Heartbeat left them there."""
    for place in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with contextlib.suppress(OSError):  # another user's file: who may read it is that user's affair
            mode = place.stat().st_mode & 0o7777
            if mode & OTHERS:
                place.chmod(mode & ~OTHERS)
