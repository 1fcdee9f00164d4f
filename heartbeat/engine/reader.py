"""What a pipeline has read and not handled yet: pieces of batches, in the order of their offsets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from heartbeat.codec import Codec
from heartbeat.engine.agent import Event
from heartbeat.engine.log import TP, Log, LogRecord, addressee
from heartbeat.errors import UndecodableRecord

_event: Final = partial(tuple.__new__, Event)


class Reader:
    """Reads one partition, ahead of what is committed.

    A batch that fails lies here as its halves; whoever handles the first piece drops it.
    """

    def __init__(self, log: Log, codec: Codec, agent: str, tp: TP, position: int) -> None:
        self._log, self._codec, self._agent, self._tp = log, codec, agent.encode(), tp
        self._pieces: deque[Sequence[LogRecord]] = deque()
        self._position = position

    def go_to(self, position: int) -> None:
        """Forget what has been read, and go on from there."""
        self._pieces.clear()
        self._position = position

    @property
    def position(self) -> int:
        """Where it goes on; behind what there was last, if all that had been left there has been erased."""
        return self._position

    @property
    def first(self) -> Sequence[LogRecord]:
        """The first piece; empty if there is none."""
        return self._pieces[0] if self._pieces else ()

    async def read(self, limit: int, *, wait_s: float = 0.0, linger_s: float = 0.0) -> bool:
        """Read a batch of at most `limit` messages. Gives whether there is one.

        Args:
            limit: the most messages.
            wait_s: how long to wait for the first.
            linger_s: how long to wait for more, once there is one.
        """
        end = self._log.end_offset(self._tp)
        records = await self._log.fetch(self._tp, self._position, limit, wait_s)
        if not records:
            self._position = max(self._position, end)
            return False
        if len(records) < limit and linger_s > 0:
            await asyncio.sleep(linger_s)
            more = await self._log.fetch(self._tp, records[-1].offset + 1, limit - len(records), 0.0)
            records = [*records, *more]
        self._pieces.append(records)
        self._position = records[-1].offset + 1
        return True

    def drop(self) -> None:
        """The first piece has been handled."""
        self._pieces.popleft()

    def split(self, at: int) -> None:
        """Cut the first piece in two, if it is longer than `at`."""
        piece = self._pieces.popleft()
        if len(piece) > at:
            self._pieces.appendleft(piece[at:])
        self._pieces.appendleft(piece[:at])

    def decode(self) -> tuple[list[Event[Any]], int, UndecodableRecord | None]:
        """The first piece's events up to the first record that is none of ours, and what is wrong with that one.

        The number is that of the records before it: those that are for another agent alone make no event.
        """
        decode, event = self._codec.decode, _event
        events: list[Event[Any]] = []
        passed = 0
        try:
            for offset, timestamp_ms, key, value, headers in self._pieces[0]:
                if headers and addressee(headers) not in (None, self._agent):
                    passed += 1
                    continue
                text = None if key is None else key.decode()
                events.append(event((offset, timestamp_ms, text, decode(value))))
        except UndecodableRecord as error:
            return events, passed + len(events), error
        except UnicodeDecodeError:
            return events, passed + len(events), UndecodableRecord("the key is not UTF-8")
        return events, passed + len(events), None
