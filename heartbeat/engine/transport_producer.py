"""Faust's producer on the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from aiokafka.structs import RecordMetadata
from faust.exceptions import ProducerSendError
from faust.transport.producer import Producer as BaseProducer
from faust.types import TP

from heartbeat.engine.log import Append, UnitWrite
from heartbeat.engine.transport_base import OnRecordLog

MAX_UNSENT: Final = 20_000


class Producer(OnRecordLog, BaseProducer):
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
