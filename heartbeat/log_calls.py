"""What commands ask of whoever owns the log: of a running worker through its socket; with none running, of themselves.

One piece of code for both, so that a command does the same in either case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.erasure import erase_at
from heartbeat.engine.letters import STORE, Letter, LetterId, letter
from heartbeat.engine.log import TP, LogRecord, Put, UnitWrite
from heartbeat.engine.redelivery import SUPERSEDED, Outcome, Rules, redeliver
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_wal import cut_wal
from heartbeat.errors import LogError, RecordError
from heartbeat.records import Late, Pulse, Scored
from heartbeat.topics import DEADLETTERS, GROUPS, LATE_KEY

AT_ONCE: Final = 200
"""Letters of one transaction."""
PAGE: Final = 1_000
ORDER_FREE: Final = frozenset({"language", "sentiment", "pulse", "corrections"})
"""Agents to which it makes no difference how late a message comes: the first has no memory, the second knows each
post's newest revision and what was deleted, the third adds up, the last
forgets once and for all. All others keep the newest of what they are given."""

T = TypeVar("T")

LogCall: TypeAlias = Callable[[SqliteLog, Clock, Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]


class _Rules:
    """What messages are about, by decoding them."""

    def __init__(self, log: SqliteLog) -> None:
        self._codec = Codec(log)
        self.rules = Rules(GROUPS, ORDER_FREE, self.about, self.corrects)

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

    def corrects(self, later: LogRecord, record: LogRecord) -> bool:
        """Whether it takes a post out of a window that is sealed: the window's old record would bring it back."""
        if not _is_late(later):
            return False
        try:
            late, window = self._codec.decode(later.value), self._codec.decode(record.value)
        except RecordError:
            return False
        return (
            isinstance(late, Late)
            and isinstance(window, Pulse)
            and (late.op, late.task) == ("retract", window.task)
            and window.start_ms <= late.time_ms < window.start_ms + 1000 * window.size_s
        )


def _is_late(record: LogRecord) -> bool:
    return record.key is not None and record.key.startswith(LATE_KEY.encode())


async def replay_letters(log: SqliteLog, clock: Clock, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Give dead letters back to the agents that failed at them.

    The request's `letters` are ids; an `Outcome` for each, as a mapping.
    """
    rules = _Rules(log).rules
    for some in _some(_ids(request)):
        looked = await _looked(log, some, rules)
        outcomes = [Outcome(str(each), False, why=SUPERSEDED) for each in some if looked.get(each) is None]
        left = {each: place for each, place in looked.items() if place is not None}
        if left:
            outcomes += await log.submit(redeliver(list(left), rules, clock.now_ms(), left))
            log.nudge()
        yield {"outcomes": [outcome._asdict() for outcome in outcomes]}
    yield {"outcomes": [], "done": True}


async def _looked(log: SqliteLog, ids: Sequence[LetterId], rules: Rules) -> dict[LetterId, int | None]:
    """Up to where nothing newer about the same follows each letter's message; None where something does.

    Looked for in steps here, since it may be a long way; the transaction looks at what has come since.
    """
    looked: dict[LetterId, int | None] = dict.fromkeys(ids, 0)
    waiting: dict[TP, dict[LetterId, tuple[Letter, LogRecord]]] = {}
    for each in ids:
        found = await _open_letter(log, each)
        if found is not None and found[0].source is not None and found[0].agent not in rules.order_free:
            tp = TP(found[0].topic, found[0].source[0])
            if tp in log.ledger().slots:
                waiting.setdefault(tp, {})[each] = found
    for tp, letters in waiting.items():
        by_key: dict[bytes | None, list[LetterId]] = {}
        for each, (_, record) in letters.items():
            by_key.setdefault(record.key, []).append(each)
        at = min(said.source[1] + 1 for said, _ in letters.values() if said.source is not None)
        while page := await log.fetch(tp, at, PAGE, 0.0):
            for later in page:
                for each in letters if _is_late(later) else by_key.get(later.key, ()):
                    said, record = letters[each]
                    assert said.source is not None
                    if later.offset > said.source[1] and rules.superseded(said.agent, record, later):
                        looked[each] = None
            at = page[-1].offset + 1
            await asyncio.sleep(0)
        for each in letters:
            if looked[each] is not None:
                looked[each] = at
    return looked


async def _open_letter(log: SqliteLog, each: LetterId) -> tuple[Letter, LogRecord] | None:
    """A letter that has not been replayed, with its message."""
    tp = TP(DEADLETTERS.name, each.partition)
    if tp not in log.ledger().slots or log.state(STORE).get_many(each.partition, [b"%d" % each.offset]):
        return None
    records = await log.fetch(tp, each.offset, 1, 0.0)
    if not records or records[0].offset != each.offset:
        return None
    return letter(each.partition, records[0]), records[0]


async def purge_letters(log: SqliteLog, clock: Clock, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Erase dead letters, contents and all. The request's `letters` are ids."""
    erased = 0
    by_partition: dict[int, list[int]] = {}
    for each in _ids(request):
        by_partition.setdefault(each.partition, []).append(each.offset)
    for partition, offsets in by_partition.items():
        for some in _some(offsets):
            erased += await erase_at(log, TP(DEADLETTERS.name, partition), some)
            await log.write(UnitWrite(puts=[Put(STORE, partition, b"%d" % offset, None) for offset in some]))
            yield {"erased": erased}
    cut = await cut_wal(log) if erased else True
    yield {"erased": erased, "busy": not cut, "done": True}


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
