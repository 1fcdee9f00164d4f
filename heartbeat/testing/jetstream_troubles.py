"""What can go wrong with a Jetstream host, and how that is written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

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
    "claim": "a frame says that it has N bytes, and the first megabytes of it come, each time",
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


class Refusal(NamedTuple):
    """An answer that makes no WebSocket of a connection."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


class Trouble(NamedTuple):
    """Something that goes wrong before the event of a number is sent; once, but for `huge` and `claim`."""

    kind: str
    at: int
    n: float = 0


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
