"""Numbers for names: tasks, sources, feeds, languages, labels, models and reasons."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

MOST_NAMES: Final = 100_000
"""How many names are remembered: sources of files may be anything."""


class Names(dict[Any, Any]):
    """Maps names to their numbers; a name that is new is written in the transaction that is open. None is None.

    (Typed loosely: `names[str]` is an int, `names[None]` None.)
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__({None: None})
        self._connection = connection
        self._unsure: list[str] = []

    def __missing__(self, name: str) -> int:
        connection = self._connection
        found = connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchall()
        if found:
            number = int(found[0][0])
        else:
            number = int(connection.execute("INSERT INTO names (name) VALUES (?)", (name,)).lastrowid or 0)
            self._unsure.append(name)
        self[name] = number
        return number

    def committed(self) -> None:
        """The transaction became durable."""
        self._unsure.clear()
        if len(self) > MOST_NAMES:
            self.clear()
            self[None] = None

    def rolled_back(self) -> None:
        """The transaction did not happen: forget its new names."""
        for name in self._unsure:
            self.pop(name, None)
        self._unsure.clear()
