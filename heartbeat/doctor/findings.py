"""What a check says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is: `wrong` keeps Heartbeat from working as it should, a warning may."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or two.
        level: how it is.
        says: what was found.
        remedy: what to do; empty where there is nothing to be done.
    """

    check: str
    level: Level
    says: str
    remedy: str = ""


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, says)


def warning(check: str, says: str, remedy: str) -> Finding:
    """It may do harm."""
    return Finding(check, Level.WARNING, says, remedy)


def wrong(check: str, says: str, remedy: str) -> Finding:
    """It does harm."""
    return Finding(check, Level.WRONG, says, remedy)
