"""A Jetstream host on this machine, of both versions, that misbehaves when told to.

    async with JetstreamServer(Told(events)) as server:  # `Told` is in `jetstream_streams`
        feed = BlueskyFeed([server.url()], clock, grace_ms=5000)

Or by hand, with a made-up conversation that goes on for ever (`--help` lists all that can go wrong):

    python -m heartbeat.testing.jetstream --port 6008 --trouble drop@200,hang@400
    HEARTBEAT_BLUESKY_HOSTS='["ws://127.0.0.1:6008"]' make run

It writes every byte itself, so that it can stop in the middle of one.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from heartbeat.feeds.jetstream_socket import V2_PATH
from heartbeat.testing import websocket
from heartbeat.testing.jetstream_connection import Connection
from heartbeat.testing.jetstream_story import FIRST_SEQ, Shares, Story
from heartbeat.testing.jetstream_streams import Playing, Stream
from heartbeat.testing.jetstream_troubles import KINDS, Refusal, Trouble, parse_troubles

_TIME_FROM: Final = 10**15


class JetstreamServer:
    """A host. Used as `async with`.

    Args:
        stream: what it sends.
        troubles: what goes wrong.
        port: 0 for any that is free.
        oldest: the first event that it still has; v1 begins there, v2 refuses what is older.
        events_per_s: the most that a connection gets; None: as fast as it takes them.
        tls: speaks TLS by it.

    Attributes:
        asked: the query of every connection, in order.
        met: the troubles that happened.
        refuses: what every request is answered with, if not None: a status, a body, further headers.
        mute: it takes connections and says nothing.
    """

    def __init__(
        self,
        stream: Stream,
        troubles: Iterable[Trouble] = (),
        *,
        port: int = 0,
        oldest: int = 0,
        events_per_s: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.stream, self.port, self.oldest, self.events_per_s = stream, port, oldest, events_per_s
        self._tls = tls
        self.troubles = sorted(troubles, key=lambda trouble: trouble.at)
        self.asked: list[dict[str, list[str]]] = []
        self.met: list[Trouble] = []
        self.refuses: Refusal | None = None
        self.mute = False
        self._listening: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()
        self._away: asyncio.Task[None] | None = None

    def url(self, version: int = 1) -> str:
        """Its address."""
        return f"ws://127.0.0.1:{self.port}{V2_PATH if version == 2 else '/subscribe'}"

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop every connection, and listen no more."""
        if self._away is not None:
            self._away.cancel()
            await asyncio.gather(self._away, return_exceptions=True)
        await self.go_away()

    async def listen(self) -> None:
        """Be reachable."""
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """Drop every connection and refuse new ones, until `listen`."""
        if self._listening is not None:
            self._listening.close()
        talking = [task for task in self._talking if task is not asyncio.current_task()]
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)

    @property
    def listens(self) -> bool:
        """Whether it is reachable."""
        return self._listening is not None and self._listening.is_serving()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._talking.discard(task)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await websocket.read_request(reader)
        if request is None:
            return
        if self.mute:
            await asyncio.sleep(86_400)
        parts = urlsplit(request.target)
        asked, numbered = parse_qs(parts.query), parts.path == V2_PATH
        self.asked.append(asked)
        refusal = self._refusal(asked, numbered)
        if refusal is not None:
            writer.write(websocket.answer(refusal.status, "Refused", refusal.body, headers=refusal.headers))
            await writer.drain()
            return
        writer.write(websocket.accept(request, "xrpc.v1.json" if numbered else None))
        connection = Connection(self, reader, writer, numbered)
        at = self._begin(asked, numbered)
        if at < self.oldest and numbered:
            writer.write(_v2_frame({"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "OutdatedCursor"}))
        listening = asyncio.create_task(connection.listen())
        sending = asyncio.create_task(connection.send(max(at, self.oldest)))
        try:
            await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (listening, sending):
                task.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)

    def _refusal(self, asked: dict[str, list[str]], numbered: bool) -> Refusal | None:
        if self.refuses is not None:
            return self.refuses
        cursor = int(asked.get("cursor", ["0"])[0])
        if numbered and 0 < cursor < _TIME_FROM and cursor < FIRST_SEQ + self.oldest:
            return Refusal(400, orjson.dumps({"error": "CursorTooOld", "message": "the cursor is too old"}))
        if numbered and FIRST_SEQ + self.stream.size() < cursor < _TIME_FROM:
            return Refusal(400, orjson.dumps({"error": "FutureCursor", "message": "the cursor is in the future"}))
        return None

    def _begin(self, asked: dict[str, list[str]], numbered: bool) -> int:
        """The number of the first event that a client asks for; both versions include what lies at the cursor."""
        if "cursor" not in asked:
            return self.stream.size()
        cursor = int(asked["cursor"][0])
        if numbered and cursor < _TIME_FROM:
            return cursor - FIRST_SEQ
        return min(self.stream.find(cursor), self.stream.size())

    def due(self, at: int) -> Trouble | None:
        """What goes wrong before an event, now."""
        for trouble in self.troubles:
            if trouble.at == at:
                if trouble.kind not in ("huge", "claim"):
                    self.troubles.remove(trouble)
                self.met.append(trouble)
                return trouble
        return None

    def calm_until(self, at: int, end: int) -> int:
        """The first event behind one at which something goes wrong before it, or `end`."""
        return min((trouble.at for trouble in self.troubles if at < trouble.at < end), default=end)

    def leave_for(self, seconds: float) -> None:
        """Go away, and come back after some seconds."""

        async def away() -> None:
            await self.go_away()
            await asyncio.sleep(seconds)
            await self.listen()

        self._away = asyncio.create_task(away())


def _v2_frame(payload: dict[str, Any]) -> bytes:
    return websocket.frame(orjson.dumps({"$type": "message", "payload": payload}))


async def serve(arguments: argparse.Namespace) -> None:
    """Be a host until interrupted."""
    now_us = time.time_ns() // 1000
    shares = Shares(about=arguments.about, delete=arguments.deletions)
    if arguments.events:
        begin_us = arguments.begin_us or now_us - arguments.events * 25_000
        stream = Playing(Story(begin_us, seed=arguments.seed, shares=shares), arguments.events)
    else:
        story = Story(now_us, step_us=round(1e6 / arguments.rate), seed=arguments.seed, shares=shares)
        stream = Playing(story)
    troubles = parse_troubles(arguments.trouble)
    server = JetstreamServer(stream, troubles, port=arguments.port, events_per_s=arguments.pace)
    async with server:
        print(f"v1 at {server.url()}\nv2 at {server.url(2)}", flush=True)
        await asyncio.Event().wait()


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m heartbeat.testing.jetstream",
        description="A Jetstream host on this machine, with a made-up conversation about the demo's products.",
        epilog="troubles: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()),
    )
    parser.add_argument("--port", type=int, default=6008)
    parser.add_argument("--rate", type=float, default=40.0, help="events a second, as time goes on (default: 40)")
    parser.add_argument("--events", type=int, default=0, help="so many at once instead, up to now")
    parser.add_argument("--begin-us", type=int, default=0, help="when the first of them was, in microseconds")
    parser.add_argument("--pace", type=float, help="the most events a second that a connection gets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--about", type=int, default=10, help="of a thousand posts, how many are about the products")
    parser.add_argument("--deletions", type=int, default=10, help="of a thousand events, how many delete a post")
    parser.add_argument("--trouble", default="", help="KIND@EVENT[:N], parted by commas")
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
