"""What a network says, made up: any number of events, each a function of the seed and its number alone.

Posts in many languages, of which a share is about the demo's products; edits, deletions of posts and of whole accounts,
authors whose clocks are wrong, events that are not about posts, and rubbish. `Said` is an event in plain words: the
server (`jetstream`) puts it into either version of the protocol, an oracle works out from it what has to be counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from heartbeat.feeds import demo

COLLECTION: Final = "app.bsky.feed.post"
KEYWORD: Final = "noctilo"
V2: Final = "network.bsky.jetstream.subscribeEvents#"
FIRST_SEQ: Final = 25_000_000_000
_MASK: Final = 2**64 - 1
_WORD: Final = re.compile(rf"\b{KEYWORD}\b", re.IGNORECASE)
_TID: Final = "234567abcdefghijklmnopqrstuvwxyz"
_MINUTE_US: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAYS_LANGUAGE: Final = 3
_NETWORKS_RUBBISH: Final = (
    b"",
    b"{",
    b"\xff\xfe not text",
    b'"' + b"a" * 2000 + b'"',
    b"[1, 2]",
    b'{"kind": 7}',
    b'{"did": "did:plc:a", "time_us": "soon", "kind": "commit"}',
    b'{"$type": "message", "payload": []}',
)


class Said(NamedTuple):
    """One event.

    Attributes:
        us: when the network saw it, in microseconds.
        did: whose it is.
        what: create, update, delete, gone (the account), back (the account), or other (nothing about posts), rubbish.
        rkey: of the post.
        text, created, langs: of the post; `created` is what its author's programme says, in whatever form.
        raw: the frame itself, where it is rubbish.
    """

    us: int
    did: str
    what: str
    rkey: str = ""
    text: str = ""
    created: str = ""
    langs: tuple[str, ...] = ()
    raw: bytes = b""


def tid(us: int) -> str:
    """A revision or record key as the network makes them: a time that sorts as text."""
    number, digits = us << 10, []
    for _ in range(13):
        digits.append(_TID[number & 31])
        number >>= 5
    return "".join(reversed(digits))


def rfc3339(us: int) -> str:
    """A moment as the network writes it, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"


def v1(said: Said) -> bytes:
    """An event as a frame of v1."""
    if said.what == "rubbish":
        return said.raw
    return orjson.dumps({"did": said.did, "time_us": said.us, **_body(said)})


def v2(said: Said, seq: int) -> bytes:
    """An event as a frame of v2."""
    if said.what == "rubbish":
        return said.raw
    body = _body(said)
    kind = body.pop("kind")
    payload = {"$type": f"{V2}{kind}", "seq": seq, "did": said.did, "time": rfc3339(said.us)}
    payload |= body["commit"] if kind == "commit" else body
    return orjson.dumps({"$type": "message", "payload": payload})


def _body(said: Said) -> dict[str, Any]:
    if said.what == "other":
        return {"kind": "identity", "identity": {"did": said.did, "handle": "somebody.example.com", "seq": said.us}}
    if said.what in ("gone", "back"):
        account = {"active": said.what == "back", "did": said.did, "seq": said.us, "time": rfc3339(said.us)}
        if said.what == "gone":
            account["status"] = "deleted"
        return {"kind": "account", "account": account}
    commit: dict[str, Any] = {
        "rev": tid(said.us),
        "operation": said.what,
        "collection": COLLECTION,
        "rkey": said.rkey,
    }
    if said.what != "delete":
        record: dict[str, Any] = {"$type": COLLECTION, "text": said.text, "createdAt": said.created}
        if said.langs:
            record["langs"] = said.langs
        commit |= {"cid": "bafyreigh2akiscaildc", "record": record}
    return {"kind": "commit", "commit": commit}


@dataclass(frozen=True)
class Shares:
    """How many of a thousand events are what; the rest are new posts, of which `about` are about the product."""

    about: int = 10
    delete: int = 10
    update: int = 3
    gone: int = 1
    other: int = 5
    rubbish: int = 2


class Story:
    """Events by their number.

    Args:
        begin_us: the time of the first; each next one is `step_us` later.
        seed: another one tells another story.
        authors: how many there are.
    """

    def __init__(
        self,
        begin_us: int,
        *,
        step_us: int = 25_000,
        seed: int = 1,
        authors: int = 2_000,
        shares: Shares | None = None,
    ) -> None:
        self.begin_us, self.step_us, self._seed, self._authors = begin_us, step_us, seed, authors
        shares = shares or Shares()
        self._about = shares.about
        self._fates: list[str] = []
        for what in ("delete", "update", "gone", "other", "rubbish"):
            self._fates += [what] * getattr(shares, what)
        self._fates += ["create"] * (1000 - len(self._fates))
        lines = demo.script()
        self._about_lines = [(line.content, line.lang) for line in lines if _WORD.search(line.content)]
        self._other_lines = [(line.content.lower().replace(KEYWORD, "lantern"), line.lang) for line in lines]

    def time_of(self, number: int) -> int:
        """When the network saw an event."""
        return self.begin_us + number * self.step_us

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it."""
        return max(0, -(-(us - self.begin_us) // self.step_us))

    def said(self, number: int) -> Said:
        """The event of that number."""
        chance, us = self._chance(number), self.time_of(number)
        what = self._fates[chance % 1000]
        if what == "create":
            return self._post(number, us)
        if what == "rubbish":
            return Said(us, "", what, raw=_NETWORKS_RUBBISH[(chance >> 20) % len(_NETWORKS_RUBBISH)])
        before = number - 1 - (chance >> 20) % 2000  # the event that it is about; it may be before the beginning
        post = self._post(before, self.time_of(before))
        if what in ("gone", "other"):
            return Said(us, post.did, what)
        if what == "delete":
            return Said(us, post.did, what, post.rkey)
        other = self._post(number, us)
        return Said(us, post.did, what, post.rkey, other.text, post.created, other.langs)

    def _post(self, number: int, us: int) -> Said:
        """The post that an event would be if it were one."""
        chance = self._chance(number) >> 10
        lines = self._about_lines if chance % 1000 < self._about else self._other_lines
        text, lang = lines[(chance >> 10) % len(lines)]
        langs = (lang,) if chance & _SAYS_LANGUAGE else ()
        did = f"did:plc:author{(chance >> 24) % self._authors:017d}"
        return Said(us, did, "create", tid(us), f"{text} {number % 7}", self._created(chance >> 40, us), langs)

    @staticmethod
    def _created(chance: int, us: int) -> str:
        """What an author's programme says of the time: mostly a little before the network saw it."""
        kind = chance % 100
        if kind < 90:
            return rfc3339(us - chance % 1_500_000)
        if kind < 94:
            return rfc3339(us - 12 * _MINUTE_US)
        if kind < 96:
            return rfc3339(us - 40 * 24 * 60 * _MINUTE_US)
        if kind < 98:
            return rfc3339(us + 90 * _MINUTE_US)
        return "yesterday"

    def _chance(self, number: int) -> int:
        """64 bits that depend on the seed and the number alone (the mixer of splitmix64)."""
        mixed = (number * 0x9E3779B97F4A7C15 + self._seed * 0xD1342543DE82EF95) & _MASK
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31
