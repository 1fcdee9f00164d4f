"""One connection to a Jetstream host: its address, its frames, and when it is taken for lost.

Frames are read by a task of their own into a bounded buffer, and taken out as many at once as there are: a few while
posts trickle in, a thousand while a backlog pours. While nobody takes them, reading stops, and so does the host.

A host that says nothing is pinged. No answer: it hangs, or is gone without a word. An answer: it is alive, and silent.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from heartbeat.errors import FeedUnreachable
from heartbeat.feeds.jetstream_events import POSTS, Parse, parse_v1, parse_v2
from heartbeat.feeds.resolver import DaemonResolver
from heartbeat.retry_after import retry_after_s

V2_PATH: Final = "/xrpc/network.bsky.jetstream.subscribeEvents"
LARGEST_ASKED: Final = 2**20
"""Hosts are asked to leave out larger events: no record of the network is as large."""
LARGEST_READ: Final = 4 * 2**20
"""A larger frame is not read at all: the connection ends, and goes on behind it."""
CONNECT_S: Final = 10.0
PING_AFTER_S: Final = 10.0
_MOST_FRAMES: Final = 1000
_MOST_BYTES: Final = 2 * LARGEST_READ
_V2_PROTOCOL: Final = "xrpc.v1.json"
_LONGEST_ANSWER: Final = 65_536
_CLOSING_S: Final = 1.0
LONGEST_LATER_S: Final = 900.0
"""A host may ask to be left alone for longer: it is not believed."""
CURSOR_ERRORS: Final = {
    "CursorTooOld": "does not keep what lies so far back",
    "FutureCursor": "does not know the place: it counts anew",
}


class FrameTooLarge(FeedUnreachable):
    """A frame that is larger than `LARGEST_READ`: it has not been read, and would come again."""


class CursorRefused(FeedUnreachable):
    """The host does not keep what lies at the cursor any more, or has never had it."""


class TryLater(FeedUnreachable):
    """The host refuses, and says how long it wants to be left alone: `after_s`."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host is, and which version of the protocol it is asked in.

    Attributes:
        url: a WebSocket address without a query.
        host: its name and port, as people are told.
        v2: whether places are numbers of the host's own (`seq`).
    """

    url: str
    host: str
    v2: bool

    @classmethod
    def of(cls, text: str) -> Address:
        """The address that somebody wrote: a host's name alone, or a whole URL of either version.

        Raises:
            ValueError: it is neither; says what it may be.
        """
        parts = urlsplit(text if "://" in text else f"wss://{text}")
        more = parts.query or parts.fragment or "@" in parts.netloc or any(sign.isspace() for sign in text)
        if more or parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"{text!r} has to be a host's name, or ws:// or wss:// and a path without a query")
        path = parts.path if parts.path.strip("/") else "/subscribe"
        return cls(f"{parts.scheme}://{parts.netloc}{path}", parts.netloc, path.startswith("/xrpc/"))

    @property
    def parse(self) -> Parse:
        """Reads its frames."""
        return parse_v2 if self.v2 else parse_v1

    def query(self, cursor: int | None) -> str:
        """What is asked for: posts and accounts, from the cursor on (None: from now on)."""
        asked: list[tuple[str, str | int]] = [("maxMessageSizeBytes", LARGEST_ASKED)]
        if self.v2:
            asked += [("collections", POSTS), ("kinds", "commit"), ("kinds", "account")]
        else:
            asked.append(("wantedCollections", POSTS))  # what is no commit comes anyway
        if cursor is not None:
            asked.append(("cursor", cursor))
        return urlencode(asked)


class Socket:
    """An open connection. Made by `connected`, on the event loop."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse[Any], ping_after_s: float) -> None:
        self._ws, self._ping_after_s = ws, ping_after_s
        self._frames: list[bytes] = []
        self._bytes = self._pongs = 0
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._end: FeedUnreachable | None = None

    async def take(self) -> Sequence[bytes]:
        """The frames that have come since, in order; waits for the first. None if the host is alive but silent.

        Raises:
            FeedUnreachable: the connection is lost, and all frames were taken.
        """
        pongs, pinged = self._pongs, False
        while not self._frames:
            if self._end is not None:
                raise self._end
            self._more.clear()
            try:
                async with asyncio.timeout(self._ping_after_s):
                    await self._more.wait()
            except TimeoutError:
                if pinged:
                    raise FeedUnreachable("does not answer any more") from None
                pinged = True
                with suppress(aiohttp.ClientError, OSError, TimeoutError):  # what is wrong, reading says
                    await asyncio.wait_for(self._ws.ping(), self._ping_after_s)
            if self._pongs != pongs and not self._frames:
                return ()
        frames, self._frames, self._bytes = self._frames, [], 0
        self._room.set()
        return frames

    async def read(self) -> None:
        """Read frames until the connection is lost."""
        frame_kinds = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        receive, more = self._ws.receive, self._more
        try:
            while True:
                message = await receive()
                if message.type in frame_kinds:
                    self._frames.append(message.data)
                    self._bytes += len(message.data)
                    if not more.is_set():
                        more.set()
                    if len(self._frames) >= _MOST_FRAMES or self._bytes >= _MOST_BYTES:
                        self._room.clear()
                        await self._room.wait()
                elif message.type is aiohttp.WSMsgType.PING:
                    await self._ws.pong(message.data)
                elif message.type is aiohttp.WSMsgType.PONG:
                    self._pongs += 1
                    more.set()
                else:
                    self._end = _lost(message)
                    return
        except (aiohttp.ClientError, OSError) as error:
            self._end = FeedUnreachable(f"the connection is lost ({type(error).__name__})")
        finally:
            more.set()


