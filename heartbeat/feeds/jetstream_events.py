"""A frame of Jetstream as what it says: a post, a deletion, an account that is gone, or nothing of ours.

Two versions of the protocol say the same in different words:

    v1  {"did","time_us","kind":"commit","commit":{"rev","operation","collection","rkey","cid","record"}}
    v2  {"$type":"message","payload":{"$type":"…#commit","seq","did","time","rev","operation","collection","rkey",…}}

The record is Bluesky's own (`app.bsky.feed.post`): text, createdAt, langs, reply, embed. A reply and a quote are posts
as others are: their own words count, not those that they answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from heartbeat.errors import BadPost, FeedUnreachable
from heartbeat.feeds.lines import kind_of, wrong
from heartbeat.records import Post

SOURCE: Final = "bluesky"
POSTS: Final = "app.bsky.feed.post"
EARLIEST_US: Final = 1_500_000_000_000_000
"""Before it there was no such network; as a cursor, a smaller number would be taken for a place of another kind."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_DID = re.compile(r"did:[a-z]{1,16}:[A-Za-z0-9._:%-]{1,256}")
_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
_TID = re.compile(r"[2-7a-j][2-7a-z]{12}")
_TID_DIGITS: Final = {digit: value for value, digit in enumerate("234567abcdefghijklmnopqrstuvwxyz")}
_STILL_THERE: Final = frozenset({"desynchronized", "throttled"})
"""States of an account that say something of a host's view of it, not of its owner's wish."""
_LONGEST_HINT: Final = 35


class Event(NamedTuple):
    """What a frame says.

    Attributes:
        us: when the network saw it, in microseconds since the epoch; None where the frame has no time.
        seq: its number on this host (v2).
        post: the post or deletion; None where the frame is not about posts.
        told: a word of the host's about the stream itself, such as `OutdatedCursor`.
    """

    us: int | None
    seq: int | None
    post: Post | None
    told: str = ""


class HostError(FeedUnreachable):
    """The host ends the stream and says why: `name`, such as `ConsumerTooSlow`."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class AheadOfClock(BadPost):
    """An event's time has not come yet. One of them is rubbish; if all are so, some clock is wrong."""


Parse: TypeAlias = Callable[[bytes, str, int], Event]
"""Reads a frame for a feed of that name; a time after the third argument (microseconds) cannot be."""


def parse_v1(frame: bytes, feed: str, latest_us: int) -> Event:
    """What a frame of v1 says.

    Raises:
        BadPost: it is rubbish; the message holds nothing of its values.
        AheadOfClock: so is its time, as far as this machine's clock is right.
    """
    event = _object(frame)
    kind, us = event.get("kind"), event.get("time_us")
    if type(us) is not int:
        raise wrong("time_us", us, "a whole number")
    _check_time("time_us", us, latest_us)
    if kind == "commit":
        return Event(us, None, _commit(event.get("did"), us, _part(event, "commit"), feed))
    if kind == "account":
        return Event(us, None, _account(event.get("did"), us, _part(event, "account"), feed))
    if type(kind) is not str:
        raise wrong("kind", kind, "text")
    return Event(us, None, None)


def parse_v2(frame: bytes, feed: str, latest_us: int) -> Event:
    """What a frame of v2 says.

    Raises:
        BadPost: as `parse_v1`.
        HostError: it is the stream's last word.
    """
    envelope = _object(frame)
    outer = envelope.get("$type")
    if outer == "error":
        name = envelope.get("error")
        if type(name) is str and name.isidentifier():
            raise HostError(f"says {name}", name)
        raise HostError("ends the stream by an error")
    if type(outer) is not str:
        raise wrong("$type", outer, "text")
    if outer != "message":
        return Event(None, None, None)
    payload = _part(envelope, "payload")
    kind, seq = payload.get("$type"), payload.get("seq")
    if type(kind) is not str:
        raise wrong("payload's $type", kind, "text")
    kind = kind.rpartition("#")[2]
    if kind == "info":
        name = payload.get("name")
        return Event(None, None, None, name if type(name) is str and name.isidentifier() else "")
    if type(seq) is not int or not 0 <= seq < EARLIEST_US:
        raise BadPost("seq has to be a whole number from 0 on")
    us = _microseconds(payload.get("time"))
    _check_time("time", us, latest_us)
    if kind == "commit":
        return Event(us, seq, _commit(payload.get("did"), us, payload, feed))
    if kind == "account":
        account = payload.get("account", payload)
        if type(account) is not dict:
            raise wrong("account", account, "an object")
        return Event(us, seq, _account(payload.get("did"), us, account, feed))
    return Event(us, seq, None)


