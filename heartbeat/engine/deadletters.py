"""Dead letters: a message that cannot be used, with its original bytes, and headers that say why."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import Any

from heartbeat.engine.agent import Event
from heartbeat.engine.log import TP, Append, LogRecord
from heartbeat.engine.unit import current
from heartbeat.errors import HeartbeatError
from heartbeat.topics import DEADLETTERS


def dead_letter(record: LogRecord, tp: TP, agent: str, error: BaseException, *, at_ms: int, partitions: int) -> Append:
    """The message as it goes to the topic `deadletters`.

    Key and value are the original bytes. Headers, all of them UTF-8 text: `topic`, `partition`, `offset`, `agent`,
    `reason`, `error` (the error's class) and `at_ms`.
    """
    headers = {
        "topic": tp.topic,
        "partition": tp.partition,
        "offset": record.offset,
        "agent": agent,
        "reason": reason_of(error),
        "error": type(error).__name__,
        "at_ms": at_ms,
    }
    encoded = tuple((name, str(value).encode()) for name, value in headers.items())
    return Append(DEADLETTERS.name, tp.partition % partitions, record.key, record.value, encoded)


def set_aside(event: Event[Any], error: BaseException, *, at_ms: int) -> None:
    """From within a handler: a message that is dealt with, but part of which nobody could use, goes to dead letters.

    The letter becomes durable with the handler's unit. Unlike a message that makes its handler fail, it does not count
    for the breaker: the handler has decided, and goes on.

    Raises:
        RuntimeError: no handler is running.
    """
    unit = current.get()
    if unit is None or not unit.is_open:
        raise RuntimeError("only a handler can set a message aside")
    key = None if event.key is None else event.key.encode()
    record = LogRecord(event.offset, event.timestamp_ms, key, unit.encode(event.value))
    partitions = unit.partitions[DEADLETTERS.name]
    unit.appends.append(dead_letter(record, unit.tp, unit.agent, error, at_ms=at_ms, partitions=partitions))
    unit.aside += 1


def reason_of(error: BaseException) -> str:
    """What went wrong, without any value of a record: our own errors' texts, of others the kind and the place."""
    if isinstance(error, HeartbeatError):
        return str(error)
    place, trace = "", error.__traceback__ or sys.exc_info()[2]
    while trace is not None:
        place = f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"
