"""What an agent is: a handler for batches of one topic, and what it may use.

    class Language:
        async def __call__(self, batch: Batch[Post | Heartbeat], emit: Emit) -> None: ...

The contract between a handler and the engine:

- A batch is of one partition, in order, and never empty.
- A handler sends, commits and acknowledges nothing. `emit` and changes of tables are collected; when it returns, they
  and the new offset become durable as one unit, or none does and the tables are as before.
- The hard case: a handler may be called again with messages that it has handled before (after a failure, halved, or
  after a restart). So nothing outside `emit` and tables may be changed, unless changing it twice is the same as once.
- Table values are never changed in place: take a copy, change that, put it back. (The engine undoes by keeping
  references to the old values.)
- Raise `Retry` when it is not the messages' fault. Anything else that is raised halves the batch until the bad message
  stands alone; that goes to dead letters.
- A tick is a unit too, for a partition, never at the same time as one of its batches, and it comes under load as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from heartbeat.engine.log import TP
from heartbeat.records import Record
from heartbeat.topics import Topic

V_co = TypeVar("V_co", covariant=True)
K = TypeVar("K")
V = TypeVar("V")


class Event(NamedTuple, Generic[V_co]):
    """One decoded message of a batch."""

    offset: int
    timestamp_ms: int
    key: str | None
    value: V_co


class Batch(Generic[V_co]):
    """Messages of one partition, in order."""

    __slots__ = ("events", "tp")

    def __init__(self, tp: TP, events: Sequence[Event[V_co]]) -> None:
        self.tp, self.events = tp, events

    @property
    def partition(self) -> int:
        """The input partition: where same-partition outputs and this unit's table changes go."""
        return self.tp.partition

    def __iter__(self) -> Iterator[Event[V_co]]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)


class Emit(Protocol):
    """Collects an output of the current unit."""

    def __call__(self, topic: Topic, value: Record, *, key: str, partition: int) -> None:
        """Encoded at once, so that a value that does not fit its schema fails the handler, not the commit."""
        ...


class TablePart(Protocol[K, V]):
    """One partition of a table in memory, as its agent's handler sees it (changes of open units included)."""

    def get(self, key: K) -> V | None:
        """The value, or None."""
        ...

    def __setitem__(self, key: K, value: V) -> None: ...

    def __delitem__(self, key: K) -> None: ...

    def __contains__(self, key: object) -> bool: ...

    def __len__(self) -> int: ...

    def items(self) -> Iterator[tuple[K, V]]:
        """All pairs; the table may be changed while iterating (a snapshot of keys is taken)."""
        ...


class Table(Protocol[K, V]):
    """A table in memory with a changelog, written by one agent, cut into that agent's input partitions."""

    name: str

    def part(self, partition: int) -> TablePart[K, V]:
        """The rows of one partition. Writing is possible only inside a unit of that partition."""
        ...


class DiskTablePart(Protocol[K, V]):
    """One partition of a table on disk, as its agent's handler sees it (changes of open units included)."""

    def get_many(self, keys: Sequence[K]) -> dict[K, V]:
        """The values of those keys that are there; one query for all."""
        ...

    def put(self, key: K, value: V, *, expires_ms: int | None = None) -> None:
        """Stage a value; `expires_ms` is when `expired` begins to list it."""
        ...

    def delete(self, key: K) -> None:
        """Stage a removal; a key that is not there is no error."""
        ...

    def expired(self, now_ms: int, limit: int) -> list[tuple[K, V]]:
        """At most `limit` pairs due at `now_ms`, as far as they are durable and not staged for change."""
        ...


class DiskTable(Protocol[K, V]):
    """A table on disk, written by one agent, cut into that agent's input partitions."""

    name: str

    def part(self, partition: int) -> DiskTablePart[K, V]:
        """The rows of one partition. Writing is possible only inside a unit of that partition."""
        ...


Handler = Callable[[Batch[Any], Emit], Awaitable[None]]
Tick = Callable[[int, int, Emit], Awaitable[bool | None]]
"""Called with (partition, now_ms, emit). True asks for the next one as soon as there are no messages to handle."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent as data: what the engine needs to run it, on Faust or under a test's driver.

    Attributes:
        name: also the consumer group's suffix, so that two agents can read one topic.
        max_messages: the most messages a batch may hold.
        linger_s: how long to wait for a batch to fill once it has begun.
        max_inflight: units that may be waiting for their commit, for each partition.
        tick_s: how often `tick` is called for each partition.
        backoff_s: the first wait after a `Retry`; doubles up to 30 s.
        tables: what it writes; nobody else may.
    """

    name: str
    topic: Topic
    handler: Handler
    tick: Tick | None = None
    tick_s: float = 1.0
    max_messages: int = 512
    linger_s: float = 0.02
    max_inflight: int = 2
    backoff_s: float = 0.5
    tables: Sequence[Any] = field(default=())
