"""A task as data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from heartbeat.tasks.query import Query

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a task's name may be: it becomes part of keys, file names and addresses."""


@dataclass(frozen=True, slots=True)
class Task:
    """A subject that somebody follows.

    Attributes:
        name: what it is called in keys, files and addresses; see `NAME`.
        title: what it is called on pages.
        query: which posts belong to it.
        feeds: names of the feeds that serve it.
        languages: only posts in these languages (codes as in `loading.LANGUAGES`) are scored for it; None: all.
    """

    name: str
    title: str
    query: Query
    feeds: tuple[str, ...]
    languages: frozenset[str] | None = None


def feeds_by_task(tasks: Iterable[Task]) -> dict[str, tuple[str, ...]]:
    """The names of the feeds that serve each of these tasks, by its name: what its company is known by."""
    return {task.name: task.feeds for task in tasks}
