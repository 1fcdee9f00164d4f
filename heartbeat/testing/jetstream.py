"""A Jetstream host on this machine, of both versions, that misbehaves when told to.

    async with JetstreamServer(Told(events)) as server:
        feed = BlueskyFeed([server.url()], clock, grace_ms=5000)

Or by hand, with a made-up conversation that goes on for ever (`--help` lists all that can go wrong):

    python -m heartbeat.testing.jetstream --port 6008 --trouble drop@200,hang@400
    HEARTBEAT_BLUESKY_HOSTS='["ws://127.0.0.1:6008"]' make run

It writes every byte itself, so that it can stop in the middle of one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from heartbeat.feeds.jetstream_socket import V2_PATH
from heartbeat.testing import websocket
from heartbeat.testing.jetstream_story import FIRST_SEQ, Said, Shares, Story, v1, v2

_AT_ONCE: Final = 256
_LOOK_S: Final = 0.01
_TIME_FROM: Final = 10**15
KINDS: Final = {
    "drop": "the connection goes in the middle of a frame",
    "hang": "nothing more is said, nor is a ping answered",
    "stall": "a frame stops in its middle, and the connection stays",
    "silence": "nothing more is said, but pings are answered",
    "repeat": "the last N events come again",
    "back": "the stream goes back by N events, and on from there",
    "rubbish": "frames that are no events",
    "pieces": "the next event comes in fragments, with a ping between",
    "huge": "the event is a frame of N bytes, each time that the stream passes here",
    "close": "the connection is closed with code N",
    "slow": "the host says that its client is too slow",
    "away": "the host is not there for N seconds",
}
RUBBISH: Final = (
    b"",
    b"null",
    b"{",
    b"\xc3\x28",
    b'{"did":1,"time_us":1,"kind":"commit"}',
    b'{"kind":"commit","time_us":1.5}',
    b'{"did":"did:plc:a","time_us":1750000000000000,"kind":["commit"]}',
    b'{"did":"did:plc:a","time_us":1750000000000000,"kind":"weather"}',
    b'{"$type":"weather"}',
    b'{"$type":"message","payload":{"$type":"x#commit","seq":-1}}',
)


class Trouble(NamedTuple):
    """Something that goes wrong before the event of a number is sent; once, but for `huge`."""

    kind: str
    at: int
    n: float = 0


class Stream(Protocol):
    """Events by their number, from 0 on."""

    def size(self) -> int:
        """How many there are by now."""
        ...

    def said(self, number: int) -> Said:
        """The event of that number."""
        ...

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it."""
        ...


class Told:
    """A stream of given events; more can be told while it runs."""

    def __init__(self, events: Iterable[Said] = ()) -> None:
        self.events = list(events)

    def tell(self, *events: Said) -> None:
        """Add events."""
        self.events += events

    def size(self) -> int:
        """How many there are by now."""
        return len(self.events)

    def said(self, number: int) -> Said:
        """The event of that number."""
        return self.events[number]

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it, or after the last that is before it."""
        return next((at for at, event in enumerate(self.events) if event.us >= us), len(self.events))


class Playing:
    """A story up to an event; then, or from the beginning, at the pace of the clock.

    Args:
        story: its events.
        count: so many are there from the beginning, and no more of the story; None: it goes on as time does.
    """

    def __init__(self, story: Story, count: int | None = None) -> None:
        self._story, self._count = story, count
        self._began_us = time.time_ns() // 1000

    def size(self) -> int:
        """How many there are by now. After a story has ended, ten times a second something that is no post."""
        now_us = time.time_ns() // 1000
        if self._count is None:
            return self._story.find(now_us)
        return self._count + (now_us - self._began_us) // 100_000

    def said(self, number: int) -> Said:
        """The event of that number."""
        if self._count is None or number < self._count:
            return self._story.said(number)
        return Said(self._began_us + (number - self._count) * 100_000, "did:plc:somebody", "other")

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it."""
        number = self._story.find(us)
        if self._count is None or number < self._count:
            return number
        return self._count + max(0, -(-(us - self._began_us) // 100_000))


class JetstreamServer:
    """A host. Used as `async with`.

    Args:
        stream: what it sends.
        troubles: what goes wrong.
        port: 0 for any that is free.
        oldest: the first event that it still has; v1 begins there, v2 refuses what is older.
        events_per_s: the most that a connection gets; None: as fast as it takes them.

    Attributes:
        asked: the query of every connection, in order.
        met: the troubles that happened.
    """

    def __init__(
        self,
        stream: Stream,
        troubles: Iterable[Trouble] = (),
        *,
        port: int = 0,
        oldest: int = 0,
        events_per_s: float | None = None,
    ) -> None:
        self.stream, self.port, self.oldest, self.events_per_s = stream, port, oldest, events_per_s
        self.troubles = sorted(troubles, key=lambda trouble: trouble.at)
        self.asked: list[dict[str, list[str]]] = []
        self.met: list[Trouble] = []
        self.refuses: tuple[int, bytes] | None = None
        """What every request is answered with, if not None: a status and a body."""
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
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
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
        parts = urlsplit(request.target)
        asked, numbered = parse_qs(parts.query), parts.path == V2_PATH
        self.asked.append(asked)
        refusal = self._refusal(asked, numbered)
        if refusal is not None:
            writer.write(websocket.answer(refusal[0], "Refused", refusal[1]))
            await writer.drain()
            return
        writer.write(websocket.accept(request, "xrpc.v1.json" if numbered else None))
        connection = _Connection(self, reader, writer, numbered)
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

    def _refusal(self, asked: dict[str, list[str]], numbered: bool) -> tuple[int, bytes] | None:
        if self.refuses is not None:
            return self.refuses
        cursor = int(asked.get("cursor", ["0"])[0])
        if numbered and 0 < cursor < _TIME_FROM and cursor < FIRST_SEQ + self.oldest:
            return 400, orjson.dumps({"error": "CursorTooOld", "message": "the cursor is too old"})
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
                if trouble.kind != "huge":
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


class _Connection:
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


def _v2_frame(payload: dict[str, Any]) -> bytes:
    return websocket.frame(orjson.dumps({"$type": "message", "payload": payload}))


def parse_troubles(text: str) -> list[Trouble]:
    """Troubles as they are written: `KIND@EVENT[:N]`, parted by commas.

    Raises:
        ValueError: there is no such trouble, or its place is no number.
    """
    troubles = []
    for word in filter(None, text.split(",")):
        kind, _, place = word.partition("@")
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no trouble; there are {', '.join(KINDS)}")
        at, _, n = place.partition(":")
        troubles.append(Trouble(kind, int(at), float(n or 0)))
    return troubles


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
