"""One client of a Jetstream host of ours: it gets its events, and whatever is to go wrong before them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from heartbeat.testing import websocket
from heartbeat.testing.jetstream_story import FIRST_SEQ, v1, v2
from heartbeat.testing.jetstream_troubles import RUBBISH, Trouble

if TYPE_CHECKING:
    from heartbeat.testing.jetstream import JetstreamServer

_AT_ONCE: Final = 256
_LOOK_S: Final = 0.01


class Connection:
    """One client."""

    def __init__(
        self, server: JetstreamServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbered: bool
    ) -> None:
        self._server, self._reader, self._writer, self._numbered = server, reader, writer, numbered
        self._deaf = False

    async def listen(self) -> None:
        """Answer pings, and end when the client closes or goes."""
        while (heard := await websocket.read_frame(self._reader)) is not None:
            opcode, payload = heard
            if opcode == websocket.CLOSE:
                if not self._deaf:
                    self._writer.write(websocket.frame(payload, websocket.CLOSE))
                return
            if opcode == websocket.PING and not self._deaf:
                self._writer.write(websocket.frame(payload, websocket.PONG))

    async def send(self, at: int) -> None:
        """Send events from one on, until something ends the connection."""
        server, stream, began, first = self._server, self._server.stream, time.monotonic(), at
        while True:
            size = stream.size()
            if server.events_per_s is not None:
                size = min(size, first + int((time.monotonic() - began) * server.events_per_s) + 1)
            if at >= size:
                await asyncio.sleep(_LOOK_S)
                continue
            trouble = server.due(at)
            if trouble is not None:
                after = await self._suffer(trouble, at)
                if after is None:
                    return
                if after != at:
                    at = after
                    continue
            end = server.calm_until(at, min(size, at + _AT_ONCE))
            self._writer.write(b"".join([websocket.frame(self._event(number)) for number in range(at, end)]))
            await self._writer.drain()
            at = end

    def _event(self, number: int) -> bytes:
        said = self._server.stream.said(number)
        return v2(said, FIRST_SEQ + number) if self._numbered else v1(said)

    async def _suffer(self, trouble: Trouble, at: int) -> int | None:
        """Let something go wrong. Gives the event to go on with, or None at the end of the connection."""
        kind, _, n = trouble
        write, event = self._writer.write, websocket.frame(self._event(at))
        if kind in ("drop", "stall"):
            write(event[: len(event) // 2])
            await self._writer.drain()
            if kind == "stall":
                await self._hang()
            return None
        if kind in ("hang", "silence"):
            await self._hang(deaf=kind == "hang")
        elif kind in ("repeat", "back"):
            again = max(at - int(n), self._server.oldest)
            if kind == "back":
                return again
            write(b"".join([websocket.frame(self._event(number)) for number in range(again, at)]))
        elif kind == "rubbish":
            write(b"".join([websocket.frame(raw) for raw in RUBBISH]) + websocket.frame(b"\0\1", websocket.BINARY))
        elif kind == "pieces":
            payload = self._event(at)
            middle = len(payload) // 2
            write(websocket.frame(payload[:middle], final=False) + websocket.frame(b"?", websocket.PING))
            write(websocket.frame(payload[middle:], 0))
            return at + 1
        elif kind == "huge":
            write(websocket.frame(b'{"padding":"' + b"x" * int(n) + b'"}'))
            await self._writer.drain()
            return at + 1
        elif kind == "claim":
            write(websocket.head(int(n)))
            for _ in range(min(int(n), 20_000_000) // 2**16):
                write(b"x" * 2**16)
                await self._writer.drain()
            await self._hang()
        elif kind == "close":
            write(websocket.close(int(n), "enough"))
            await asyncio.sleep(0.2)
            return None
        elif kind == "slow":
            if self._numbered:
                write(websocket.frame(b'{"$type":"error","error":"ConsumerTooSlow","message":"too slow"}'))
            write(websocket.close(1008, "ConsumerTooSlow"))
            await asyncio.sleep(0.2)
            return None
        elif kind == "away":
            self._server.leave_for(n)
            await asyncio.sleep(3600)
        return at

    async def _hang(self, *, deaf: bool = True) -> None:
        self._deaf = deaf
        await asyncio.sleep(86_400)
