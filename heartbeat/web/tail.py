"""The live stream over a log: what became durable in `pulse` and `sentiment`, read beside the agents.

It belongs to no consumer group and commits nothing. Windows are states, none is left out. Of posts only the newest of
each task are decoded when more come than anybody can read, so that watching costs little at full load; retractions are
never left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, TypeGuard

from heartbeat import topics
from heartbeat.codec import Codec
from heartbeat.engine.log import TP, Log, LogRecord, addressee
from heartbeat.errors import LogError, UndecodableRecord
from heartbeat.records import Heartbeat, Late, Pulse, Record, Scored
from heartbeat.web.sources import LiveRecord

logger = logging.getLogger(__name__)

FETCH: Final = 4_096
PACE_S: Final = 0.2
WAIT_S: Final = 5.0
POSTS_EACH: Final = 12
"""The most new posts of one task that are passed on from one fetch, when there are many."""
MANY: Final = 48
REWIND_MOST: Final = 50_000
QUEUE: Final = 2_048
_FRAME: Final = 5
_ADD: Final = 0
_ANY: Final = Scored("", "", "", "", "add", 0, 0, "", 0.0)


class LogTail:
    """Makes live streams.

    `history_group` is the consumer group that writes history, or one for each topic: a stream begins where that one
    stands, so that history and the stream together have everything. Without one it begins at the end.
    """

    def __init__(self, log: Log, codec: Codec, *, history_group: str | Mapping[str, str] | None = None) -> None:
        self._log, self._codec = log, codec
        watched = (topics.PULSE.name, topics.SENTIMENT.name)
        named = dict.fromkeys(watched, history_group) if isinstance(history_group, str) else history_group or {}
        self._groups: dict[str, str | None] = {topic: named.get(topic) for topic in watched}
        self._scored_frame = codec.encode(_ANY)[:_FRAME]

    def __call__(self) -> AsyncGenerator[LiveRecord, None]:
        """A stream from here on; the places are taken now."""
        places = {
            TP(topic, partition): self._place(TP(topic, partition), group)
            for topic, group in self._groups.items()
            for partition in range(self._log.partitions(topic))
        }
        return self._stream(places)

    def _place(self, tp: TP, group: str | None) -> int:
        end = self._log.end_offset(tp)
        read = self._log.committed(group, tp) if group else None
        return end if read is None else max(min(read, end), end - REWIND_MOST)

    async def _stream(self, places: Mapping[TP, int]) -> AsyncGenerator[LiveRecord, None]:
        queue: asyncio.Queue[LiveRecord | Exception] = asyncio.Queue(QUEUE)
        readers = [asyncio.create_task(self._read(tp, offset, queue)) for tp, offset in places.items()]
        try:
            while True:
                record = await queue.get()
                if isinstance(record, Exception):
                    raise record
                yield record
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, tp: TP, offset: int, queue: asyncio.Queue[LiveRecord | Exception]) -> None:
        """Read one partition for ever. A log that cannot be read now is tried again; anything else ends the stream."""
        while True:
            try:
                fetched = await self._log.fetch(tp, offset, FETCH, WAIT_S)
                records = self._decoded(fetched)
            except LogError as error:
                logger.warning("the pages cannot read %s/%d: %s", tp.topic, tp.partition, error)
                await asyncio.sleep(1.0)
                continue
            except Exception as error:
                await queue.put(error)
                return
            if fetched:
                offset = fetched[-1].offset + 1
            for record in records:
                await queue.put(record)
            await asyncio.sleep(PACE_S if len(fetched) < FETCH else 0)

    def _decoded(self, fetched: Sequence[LogRecord]) -> list[LiveRecord]:
        """The records that pages show. What cannot be read is the agents' business, not ours."""
        records: list[LiveRecord] = []
        shown = [message.value for message in fetched if message.value is not None and not addressee(message.headers)]
        for value in self._chosen(shown):
            try:
                record = self._codec.decode(value)
            except UndecodableRecord:
                continue
            if isinstance(record, Pulse | Scored | Late) or _tells_of_missing(record):
                records.append(record)
        return records

    def _chosen(self, values: Sequence[bytes]) -> Sequence[bytes]:
        """All of them, or where there are many: of new posts the newest of each task."""
        if len(values) <= MANY:
            return values
        chosen: list[int] = []
        newest: defaultdict[bytes, deque[int]] = defaultdict(lambda: deque(maxlen=POSTS_EACH))
        for at, value in enumerate(values):
            task = _task_of_add(value) if value[:_FRAME] == self._scored_frame else None
            if task is None:
                chosen.append(at)
            else:
                newest[task].append(at)
        for kept in newest.values():
            chosen += kept
        return [values[at] for at in sorted(chosen)]


def _tells_of_missing(record: Record) -> TypeGuard[Heartbeat]:
    return isinstance(record, Heartbeat) and record.unheard_from_ms is not None


def _task_of_add(value: bytes) -> bytes | None:
    """The task of a framed `Scored` that is an `add`, read without the rest; None for a retraction, or rubbish.

    On the wire, id, source, feed and task come first, each behind its length, then the op.
    """
    at, start = _FRAME, 0
    try:
        for _ in range(4):
            length = shift = 0
            while True:
                byte = value[at]
                at += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
            start = at
            at += length >> 1
        return value[start:at] if value[at] == _ADD else None
    except IndexError:
        return None
