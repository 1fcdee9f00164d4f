"""Dead letters: a message that cannot be used, with its original bytes, and headers that say why."""

from __future__ import annotations

import sys
from pathlib import PurePath

from heartbeat.engine.log import TP, Append, LogRecord
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


def reason_of(error: BaseException) -> str:
    """What went wrong, without any value of a record: our own errors' texts, of others the kind and the place."""
    if isinstance(error, HeartbeatError):
        return str(error)
    place, trace = "", error.__traceback__ or sys.exc_info()[2]
    while trace is not None:
        place = f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"
