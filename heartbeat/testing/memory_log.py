"""A log in memory, with failures on demand: what tests run agents on when no file is wanted.

It keeps the contract of `heartbeat.engine.log.Log`. A test may hold writes back (`hold`, `release`), make the next ones
fail (`fail_next`, with or without the write having taken place), and lose what is held (`lose_held`), as a crash does.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from heartbeat.clock import Clock
from heartbeat.engine.log import TP, LogRecord, UnitWrite
from heartbeat.errors import StaleUnit, UnknownTopic
from heartbeat.topics import Topic


@dataclass(slots=True)
class _Partition:
    records: list[LogRecord] = field(default_factory=list)
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    after_the_fact: bool


class MemoryStore:
    """A state store in memory; see `log.StateStore`."""

    def __init__(self) -> None:
        self.rows: defaultdict[int, dict[bytes, tuple[bytes, int | None]]] = defaultdict(dict)

    def get_many(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are there."""
        rows = self.rows[partition]
        return {key: rows[key][0] for key in keys if key in rows}

    def expired(self, partition: int, now_ms: int, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs that are due, oldest first."""
        due = [(at, key, value) for key, (value, at) in self.rows[partition].items() if at is not None and at <= now_ms]
        return [(key, value) for _, key, value in sorted(due)[:limit]]

    def count(self, partition: int) -> int:
        """How many keys there are."""
        return len(self.rows[partition])


class MemoryLog:
    """See `log.Log`. Everything is lost with the object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._topics: dict[str, tuple[Topic, list[_Partition]]] = {}
        self._offsets: dict[tuple[str, TP], int] = {}
        self._stores: dict[str, MemoryStore] = {}
        self._schemas: list[tuple[str, str]] = []
        self._queue: deque[tuple[UnitWrite, asyncio.Future[list[int]]]] = deque()
        self._failures: deque[_Failure] = deque()
        self._grown: defaultdict[TP, asyncio.Event] = defaultdict(asyncio.Event)
        self.holding = False
        self.units = 0
        """How many writes have become durable."""

    # -- what tests do to it --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let writes wait until they are released."""
        self.holding = True

    def release(self, count: int | None = None) -> int:
        """Let so many held writes (all, and stop holding, if None) become durable. Gives how many there were."""
        todo = len(self._queue) if count is None else min(count, len(self._queue))
        for _ in range(todo):
            self._apply(*self._queue.popleft())
        if count is None:
            self.holding = False
        return todo

    @property
    def held(self) -> int:
        """How many writes wait to be released."""
        return len(self._queue)

    def lose_held(self, durable: int = 0) -> None:
        """Crash: of the held writes the first `durable` ones take place, unacknowledged; the others never do."""
        for unit, _ in list(self._queue)[:durable]:
            self._commit(unit)
        self._queue.clear()
        self._failures.clear()
        self.holding = False

    def fail_next(self, error: Exception, *, after_the_fact: bool = False) -> None:
        """Fail the next write with this error; `after_the_fact`: though it has become durable. Calls queue up."""
        self._failures.append(_Failure(error, after_the_fact))

    def forgive(self) -> None:
        """Forget about failures that were still to come."""
        self._failures.clear()

    def trim(self, tp: TP, offset: int) -> None:
        """Remove what lies below an offset, as retention does."""
        part = self._part(tp)
        part.records = [record for record in part.records if record.offset >= offset]

    def compact(self, topic: str) -> None:
        """Keep the newest message of each key only."""
        for partition in range(self.partitions(topic)):
            part = self._part(TP(topic, partition))
            part.records = list(self.latest(TP(topic, partition)))

    # -- the contract ---------------------------------------------------------------------------------------------

    def create_topic(self, topic: Topic, partitions: int) -> None:
        """Declare a topic; one that exists keeps its number of partitions."""
        self._topics.setdefault(topic.name, (topic, [_Partition() for _ in range(partitions)]))

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        if topic not in self._topics:
            raise UnknownTopic(f"there is no topic {topic!r}")
        return len(self._topics[topic][1])

    def write(self, unit: UnitWrite) -> asyncio.Future[list[int]]:
        """Queue one atomic write."""
        outcome: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        if self.holding:
            self._queue.append((unit, outcome))
        else:
            self._apply(unit, outcome)
        return outcome

    async def fetch(self, tp: TP, offset: int, limit: int, timeout_s: float) -> list[LogRecord]:
        """Up to `limit` messages from `offset` on; waits for the first one up to `timeout_s`."""
        part = self._part(tp)
        if part.end <= offset and timeout_s > 0:
            grown = self._grown[tp]
            grown.clear()
            try:
                await asyncio.wait_for(grown.wait(), timeout_s)
            except TimeoutError:
                return []
        at = bisect_left(part.records, offset, key=attrgetter("offset"))
        return part.records[at : at + limit]

    def begin_offset(self, tp: TP) -> int:
        """The offset of the first message that is still there; the end offset if there is none."""
        part = self._part(tp)
        return part.records[0].offset if part.records else part.end

    def end_offset(self, tp: TP) -> int:
        """One past the last message."""
        return self._part(tp).end

    def committed(self, group: str, tp: TP) -> int | None:
        """Where the group stands, or None if it has never committed."""
        return self._offsets.get((group, tp))

    def latest(self, tp: TP) -> Iterable[LogRecord]:
        """The live messages of a compact topic's partition, in the order of their offsets."""
        newest = {record.key: record for record in self._part(tp).records}
        return sorted((record for record in newest.values() if record.value is not None), key=lambda r: r.offset)

    def count_latest(self, tp: TP) -> int:
        """How many messages `latest` gives."""
        return len(list(self.latest(tp)))

    def state(self, store: str) -> MemoryStore:
        """The state store of that name; made if it is new."""
        return self._stores.setdefault(store, MemoryStore())

    def register_schema(self, subject: str, schema: str) -> int:
        """The id of this schema under this subject."""
        if (subject, schema) not in self._schemas:
            self._schemas.append((subject, schema))
        return self._schemas.index((subject, schema)) + 1

    def schema(self, schema_id: int) -> str | None:
        """The text of a schema, or None."""
        return self._schemas[schema_id - 1][1] if 0 < schema_id <= len(self._schemas) else None

    def sizes(self) -> Mapping[str, int]:
        """Bytes of message data by topic."""
        return {
            name: sum(len(r.key or b"") + len(r.value or b"") for part in parts for r in part.records)
            for name, (_, parts) in self._topics.items()
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    def _part(self, tp: TP) -> _Partition:
        if not 0 <= tp.partition < self.partitions(tp.topic):
            raise UnknownTopic(f"{tp.topic} has no partition {tp.partition}")
        return self._topics[tp.topic][1][tp.partition]

    def _apply(self, unit: UnitWrite, outcome: asyncio.Future[list[int]]) -> None:
        failure = self._failures.popleft() if self._failures else None
        try:
            if failure is not None and not failure.after_the_fact:
                raise failure.error
            offsets = self._commit(unit)
            if failure is not None:
                raise failure.error
        except Exception as error:
            if not outcome.done():
                outcome.set_exception(error)
                outcome.exception()  # whoever is gone need not fetch it
        else:
            if not outcome.done():
                outcome.set_result(offsets)

    def _commit(self, unit: UnitWrite) -> list[int]:
        for group, tp, expected, _ in unit.advances:
            standing = self.committed(group, tp)
            if standing != expected:
                raise StaleUnit(f"{group} stands at {standing} in {tp.topic}/{tp.partition}, not at {expected}")
        parts = [self._part(TP(append.topic, append.partition)) for append in unit.appends]
        offsets = []
        for append, part in zip(unit.appends, parts, strict=True):
            offsets.append(part.end)
            part.records.append(LogRecord(part.end, self._clock.now_ms(), append.key, append.value, append.headers))
            part.end += 1
        for append in unit.appends:
            self._grown[TP(append.topic, append.partition)].set()
        for group, tp, _, to in unit.advances:
            self._offsets[group, tp] = to
        for store, partition, key, value, expires_ms in unit.puts:
            rows = self.state(store).rows[partition]
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value, expires_ms
        self.units += 1
        return offsets
