"""When a partition may work again after a failure that was not its messages' fault: only it waits, ever longer."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from heartbeat.health import State

if TYPE_CHECKING:
    from heartbeat.engine.runner import AgentRunner

LONGEST_BACKOFF_S: Final = 30.0
FIRST_COMMIT_BACKOFF_S: Final = 0.05
LONGEST_COMMIT_BACKOFF_S: Final = 10.0


class Backoff:
    """Waits that double, each with a jitter of a quarter, so that partitions do not come back all at once."""

    def __init__(self, first_s: float, longest_s: float, random: Random) -> None:
        self._first_s, self._longest_s, self._random = first_s, longest_s, random
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait this time."""
        wait_s = self._next_s * self._random.uniform(0.75, 1.25)
        self._next_s = min(self._next_s * 2, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """It went well: begin with the first wait again."""
        self._next_s = self._first_s


class Waiting:
    """The waits of one partition.

    Attributes:
        handler: after a `Retry`, and while the log cannot be read.
        commit: while the log cannot be written.
    """

    def __init__(self, runner: AgentRunner, partition: int) -> None:
        context = runner.context
        self._runner, self._partition, self._timer = runner, partition, context.timer
        self.handler = Backoff(runner.spec.backoff_s, LONGEST_BACKOFF_S, context.random)
        self.commit = Backoff(FIRST_COMMIT_BACKOFF_S, LONGEST_COMMIT_BACKOFF_S, context.random)
        self._not_before = 0.0

    def left_s(self, now: float) -> float:
        """How long it may not work yet, its agent's breaker included; not above 0 when it may."""
        return max(self._not_before - now, self._runner.breaker.wait_s(self._partition, now))

    def begin(self, kind: str, why: str, wait_s: float) -> None:
        """Wait from now on; the health board says why."""
        self._runner.trouble(self._partition, kind, State.WAITING, why, "it is tried again by itself")
        self._not_before = self._timer() + wait_s
