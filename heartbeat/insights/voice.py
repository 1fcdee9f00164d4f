"""Share of voice: how much of what is said about several tasks is said about each.

A post that matches two tasks counts for both, so shares are of (post, task) pairs; they add up to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Said(NamedTuple):
    """The posts of one window of one task."""

    task: str
    start_ms: int
    total: int
    final: bool


@dataclass(frozen=True, slots=True)
class Voices:
    """The posts of tasks in one window, or in a range of them.

    Attributes:
        posts: by task, in the order that was asked for; those without any are there with 0.
        final: whether every window that it was added up from is closed.
    """

    posts: Mapping[str, int]
    final: bool

    @property
    def total(self) -> int:
        """Posts of all tasks together."""
        return sum(self.posts.values())

    def share(self, task: str) -> float | None:
        """A task's share of all posts, None where there are none."""
        return share(self.posts[task], self.total)


def share(posts: int, total: int) -> float | None:
    """A part of all posts, None where there are none."""
    return posts / total if total else None


def voices(tasks: Sequence[str], said: Iterable[Said]) -> Voices:
    """Add up windows of these tasks; what is said of others is left out."""
    posts = dict.fromkeys(tasks, 0)
    final = True
    for each in said:
        if each.task in posts:
            posts[each.task] += each.total
            final = final and each.final
    return Voices(posts, final)


def by_window(tasks: Sequence[str], said: Iterable[Said]) -> dict[int, Voices]:
    """The same for each window that has posts, by start."""
    windows: dict[int, list[Said]] = {}
    for each in said:
        windows.setdefault(each.start_ms, []).append(each)
    return {start_ms: voices(tasks, windows[start_ms]) for start_ms in sorted(windows)}
