"""Named places where tests make the worker fail or die. Costs one comparison each while no fault is installed.

`heartbeat.testing.faults` installs them; nothing here does. A new place is added to `POINTS` first, so that one test
can kill the worker at every one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = (
    "log.create",  # a new file is complete, but not yet in its place
    "log.open",  # the file is open, nothing of it has been checked
    "log.migrate",  # inside the transaction of a migration, before its COMMIT
    "log.load",  # checked, before offsets and topics are read
    "log.begin",  # the writer has units in hand, before BEGIN
    "log.begun",  # after BEGIN, nothing written yet
    "log.insert",  # everything inserted, offsets not moved yet
    "log.commit",  # before COMMIT
    "log.committed",  # after COMMIT; a failure here counts as COMMIT reporting an error for what it did
    "log.settle",  # the outcome of a COMMIT is being looked up
    "log.report",  # durable, before the callers are told; a failure here tells them LogUnavailable all the same
    "log.fetch",  # before messages are read
    "log.recover",  # before a page of a compact topic's live messages is read
    "log.state",  # before a state store is read
    "retention.step",  # inside the transaction that removes messages
    "retention.supersede",  # inside the transaction that removes superseded messages
    "erasure.step",  # inside the transaction that overwrites messages
    "retention.checkpoint",  # before the WAL is cut
    "letters.replay",  # inside the transaction that gives dead letters back
    "forget.owed",  # what others have to be told of what is forgotten is durable, and nothing is forgotten yet
    "forget.deleted",  # a post's deletion has gone through the stream
    "forget.taken",  # history is without it
    "forget.erased",  # the log is without it, but for its WAL; others may not have been told yet
    "log.close",  # the writer is drained, nothing closed yet
    "log.closed",  # everything closed
)
"""Every point, in the order in which a worker's life meets them."""

_hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Where a fault may strike: raises or dies as the installed hook says."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """Have this called with each point's name; None takes it away. For tests only."""
    global _hook
    _hook = hook
