"""Which tasks a task is read together with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Company(NamedTuple):
    """The tasks that tell of one.

    Attributes:
        alike: those that are fed as it is, itself included: while they are heard, its silence is silence.
        voices: those whose voices are compared; None if it is not among them.
        feeds: its feeds: what one of them has not heard is not known of it.
    """

    alike: tuple[str, ...]
    voices: tuple[str, ...] | None = None
    feeds: tuple[str, ...] = ()


def company_of(task: str, feeds: Mapping[str, Collection[str]]) -> Company:
    """The company of a task; one that is not configured, as of a replay, has none.

    Args:
        task: its name.
        feeds: the feeds of each configured task.
    """
    own = feeds.get(task)
    if own is None:
        return Company((task,))
    alike = tuple(name for name, theirs in feeds.items() if name == task or not set(theirs).isdisjoint(own))
    return Company(alike, tuple(feeds), tuple(own))
