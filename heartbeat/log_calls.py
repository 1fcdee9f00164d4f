"""What commands ask of whoever owns the log: of a running worker through its socket; with none running, of themselves.

One piece of code for both, so that a command does the same in either case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from heartbeat.clock import Clock
from heartbeat.engine.erasure import erase
from heartbeat.engine.letters import STORE, LetterId, letter
from heartbeat.engine.log import TP, LogRecord, Put, UnitWrite
from heartbeat.engine.redelivery import SUPERSEDED, Outcome, Rules, redeliver
from heartbeat.engine.retention import truncate
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogError, RecordError
from heartbeat.records import Codec, Late, Pulse, Scored
from heartbeat.topics import DEADLETTERS, GROUPS

AT_ONCE: Final = 200
"""Letters of one transaction."""
PAGE: Final = 1_000
ORDER_FREE: Final = frozenset({"language", "sentiment", "pulse"})
"""Agents to which it makes no difference how late a message comes: the first has no memory, the second knows each
post's newest revision and what was deleted, the third adds up. All others keep the newest of what they are given."""

T = TypeVar("T")

LogCall: TypeAlias = Callable[[SqliteLog, Clock, Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]


class _Rules:
    """What messages are about, by decoding them."""

    def __init__(self, log: SqliteLog) -> None:
        self._codec = Codec(log)
        self.rules = Rules(GROUPS, ORDER_FREE, self.about)

    def about(self, record: LogRecord) -> object:
        """A window, a task's post; of anything else its key."""
        try:
            value = self._codec.decode(record.value)
        except RecordError:
            return record.key
        if isinstance(value, Pulse):
            return value.task, value.size_s, value.start_ms
        if isinstance(value, Scored | Late):
            return value.task, value.source, value.id
        return record.key


async def replay_letters(log: SqliteLog, clock: Clock, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Give dead letters back to the agents that failed at them.

    The request's `letters` are ids; an `Outcome` for each, as a mapping.
    """
    rules = _Rules(log).rules
    for some in _some(_ids(request)):
        looked: dict[LetterId, int] = {}
        known: list[Outcome] = []
        for each in some:
            place = await _newer(log, each, rules)
            if place is None:
                known.append(Outcome(str(each), False, why=SUPERSEDED))
            else:
                looked[each] = place
        outcomes = await log.submit(redeliver(list(looked), rules, clock.now_ms(), looked)) if looked else []
        log.nudge()
        yield {"outcomes": [outcome._asdict() for outcome in (*known, *outcomes)]}
    yield {"outcomes": [], "done": True}


async def _newer(log: SqliteLog, each: LetterId, rules: Rules) -> int | None:
    """Up to where nothing newer about the same follows a letter's message; None if something does.

    Looked for in steps here, since it may be long ago; the transaction looks at what has come since.
    """
    tp = TP(DEADLETTERS.name, each.partition)
    if DEADLETTERS.name not in log.topics() or each.partition >= log.partitions(DEADLETTERS.name):
        return 0
    records = await log.fetch(tp, each.offset, 1, 0.0)
    if not records or records[0].offset != each.offset:
        return 0
    record, said = records[0], letter(each.partition, records[0])
    if said.source is None or said.agent in rules.order_free or said.topic not in log.topics():
        return 0
    if log.state(STORE).get_many(each.partition, [b"%d" % each.offset]):
        return 0
    partition, offset = said.source
    if partition >= log.partitions(said.topic):
        return 0
    at = offset + 1
    while page := await log.fetch(TP(said.topic, partition), at, PAGE, 0.0):
        if any(rules.superseded(said.agent, record, later) for later in page):
            return None
        at = page[-1].offset + 1
        await asyncio.sleep(0)
    return at


async def purge_letters(log: SqliteLog, clock: Clock, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Erase dead letters, contents and all. The request's `letters` are ids."""
    erased = 0
    by_partition: dict[int, list[int]] = {}
    for each in _ids(request):
        by_partition.setdefault(each.partition, []).append(each.offset)
    for partition, offsets in by_partition.items():
        for some in _some(offsets):
            erased += await log.submit(erase(TP(DEADLETTERS.name, partition), some))
            await log.write(UnitWrite(puts=[Put(STORE, partition, b"%d" % offset, None) for offset in some]))
            yield {"erased": erased}
    busy = await log.submit(truncate, alone=True) if erased else False
    yield {"erased": erased, "busy": busy, "done": True}


def _some(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as one transaction takes."""
    return (items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE))


def _ids(request: Mapping[str, Any]) -> Sequence[LetterId]:
    try:
        return list(dict.fromkeys(LetterId.parse(text) for text in request["letters"]))
    except ValueError as error:
        raise LogError(str(error)) from error


LOG_CALLS: Final[Mapping[str, LogCall]] = {"deadletters replay": replay_letters, "deadletters purge": purge_letters}
"""By the names that they have on the socket."""