@asynccontextmanager
async def connected(
    address: Address,
    cursor: int | None,
    *,
    ping_after_s: float = PING_AFTER_S,
) -> AsyncIterator[Socket]:
    """A connection that delivers from the cursor on (None: from now on).

    Raises:
        CursorRefused: the cursor is too old for the host, or not from it.
        TryLater: it refuses for a while.
        FeedUnreachable: the host cannot be reached, or refuses.
    """
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
    connector = aiohttp.TCPConnector(resolver=DaemonResolver(), family=socket.AF_UNSPEC, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        url = f"{address.url}?{address.query(cursor)}"
        try:
            async with asyncio.timeout(CONNECT_S):
                ws = await session.ws_connect(
                    url,
                    protocols=(_V2_PROTOCOL,) if address.v2 else (),
                    autoping=False,  # else a pong would not be seen
                    max_msg_size=LARGEST_READ,
                    decode_text=False,  # a frame that is no UTF-8 is rubbish, and no reason to hang up
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSING_S),
                )
        except TimeoutError:
            raise FeedUnreachable(f"does not answer within {CONNECT_S:.0f} s") from None
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 400 and cursor is not None:
                why = CURSOR_ERRORS.get(await _refusal(session, url))
                if why is not None:
                    raise CursorRefused(why) from None
            after_s = retry_after_s(error.headers, datetime.now(UTC), most_s=LONGEST_LATER_S)
            if after_s is not None:
                raise TryLater(f"refuses with status {error.status}", after_s) from None
            raise FeedUnreachable(f"refuses with status {error.status}") from None
        except aiohttp.ClientConnectorDNSError:
            raise FeedUnreachable("cannot be found (no network?)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FeedUnreachable(_why(error)) from None
        opened = Socket(ws, ping_after_s)
        reading = asyncio.create_task(opened.read(), name=f"feed/bluesky/{address.host}")
        try:
            yield opened
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await ws.close()


async def _refusal(session: aiohttp.ClientSession, url: str) -> str:
    """The name of the error that a host gives: of a handshake that fails, the client does not show what was said."""
    http = url.replace("ws", "http", 1)
    shake: Mapping[str, str] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": _V2_PROTOCOL,
    }
    with suppress(aiohttp.ClientError, OSError, ValueError, TimeoutError):
        async with asyncio.timeout(CONNECT_S), session.get(http, headers=shake) as answer:
            if answer.status == 400:
                said = json.loads(await answer.content.read(_LONGEST_ANSWER))
                return str(said.get("error", "")) if isinstance(said, dict) else ""
    return ""


def _lost(message: Any) -> FeedUnreachable:
    """Why a connection has ended, as its last message says."""
    if message.type is aiohttp.WSMsgType.CLOSE:
        return FeedUnreachable(f"closes the connection (code {message.data or 'not given'})")
    if message.type is aiohttp.WSMsgType.ERROR:
        error = message.data
        if isinstance(error, aiohttp.WebSocketError) and error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            return FrameTooLarge("sends a frame that is too large")
        return FeedUnreachable("breaks the protocol of WebSockets")
    return FeedUnreachable("has dropped the connection")


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "has a certificate that is not valid"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "does not speak TLS"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "refuses the connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "cannot be reached"
    return f"does not speak WebSocket ({type(error).__name__})"
