"""Faust's consumer on the log: assigns every partition, and fetches what plain agents and tables ask for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from faust.transport.consumer import Consumer as BaseConsumer
from faust.types import TP, ConsumerMessage

from heartbeat.engine.log import Advance, LogRecord, UnitWrite, addressee
from heartbeat.engine.transport_base import OnRecordLog
from heartbeat.errors import UnknownTopic
from heartbeat.topics import Topic

POLL_MESSAGES: Final = 2000


class Consumer(OnRecordLog, BaseConsumer):
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
