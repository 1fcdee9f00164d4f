"""Events for many clients: each event is put into words once, has an id, and can be had again for a while.

An event that describes a state (of a window, a feed) has a key: the newest one replaces an older one that has not been
sent, for each client and in the ring. The hub never waits for anybody: a client that does not keep up until its own
queue is full is dropped, and comes back with the id of the last event that it saw.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Any, Final, NamedTuple

import orjson

RING_EVENTS: Final = 8_192
CLIENT_EVENTS: Final = 4_096
CLIENTS: Final = 64


class Frame(NamedTuple):
    """One event as it goes over the wire. `task` None concerns everybody."""

    number: int
    task: str | None
    wire: bytes


class Full(NamedTuple):
    """Given instead of a client when there are too many."""

    clients: int


class Client:
    """One listener's queue. `wanted` are the tasks that it asked for, or none for all."""

    def __init__(self, wanted: Collection[str], limit: int) -> None:
        self.wanted, self.limit = wanted, limit
        self.dropped = self.closed = False
        self._pending: OrderedDict[Hashable, Frame] = OrderedDict()
        self._wake = asyncio.Event()

    def offer(self, key: Hashable, frame: Frame) -> None:
        """Queue an event in place of an older one with the same key; a full queue drops the client."""
        if self.closed or (self.wanted and frame.task is not None and frame.task not in self.wanted):
            return
        self._pending.pop(key, None)
        self._pending[key] = frame
        if len(self._pending) > self.limit:
            self.dropped = True
            self.close()
        self._wake.set()

    def close(self) -> None:
        """Nothing more comes."""
        self.closed = True
        self._pending.clear()
        self._wake.set()

    async def take(self, timeout_s: float) -> bytes | None:
        """Everything that waits, in order; b"" when nothing came in time; None at the end."""
        if not self._pending and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return b""
        if self.closed:
            return None
        wire = b"".join(frame.wire for frame in self._pending.values())
        self._pending.clear()
        self._wake.clear()
        return wire


class Hub:
    """Numbers events, keeps the latest in a ring, and hands them to clients.

    Attributes:
        dropped: how many clients did not keep up.
    """

    def __init__(self, *, ring: int = RING_EVENTS, queue: int = CLIENT_EVENTS, clients: int = CLIENTS) -> None:
        self._ring_limit, self._queue_limit, self._client_limit = ring, queue, clients
        self._clients: set[Client] = set()
        self.dropped = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew: what was, cannot be had again, and every client is sent away to come back and be told so."""
        self._epoch = secrets.token_hex(4)
        self._number = self._forgotten = 0
        self._ring: OrderedDict[Hashable, Frame] = OrderedDict()
        for client in tuple(self._clients):
            client.close()

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    @property
    def last_id(self) -> str:
        """The id of the newest event."""
        return f"{self._epoch}-{self._number}"

    def publish(self, event: str, data: Any, *, key: Hashable = None, task: str | None = None) -> None:
        """Give an event to everybody who listens. Without a key it stands for itself."""
        self._number += 1
        wire = b"id: %b\nevent: %b\ndata: %b\n\n" % (self.last_id.encode(), event.encode(), orjson.dumps(data))
        frame = Frame(self._number, task, wire)
        key = ("event", self._number) if key is None else (event, key)
        self._ring.pop(key, None)
        self._ring[key] = frame
        if len(self._ring) > self._ring_limit:
            self._forgotten = self._ring.popitem(last=False)[1].number
        for client in tuple(self._clients):
            was_there = not client.closed
            client.offer(key, frame)
            self.dropped += was_there and client.dropped

    def join(self, last_id: str | None, wanted: Collection[str]) -> tuple[Client, bool] | Full:
        """A new client, and whether it gets everything that came after `last_id`."""
        if len(self._clients) >= self._client_limit:
            return Full(len(self._clients))
        client = Client(wanted, self._queue_limit)
        since = self._since(last_id)
        if since is not None:
            missed = [(key, frame) for key, frame in self._ring.items() if frame.number > since]
            if len(missed) <= self._queue_limit:
                for key, frame in missed:
                    client.offer(key, frame)
            else:
                since = None
        self._clients.add(client)
        return client, since is not None

    def leave(self, client: Client) -> None:
        """Forget a client."""
        client.close()
        self._clients.discard(client)

    def _since(self, last_id: str | None) -> int | None:
        epoch, _, number = (last_id or "").partition("-")
        if epoch != self._epoch or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        return int(number) if self._forgotten <= int(number) <= self._number else None

    def close(self) -> None:
        """Send everybody away."""
        for client in tuple(self._clients):
            client.close()
