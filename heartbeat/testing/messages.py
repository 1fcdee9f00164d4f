"""What goes into the topics of a log and comes out of them, in a test's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from heartbeat.codec import Codec
from heartbeat.engine.log import TP, Append, Log, LogRecord, UnitWrite
from heartbeat.records import Record
from heartbeat.topics import DEADLETTERS, Topic, partition_of


class Message(NamedTuple):
    """A message of a topic, decoded."""

    partition: int
    offset: int
    timestamp_ms: int
    key: str | None
    value: Record


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was thrown out: its original key and bytes, and the headers that say why."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


class Messages:
    """Sends and reads.

    Attributes:
        log: where messages are.
        codec: on the log's schemas.
    """

    log: Log
    codec: Codec

    async def send(self, topic: Topic, value: Record | bytes, *, key: str, partition: int | None = None) -> int:
        """Append one message; by default to its key's partition. Bytes are written as they are. Gives its offset."""
        target = partition_of(key, self.log.partitions(topic.name)) if partition is None else partition
        raw = value if isinstance(value, bytes) else self.codec.encode(value)
        [offset] = await self.log.write(UnitWrite([Append(topic.name, target, key.encode(), raw)]))
        return offset

    async def records(self, topic: Topic, partition: int | None = None) -> list[LogRecord]:
        """The messages of a topic (or of one partition) as the log holds them, partition by partition."""
        out: list[LogRecord] = []
        for number in range(self.log.partitions(topic.name)) if partition is None else [partition]:
            out += await self._all(TP(topic.name, number))
        return out

    async def read(self, topic: Topic, partition: int | None = None) -> list[Message]:
        """The messages of a topic (or of one partition), decoded, partition by partition."""
        numbers = range(self.log.partitions(topic.name)) if partition is None else [partition]
        return [
            Message(
                number, r.offset, r.timestamp_ms, None if r.key is None else r.key.decode(), self.codec.decode(r.value)
            )
            for number in numbers
            for r in await self._all(TP(topic.name, number))
        ]

    async def values(self, topic: Topic) -> list[Record]:
        """The values of a topic's messages, partition by partition."""
        return [message.value for message in await self.read(topic)]

    async def dead_letters(self) -> list[DeadLetter]:
        """What was thrown out."""
        return [
            DeadLetter(record.key, record.value, {name: value.decode() for name, value in record.headers})
            for record in await self.records(DEADLETTERS)
        ]

    async def _all(self, tp: TP) -> list[LogRecord]:
        out: list[LogRecord] = []
        at = self.log.begin_offset(tp)
        while found := await self.log.fetch(tp, at, 1000, 0.0):
            out += found
            at = found[-1].offset + 1
        return out
