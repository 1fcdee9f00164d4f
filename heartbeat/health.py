"""Health of every part, in one place: what the page, `/api/health` and the log lines are made from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from heartbeat.clock import Clock

logger = logging.getLogger(__name__)


class State(StrEnum):
    """How a part is doing. `WAITING` is healthy but not working (paused, behind, backing off)."""

    OK = "ok"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """One part's health.

    `part` is `kind/name` (`feed/demo`, `agent/pulse`, `sink/history`, `disk`); `why` says what happened and
    `remedy` what to do, both empty while all is well.
    """

    part: str
    state: State
    since_ms: int
    why: str = ""
    remedy: str = ""


class HealthBoard:
    """Holds the latest status of each part and logs one line for each change of state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parts: dict[str, Status] = {}

    def report(self, part: str, state: State, why: str = "", remedy: str = "") -> None:
        """Record how a part is doing; the time and the log line belong to changes of state only."""
        before = self._parts.get(part)
        if before is not None and (before.state, before.why, before.remedy) == (state, why, remedy):
            return
        since_ms = before.since_ms if before and before.state is state else self._clock.now_ms()
        self._parts[part] = Status(part, state, since_ms, why, remedy)
        if before is None or before.state is not state:
            level = logging.INFO if state is State.OK else logging.WARNING
            logger.log(level, "%s is %s%s", part, state, f": {why}" if why else "")

    def forget(self, part: str) -> None:
        """Drop a part that is gone for good (a replay that ended)."""
        self._parts.pop(part, None)

    def get(self, part: str) -> Status | None:
        """The latest status of a part, or None if it never reported."""
        return self._parts.get(part)

    def __iter__(self) -> Iterator[Status]:
        return iter(sorted(self._parts.values(), key=lambda status: status.part))

    @property
    def healthy(self) -> bool:
        """Whether no part has failed."""
        return all(status.state is not State.FAILED for status in self._parts.values())
