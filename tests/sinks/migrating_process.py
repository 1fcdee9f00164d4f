"""Kills the migration of a history's file at each of its statements, and mends the file by opening it again.

`python -m tests.sinks.migrating_process DUMP FOLDER` prints a JSON line for each kill: what the file holds after it has
been opened once more; and a last one for a migration that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from heartbeat.sinks import history_file
from heartbeat.sinks.history_reader import HistoryReader


class Mortal(sqlite3.Connection):
    """Dies by SIGKILL before its nth statement."""

    left = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_trace_callback(self._count)

    def _count(self, _: str) -> None:
        Mortal.left -= 1
        if Mortal.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def restore(dump: Path, path: Path) -> None:
    """Make the file that was dumped."""
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(dump.read_text())


def content(path: Path) -> dict[str, Any]:
    """Everything that a reader is told."""
    with HistoryReader(path) as reader:
        return {
            "version": history_file.schema_version(path),
            "posts": [list(row) for row in reader.posts(content=True)],
            "windows": [list(row) for by in ("all", "lang", "source") for row in reader.windows(by=by)],
            "summaries": [list(reader.summary(task) or ()) for task in reader.tasks()],
        }


def killed(path: Path, statement: int) -> bool:
    """Open the file in a process that dies before this statement; whether there were as many."""
    child = os.fork()
    if child == 0:
        Mortal.left = statement
        real = sqlite3.connect
        sqlite3.connect = lambda *args, **options: real(*args, factory=Mortal, **options)  # type: ignore[assignment]
        history_file.open_for_writing(path).close()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(dump: Path, folder: Path) -> None:
    """Kill at every statement in turn."""
    path = folder / history_file.NAME
    statement, died = 1, True
    while died:
        restore(dump, path)
        died = killed(path, statement)
        history_file.open_for_writing(path).close()
        print(json.dumps(content(path)))
        statement += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
