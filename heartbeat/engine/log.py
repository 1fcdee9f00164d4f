"""The log: what units of work ask of a transport, whichever it is.

A log holds partitioned topics, the offsets that consumer groups have committed, and state stores. Its one way of
writing is `Log.write`, which makes a `UnitWrite` durable as a whole or not at all. The embedded log (`sqlite_log`)
does it with one SQLite transaction; on Kafka it is a transaction with one transactional id for each input partition.

Agents never see a log. Pipelines (`pipeline`) read from it and write to it; `heartbeat.testing` publishes the
contract tests that every implementation has to pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from heartbeat.topics import Topic

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class TP(NamedTuple):
    """A partition of a topic. Equal to Faust's `TP`, since both are plain tuples."""

    topic: str
    partition: int


class LogRecord(NamedTuple):
    """A message as the log holds it. `timestamp_ms` is the time of append, never an event time."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


ONLY_FOR: Final = "only-for"
"""A header that names one agent. Others that read the topic have had this message before, and pass over it."""


def addressee(headers: Headers) -> bytes | None:
    """The agent that alone is to have a message; None where everybody is."""
    return next((value for name, value in headers if name == ONLY_FOR), None)


class Append(NamedTuple):
    """A message to be appended. In a compact topic a value of None removes the key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Advance(NamedTuple):
    """A step of a group's offset, refused unless the group stands at `expected` (None: has never committed)."""

    group: str
    tp: TP
    expected: int | None
    to: int


class Put(NamedTuple):
    """A change of a state store: `value` None removes the key. `expires_ms` is only an index: the owner expires."""

    store: str
    partition: int
    key: bytes
    value: bytes | None
    expires_ms: int | None = None


class UnitWrite(NamedTuple):
    """What becomes durable together."""

    appends: Sequence[Append] = ()
    advances: Sequence[Advance] = ()
    puts: Sequence[Put] = ()


class StateStore(Protocol):
    """A large keyed table on disk, cut into partitions. Reads see what is durable, nothing else."""

    def get_many(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are there."""
        ...

    def expired(self, partition: int, now_ms: int, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` (key, value) pairs whose `expires_ms` is at or before `now_ms`, oldest first."""
        ...

    def count(self, partition: int) -> int:
        """How many keys there are."""
        ...


class Log(Protocol):
    """A partitioned log with atomic writes over appends, offsets and state."""

    def create_topic(self, topic: Topic, partitions: int) -> None:
        """Declare a topic; one that exists keeps its number of partitions."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `UnknownTopic`."""
        ...

    def write(self, unit: UnitWrite) -> asyncio.Future[list[int]]:
        """Queue one atomic write; the future gives the appends' offsets once all of it is durable.

        Writes become durable in the order of the calls. The hard case: a write whose `Advance` does not find the
        group where it expects it fails with `StaleUnit` and leaves nothing behind, so when a unit fails, those queued
        behind it for the same partition fail too. Never cancel the future: its outcome has to be known.

        Raises (through the future):
            StaleUnit: an advance found the group elsewhere.
            LogUnavailable: nothing of it is durable; it may be tried again.
        """
        ...

    async def fetch(self, tp: TP, offset: int, limit: int, timeout_s: float) -> list[LogRecord]:
        """Up to `limit` messages from `offset` on, in order; waits for the first one up to `timeout_s`, else [].

        Offsets may have gaps (retention, compaction). Fewer messages than there are may come when they are long.
        """
        ...

    def begin_offset(self, tp: TP) -> int:
        """The offset of the first message that is still there; the end offset if there is none."""
        ...

    def end_offset(self, tp: TP) -> int:
        """One past the last message."""
        ...

    def committed(self, group: str, tp: TP) -> int | None:
        """Where the group stands, or None if it has never committed."""
        ...

    def latest(self, tp: TP) -> Iterable[LogRecord]:
        """The live messages of a compact topic's partition, in the order of their offsets."""
        ...

    def count_latest(self, tp: TP) -> int:
        """How many messages `latest` gives."""
        ...

    def state(self, store: str) -> StateStore:
        """The state store of that name; made if it is new."""
        ...

    def register_schema(self, subject: str, schema: str) -> int:
        """See `schemas.SchemaStore`."""
        ...

    def schema(self, schema_id: int) -> str | None:
        """See `schemas.SchemaStore`."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Bytes of message data by topic: what caps on disk are held against."""
        ...
