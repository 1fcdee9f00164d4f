"""A connection that only reads, for any thread, one at a time; what names its numbers stand for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heartbeat.errors import HistoryError
from heartbeat.sinks import history_file


class Snapshots:
    """Gives one moment's view of the file after another.

    Args:
        path: the file.

    Raises:
        HistoryError: there is none, it cannot be read, or it is of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._connection = history_file.open_for_reading(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """The connection for this thread alone; each statement sees a moment of its own.

        Raises:
            HistoryError: the file cannot be read.
        """
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                known = history_file.explained(error, self._path)
                raise HistoryError(str(known or f"the history {self._path} cannot be read: {error}")) from error

    @contextmanager
    def moment(self) -> Iterator[sqlite3.Connection]:
        """The same, all statements seeing one moment.

        Raises:
            HistoryError: the file cannot be read.
        """
        with self.one() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    def name(self, number: int) -> str:
        """What a number stands for. To be called inside `one`."""
        name = self._names.get(number)
        if name is None:
            found = self._connection.execute("SELECT name FROM names WHERE id = ?", (number,)).fetchall()
            name = self._names[number] = str(found[0][0])
        return name

    def number(self, name: str) -> int | None:
        """The number of a name, None if it has none. To be called inside `one`."""
        found = self._connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchall()
        return int(found[0][0]) if found else None
