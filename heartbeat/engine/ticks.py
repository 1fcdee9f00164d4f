"""When an agent's tick is due in one partition.

A tick that raises is tried again with backoff, while batches go on: no message is to blame, and what it would have done
(closing a window, say) is due at the next tick as well. After five failures in a row the agent counts as failed on the
health board until a tick succeeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heartbeat.engine.deadletters import reason_of
from heartbeat.engine.waiting import LONGEST_BACKOFF_S
from heartbeat.health import State

if TYPE_CHECKING:
    from heartbeat.engine.runner import AgentRunner

TICKS_UNTIL_FAILED: Final = 5


class Ticks:
    """The ticks of one partition; none is ever due if the agent has none.

    Attributes:
        wants_more: whether the last one had more to do than it could in one unit.
    """

    def __init__(self, runner: AgentRunner, partition: int) -> None:
        self._runner, self._partition, self._timer = runner, partition, runner.context.timer
        self._every_s = runner.spec.tick_s
        self._next = self._timer() + self._every_s
        self._failures = 0
        self.wants_more = False

    def are_due(self, now: float) -> bool:
        """Whether it is time for one."""
        return self._runner.spec.tick is not None and now >= self._next

    def until_next(self, wait_s: float) -> float:
        """How long one can wait without missing the next one, `wait_s` at the most."""
        if self._runner.spec.tick is None:
            return wait_s
        return max(min(wait_s, self._next - self._timer()), 0.0)

    def put_off(self, wait_s: float) -> None:
        """None before `wait_s` are over: it could not be written either."""
        self._next = max(self._next, self._timer() + wait_s)

    def failed(self, error: Exception) -> None:
        """One has raised, and was undone."""
        self._failures += 1
        self._runner.stats.failed_ticks += 1
        state = State.FAILED if self._failures >= TICKS_UNTIL_FAILED else State.WAITING
        why = f"its tick fails in partition {self._partition}: {reason_of(error)}"
        self._runner.trouble(self._partition, "tick", state, why, "it is tried again by itself; nothing is lost")
        wait_s = max(min(self._every_s * 2**self._failures, LONGEST_BACKOFF_S), self._every_s)
        self._next = self._timer() + wait_s

    def returned(self) -> None:
        """One has come to its end; what it did may not be durable yet."""
        self._failures = 0
        self._runner.well(self._partition, "tick")
        self._runner.stats.ticks += 1

    def done(self, *, more: bool) -> None:
        """What it did is durable."""
        self.wants_more = more
        self._next = self._timer() + self._every_s
