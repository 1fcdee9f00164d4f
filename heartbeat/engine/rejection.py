"""What becomes of a message that no handler can use: it goes to dead letters, or stays while the breaker is open."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from heartbeat.engine.deadletters import dead_letter, reason_of
from heartbeat.engine.log import TP, LogRecord, addressee
from heartbeat.engine.unit import Unit
from heartbeat.health import State
from heartbeat.topics import DEADLETTERS

if TYPE_CHECKING:
    from heartbeat.engine.runner import AgentRunner

logger = logging.getLogger(__name__)


class Rejection:
    """The bad messages of one partition of an agent.

    One that has been a dead letter before says nothing new of the code: it does not count for the breaker.
    """

    def __init__(self, runner: AgentRunner, tp: TP) -> None:
        self._runner, self._tp = runner, tp

    def stays(self, record: LogRecord, error: BaseException) -> float | None:
        """Seconds that a message has to stay where it is, and the whole agent to wait: too much would be thrown out.

        None if it may go. Every earlier unit has to be durable: only then has the breaker seen everything before it.
        """
        breaker, partition = self._runner.breaker, self._tp.partition
        why = None if _has_gone_before(record) else breaker.would_trip(partition)
        if not breaker.is_open and not why:
            return None
        name, now = self._runner.spec.name, self._runner.context.timer()
        breaker.trip(partition, now)
        self._runner.trouble(
            partition,
            "breaker",
            State.FAILED,
            f"{why or 'messages keep failing'}, the last one with {reason_of(error)}; nothing more is thrown out",
            f"find out why {name} fails at offset {record.offset} of {self._tp.topic}/{partition}; "
            "it is tried again by itself from time to time, and at a restart",
        )
        return breaker.wait_s(partition, now)

    def throw_out(self, unit: Unit, record: LogRecord, error: BaseException) -> None:
        """Have a unit, which is the message's own, take it to dead letters."""
        name, context = self._runner.spec.name, self._runner.context
        logger.warning("%s: %s/%d@%d goes to dead letters: %s", name, *self._tp, record.offset, reason_of(error))
        unit.dead, unit.aside = (0, 1) if _has_gone_before(record) else (1, 0)
        count = context.partitions[DEADLETTERS.name]
        letter = dead_letter(record, self._tp, name, error, at_ms=context.clock.now_ms(), partitions=count)
        unit.appends.append(letter)


def _has_gone_before(record: LogRecord) -> bool:
    return addressee(record.headers) is not None
