"""How the history's file comes to be: whole or not at all, and readable by its owner alone, since it holds texts."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from heartbeat import sqlite_files
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
    wal = sqlite_files.sibling(path, "-wal")
    if sqlite_files.has_wal(path):  # SQLite would take it for the new file's own
        raise HistoryError(
            f"the history {path} is gone, but {wal.name} is there; put {path.name} back, or move {wal.name} away as "
            "well and a new history is begun"
        )
    try:
        sqlite_files.create_whole(path, fill)
    except (OSError, sqlite3.Error) as error:
        raise HistoryError(
            f"the history {path} cannot be opened: it cannot be made here ({error}); the folder has to be writable, "
            "with some space left"
        ) from error


def tighten(path: Path) -> None:
    """Take the rights of everybody but the owner away; an earlier Heartbeat left them there."""
    for place in (path, sqlite_files.sibling(path, "-wal"), sqlite_files.sibling(path, "-shm")):
        with contextlib.suppress(OSError):  # another user's file: who may read it is that user's affair
            mode = place.stat().st_mode & 0o7777
            if mode & OTHERS:
                place.chmod(mode & ~OTHERS)