def _commit(did: Any, us: int, commit: dict[str, Any], feed: str) -> Post | None:
    get = commit.get
    collection = get("collection")
    if collection != POSTS:
        if type(collection) is not str:
            raise wrong("collection", collection, "text")
        return None
    rkey, operation = get("rkey"), get("operation")
    if type(did) is not str or _DID.fullmatch(did) is None:
        raise BadPost("did is no DID")
    if type(rkey) is not str or _RKEY.fullmatch(rkey) is None:
        raise BadPost("rkey is no record key")
    post_id, received_ms = f"at://{did}/{POSTS}/{rkey}", us // 1000
    if operation == "delete":
        return Post(post_id, SOURCE, feed, (), "delete", 0, "", received_ms, received_ms, author=did)
    if operation == "create":
        rev = 0
    elif operation == "update":
        rev = _revision(get("rev"))
    else:
        raise BadPost("operation has to be create, update or delete")
    record = _part(commit, "record")
    text = record.get("text")
    if type(text) is not str:
        raise wrong("text", text, "text")
    if "\x00" in text:
        raise BadPost("text holds a NUL character")
    created_ms = _created_ms(record.get("createdAt"))
    unknown = created_ms is None
    time_ms = received_ms if created_ms is None else created_ms
    url = f"https://bsky.app/profile/{did}/post/{rkey}"
    hint = _hint(record.get("langs"))
    return Post(post_id, SOURCE, feed, (), "upsert", rev, text, time_ms, received_ms, unknown, did, url, hint)


def _account(did: Any, us: int, account: dict[str, Any], feed: str) -> Post | None:
    """The deletion of everything by an author: one without an id (see `base.Delivery`)."""
    active = account.get("active")
    if type(active) is not bool:
        raise wrong("active", active, "true or false")
    status = account.get("status")
    if active or (type(status) is str and status in _STILL_THERE):
        return None
    if type(did) is not str or _DID.fullmatch(did) is None:
        raise BadPost("did is no DID")
    return Post("", SOURCE, feed, (), "delete", 0, "", us // 1000, us // 1000, author=did)


def _object(frame: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise BadPost(f"is no JSON: {error.msg} (character {error.pos + 1})") from None
    if type(value) is not dict:
        raise BadPost(f"is {kind_of(value)}, not an object")
    return value


def _part(outer: dict[str, Any], name: str) -> dict[str, Any]:
    value = outer.get(name)
    if type(value) is not dict:
        raise wrong(name, value, "an object")
    return value


def _check_time(name: str, us: int, latest_us: int) -> None:
    if us > latest_us:
        raise AheadOfClock(f"{name} is out of range: after this machine's clock")
    if us < EARLIEST_US:
        raise BadPost(f"{name} is out of range: before 2017")


def _microseconds(value: Any) -> int:
    """When the network saw an event of v2: an RFC 3339 time."""
    if type(value) is not str:
        raise wrong("time", value, "an RFC 3339 time")
    moment = _moment(value)
    if moment is None:
        raise BadPost("time is no RFC 3339 time with a zone, such as 2026-08-12T12:30:00.000000Z")
    return (moment - _EPOCH) // _MICROSECOND


def _created_ms(value: Any) -> int | None:
    """When the author says that a post was made; None if that cannot be read: it is a hint, no reason to lose it."""
    moment = _moment(value) if type(value) is str else None
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else None
    except ValueError:
        return None


def _revision(value: Any) -> int:
    """A revision of a repository as a number that grows with it: a TID, 13 characters of 5 bits."""
    if type(value) is not str or _TID.fullmatch(value) is None:
        raise BadPost("rev is no TID")
    number = 0
    for digit in value:
        number = number << 5 | _TID_DIGITS[digit]
    return number


def _hint(langs: Any) -> str | None:
    """The language, where the author's programme names just one: of several, none is a hint at this post's."""
    if type(langs) is list and len(langs) == 1:
        lang = langs[0]
        if type(lang) is str and 0 < len(lang) <= _LONGEST_HINT and "\x00" not in lang:
            return lang
    return None
