"""What other places still have to be told of what was forgotten: rows of the history's file, until they have been.

A row is there before anything is forgotten, so whatever cuts that off, nothing is left untold. A place is told of a
window (which the history holds without the forgotten posts by then) or of a task as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_statements import transaction, write_rows
from heartbeat.sinks.history_tables import Tables

WHOLE_TASK: Final = 0
"""Stands for the size where no window is meant but a task: all that starts before `start_ms` is forgotten."""


class Untold(NamedTuple):
    """What a place is to be told.

    Attributes:
        place: its name.
        task: the task that is forgotten, or that a post was taken out of.
        size_s: of the window; `WHOLE_TASK`: everything of the task that starts before `start_ms`.
        start_ms: see there.
        number: another one whenever the place has to be told anew.
        told: how often it has been told of this.
        due_ms: when it is to be told next, by the clock.
    """

    place: str
    task: str
    size_s: int
    start_ms: int
    number: int
    told: int
    due_ms: int

    @property
    def window(self) -> Window:
        """What it is about."""
        return Window(self.task, self.size_s, self.start_ms)


def owe(tables: Tables, places: Iterable[str], windows: Sequence[Window]) -> None:
    """Have each place be told of these windows from now on, whatever it has been told of them before."""
    rows = [(place, *window) for place in places for window in windows]
    with transaction(tables.connection):
        number = tables.connection.execute("SELECT coalesce(max(number), 0) + 1 FROM untold").fetchall()[0][0]
        write_rows(
            tables.connection,
            "INSERT OR REPLACE INTO untold VALUES ?",
            [(*row, number, 0, 0) for row in rows],
        )


def read(tables: Tables) -> list[Untold]:
    """Everything that is still to be told."""
    return [Untold._make(row) for row in tables.connection.execute("SELECT * FROM untold").fetchall()]


def note_told(tables: Tables, rows: Sequence[Untold], again_ms: int | None) -> None:
    """Note that a place was told; what it has to be told anew since then is left alone.

    Args:
        tables: the history's.
        rows: as they were read, all told equally often.
        again_ms: when it is to be told once more; None: never.
    """
    with transaction(tables.connection):
        for row in rows:
            here = (row.place, row.task, row.size_s, row.start_ms, row.number)
            where = "WHERE place = ? AND task = ? AND size_s = ? AND start_ms = ? AND number = ?"
            if again_ms is None:
                tables.connection.execute(f"DELETE FROM untold {where}", here)
            else:
                tables.connection.execute(
                    f"UPDATE untold SET told = ?, due_ms = ? {where}", (row.told + 1, again_ms, *here)
                )
