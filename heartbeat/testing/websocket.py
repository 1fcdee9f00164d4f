"""The bytes of WebSocket (RFC 6455), as a server has to write and read them; and whatever it must not write."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST_HEAD: Final = 65_536


class Request(NamedTuple):
    """What a client asked for. Header names are in lower case."""

    target: str
    headers: dict[str, str]


def frame(payload: bytes, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """One frame from a server: not masked."""
    size = len(payload)
    if size < 126:
        head = bytes((opcode | 0x80 * final, size))
    elif size < 65_536:
        head = bytes((opcode | 0x80 * final, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((opcode | 0x80 * final, 127)) + size.to_bytes(8, "big")
    return head + payload


def head(size: int, opcode: int = TEXT) -> bytes:
    """The beginning of a frame that claims to be so long, and at least 64 KiB."""
    return bytes((opcode | 0x80, 127)) + size.to_bytes(8, "big")


def close(code: int, reason: str = "") -> bytes:
    """A frame that closes the connection."""
    return frame(code.to_bytes(2, "big") + reason.encode(), CLOSE)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The head of a request; None if the client goes away first."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    first, *lines = head[:_LONGEST_HEAD].decode("latin-1").split("\r\n")
    headers = (line.partition(":") for line in lines if line)
    words = first.split()
    return Request(words[1] if len(words) > 1 else "/", {name.lower(): value.strip() for name, _, value in headers})


def accept(request: Request, protocol: str | None = None) -> bytes:
    """The answer that makes a WebSocket of a connection."""
    digest = hashlib.sha1(request.headers.get("sec-websocket-key", "").encode() + _GUID).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
    ]
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return "\r\n".join((*lines, "", "")).encode()


def answer(
    status: int,
    phrase: str,
    body: bytes = b"",
    kind: str = "application/json",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Any other answer, after which the connection ends."""
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join((*lines, "", "")).encode() + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """The opcode and payload of a client's (masked) frame; None at the end of the connection."""
    try:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        mask = await reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
        payload = await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
