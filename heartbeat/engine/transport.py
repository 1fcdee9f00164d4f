"""The transport `sqlite:` of Faust: what plain agents, tables and `topic.send` use, on the log that the app has open.

All partitions belong to the one process that owns the log. Topics of batch agents are assigned along with the others,
but fetched and committed by the pipelines alone, unless a plain agent reads them too.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from aiokafka.structs import RecordMetadata
from faust.exceptions import ProducerSendError
from faust.transport import base
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.producer import Producer as BaseProducer
from faust.types import TP, ConsumerMessage
from mode.utils.times import want_seconds

from heartbeat.engine.log import Advance, Append, Log, LogRecord, UnitWrite, addressee
from heartbeat.errors import BadLogUrl, UnknownTopic
from heartbeat.topics import Topic

if TYPE_CHECKING:
    from heartbeat.engine.faust import HeartbeatApp

MAX_UNSENT = 20_000
POLL_MESSAGES = 2000
URL = "sqlite://"
"""The broker URL as Faust has to get it: without the slashes it would take `sqlite:` for the name of a Kafka host."""


class _OnRecordLog:
    """What Faust's consumer and producer have in common here."""

    transport: Transport

    @property
    def record_log(self) -> Log:
        """The app's log."""
        return self.transport.record_log

    async def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int,
        *,
        retention: Any = None,
        compacting: bool | None = None,
        **options: Any,
    ) -> None:
        """Make a topic, unless it is there."""
        retention_ms = int(want_seconds(retention) * 1000) if retention else None
        wanted = Topic(topic, retention_ms=retention_ms, compact=bool(compacting))
        self.transport.declare(wanted, partitions)


class Consumer(_OnRecordLog, BaseConsumer):
    """Reads for plain agents and for the recovery of plain tables."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assigned: set[TP] = set()
        self._asked: set[str] = set()
        self._positions: dict[TP, int | None] = {}

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Take over every partition of these topics and of the batch agents' topics."""
        app = self.app
        self._asked = set(topics)
        for topic in self._asked:
            self.transport.declare(Topic(topic))
        names = self._asked | {tp.topic for tp in app.engine.everything()}
        assigned = {TP(topic, p) for topic in names for p in range(self.record_log.partitions(topic))}
        app.on_rebalance_start()
        await self.on_partitions_revoked(set(self._assigned))
        self._assigned = assigned
        app.consumer_generation_id += 1
        by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for tp in assigned:
            by_topic[tp.topic].append(tp.partition)
        assignor, changelogs = app.assignor, app.tables.changelog_topics
        assignor._assignment.actives, assignor._active_tps = dict(by_topic), set(assigned)
        assignor._topic_groups = dict.fromkeys(names, 0)
        url = str(app.conf.canonical_url)
        assignor.changelog_distribution = {url: {t: ps for t, ps in by_topic.items() if t in changelogs}}
        assignor.external_topic_distribution = {url: {t: ps for t, ps in by_topic.items() if t not in changelogs}}
        for tp in assigned:
            self._positions.setdefault(tp, None)
        # not awaited: it waits for the subscription that is being made here
        self.add_future(self.on_partitions_assigned(set(assigned), app.consumer_generation_id))

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Begin to fetch: only what plain agents and tables asked for."""
        super().resume_partitions({tp for tp in tps if tp.topic in self._asked})

    def stop_flow(self) -> None:
        """Partitions are about to go, or the app stops: pipelines begin to stop too."""
        super().stop_flow()
        self.app.pause_agents()

    async def wait_empty(self) -> None:
        """Wait for what has begun: first the pipelines, then Faust's own streams."""
        await self.app.drain_agents()
        await super().wait_empty()

    def start_offset(self, tp: TP) -> int:
        """Where the app's own group stands, or starts."""
        standing = self.record_log.committed(self.app.conf.id, tp)
        if standing is not None:
            return standing
        earliest = self.app.conf.consumer_auto_offset_reset == "earliest"
        return self.record_log.begin_offset(tp) if earliest else self.record_log.end_offset(tp)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go on from the committed offsets."""
        offsets = {tp: self.start_offset(tp) for tp in self._assigned if tp.topic in self._asked}
        self._positions.update(offsets)
        return offsets

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go to these offsets."""
        for tp, offset in partitions.items():
            await self.seek(tp, offset)

    async def _seek(self, tp: TP, offset: int) -> None:
        self._positions[tp] = offset

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[LogRecord]]:
        until = self.loop.time() + timeout
        limit = self.app.conf.broker_max_poll_records or POLL_MESSAGES
        while True:
            active = [tp for tp in active_partitions or () if self._positions.get(tp) is not None]
            found: dict[TP, list[LogRecord]] = {}
            for tp in active:
                position = cast(int, self._positions[tp])
                if position < self.record_log.end_offset(tp):
                    records = await self.record_log.fetch(tp, position, limit, 0.0)
                    if heard := [record for record in records if not addressee(record.headers)]:
                        found[tp] = heard
                    self._positions[tp] = records[-1].offset + 1 if records else self.record_log.end_offset(tp)
            left = until - self.loop.time()
            if found or not self.flow_active or left <= 0:
                return found
            await self._wait_for_any(active, left)

    async def _wait_for_any(self, tps: list[TP], timeout: float) -> None:
        """Wait until one of these partitions has a message at its position."""
        waits = [
            asyncio.ensure_future(self.record_log.fetch(tp, cast(int, self._positions[tp]), 1, timeout)) for tp in tps
        ]
        if not waits:
            await asyncio.sleep(timeout)
            return
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _to_message(self, tp: TP, record: LogRecord) -> ConsumerMessage:
        key, value = record.key, record.value
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp_ms / 1000,
            0,
            list(record.headers),
            key,
            value,
            None,
            len(key or b""),
            len(value or b""),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        group = self.app.conf.id
        steps = [Advance(group, tp, self.record_log.committed(group, tp), to) for tp, to in offsets.items()]
        await self.record_log.write(UnitWrite(advances=steps))
        return True

    def assignment(self) -> set[TP]:
        """Every partition of this process, those of batch agents included."""
        return set(self._assigned)

    def highwater(self, tp: TP) -> int:
        """One past the last message."""
        return self.record_log.end_offset(tp)

    async def position(self, tp: TP) -> int | None:
        """Where fetching goes on."""
        return self._positions.get(tp)

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        """The first offsets that are still there."""
        return {tp: self.record_log.begin_offset(tp) for tp in tps}

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        """One past the last messages."""
        return {tp: self.record_log.end_offset(tp) for tp in tps}

    def topic_partitions(self, topic: str) -> int | None:
        """How many partitions a topic has, or None if there is none of that name."""
        try:
            return self.record_log.partitions(topic)
        except UnknownTopic:
            return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int:
        """The partition a message with this key goes to."""
        return self.transport.partition(topic, key, partition)

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def close(self) -> None:
        """Nothing is left open: the log belongs to the app."""


class Producer(_OnRecordLog, BaseProducer):
    """Writes for `topic.send` and plain tables: each message is a unit of its own; the log groups them."""

    def __post_init__(self) -> None:
        self._unsent: set[asyncio.Future[list[int]]] = set()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Queue a message; the future gives its metadata once it is durable."""
        target = self.transport.partition(topic, key, partition)
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
        written = self.record_log.write(UnitWrite([Append(topic, target, key, value, pairs)]))
        sent: asyncio.Future[RecordMetadata] = self.loop.create_future()

        def finish(done: asyncio.Future[list[int]]) -> None:
            self._unsent.discard(done)
            if sent.done():
                return
            if error := done.exception():
                sent.set_exception(ProducerSendError(str(error)))
            else:
                at = done.result()[0]
                sent.set_result(
                    RecordMetadata(topic, target, TP(topic, target), at, int((timestamp or 0) * 1000), 0, 0)
                )

        self._unsent.add(written)
        written.add_done_callback(finish)
        while len(self._unsent) > MAX_UNSENT:
            await asyncio.wait(self._unsent, return_when=asyncio.FIRST_COMPLETED)
        return sent

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> RecordMetadata:
        """Send a message and wait until it is durable."""
        return await (await self.send(*args, **kwargs))

    async def flush(self) -> None:
        """Wait until everything sent is durable."""
        while self.buffer.size:  # one call of Faust's own flush gives up after 100 ms
            await self.buffer.flush()
        if self._unsent:
            await asyncio.wait(set(self._unsent))

    def key_partition(self, topic: str, key: bytes) -> TP:
        """The partition a message with this key goes to."""
        return TP(topic, self.transport.partition(topic, key, None))

    def supports_headers(self) -> bool:
        """Headers are kept."""
        return True


class Transport(base.Transport):
    """Made by Faust for the broker URL `sqlite:`; the app says where the log is."""

    Consumer = Consumer
    Producer = Producer
    default_port = 0
    driver_version = f"sqlite={sqlite3.sqlite_version}"

    def __init__(self, url: Any, app: Any, loop: Any = None) -> None:
        super().__init__(url, app, loop)
        if not hasattr(app, "record_log_or_none"):
            raise BadLogUrl("sqlite: needs a HeartbeatApp: the app, not the URL, says where the log is")
        for one in url if isinstance(url, list) else [url]:
            if one.host or one.path.strip("/") or one.query_string:
                raise BadLogUrl(f"{one}: sqlite: takes no path; the log is in the data directory")

    @property
    def record_log(self) -> Log:
        """The app's log, which has to be open."""
        return cast("HeartbeatApp", self.app).record_log

    def declare(self, topic: Topic, partitions: int | None = None) -> None:
        """Make a topic that Faust asks for; one that exists stays as it is."""
        try:
            self.record_log.partitions(topic.name)
        except UnknownTopic:
            self.record_log.create_topic(topic, partitions or self.app.conf.topic_partitions)

    def partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        """The partition a message goes to: the one named, its key's, or any."""
        self.declare(Topic(topic))
        count = self.record_log.partitions(topic)
        if partition is None:
            return random.randrange(count) if key is None else crc32(key) % count
        if not 0 <= partition < count:
            raise UnknownTopic(f"{topic} has {count} partitions, none is numbered {partition}")
        return partition
