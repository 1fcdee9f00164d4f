"""A line of a replay file as a post. The format is described in docs/replay-format.md."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson

from heartbeat.errors import BadPost
from heartbeat.records import Post

LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
LONGEST_ID: Final = 512
LONGEST_SOURCE: Final = 128

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_].*)?", re.IGNORECASE | re.ASCII | re.DOTALL)
_OLD_CODES: Final = {"iw": "he", "in": "id", "no": "nb", "ji": "yi"}
_NO_LANGUAGE: Final = frozenset({"und", "zxx", "mis", "mul", "art", "qam", "qct", "qht", "qme", "qst"})
_KINDS: Final = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def parse_line(line: bytes, feed: str, received_ms: int, newest_ms: int | None) -> Post:
    """The post that a line describes.

    Args:
        line: one JSON object, without the line's end.
        feed: the name of the replay.
        received_ms: when it was read.
        newest_ms: the newest time in the file so far: the time of a deletion that has none of its own.

    Raises:
        BadPost: why it is none; the message holds nothing of the line's values.
    """
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadPost(f"is no JSON: {error.msg} (character {error.pos + 1})") from None
    if type(fields) is not dict:
        raise BadPost(f"is {kind_of(fields)}, not an object")
    get = fields.get
    op = get("op")
    if op is None or op == "upsert":
        deletes = False
    elif op == "delete":
        deletes = True
    else:
        raise BadPost("op has to be upsert or delete")
    post_id = get("id")
    if type(post_id) is int:
        post_id = str(post_id)
    elif type(post_id) is not str:
        raise wrong("id", post_id, "text or a whole number")
    source, content = get("source"), "" if deletes else get("content")
    if type(source) is not str:
        raise wrong("source", source, "text")
    if type(content) is not str:
        raise wrong("content", content, "text")
    time = get("time")
    if type(time) is int and 0 <= time <= LAST_MS:
        time_ms = time
    elif time is None and deletes:
        time_ms = newest_ms or 0
    else:
        time_ms = _time(time)
    if not 0 < len(post_id) <= LONGEST_ID:
        raise BadPost(f"id has to have 1 to {LONGEST_ID} characters")
    if not (0 < len(source) <= LONGEST_SOURCE and source.isprintable()):
        raise BadPost(f"source has to have 1 to {LONGEST_SOURCE} characters, none of them a control character")
    rev = get("rev")
    if rev is None:
        rev = 0
    elif type(rev) is not int or not 0 <= rev < 2**63:
        raise BadPost("rev has to be a whole number from 0 on")
    author, url, lang = get("author"), get("url"), get("lang")
    if author is not None and type(author) is not str:
        raise wrong("author", author, "text")
    if url is not None and type(url) is not str:
        raise wrong("url", url, "text")
    if lang is not None:
        lang = _language(lang)
    if b"\\u0000" in line:
        for name, value in (
            ("id", post_id),
            ("source", source),
            ("content", content),
            ("author", author),
            ("url", url),
        ):
            if value is not None and "\x00" in value:
                raise BadPost(f"{name} holds a NUL character")
    kind: Literal["upsert", "delete"] = "delete" if deletes else "upsert"
    return Post(post_id, source, feed, (), kind, rev, content, time_ms, received_ms, False, author, url, lang)


def _time(value: Any) -> int:
    """Milliseconds since the epoch of a time that is no plain number of them within the range."""
    if isinstance(value, str):
        if _RFC_3339.fullmatch(value) is None:
            raise BadPost("time is no RFC 3339 time with a zone, such as 2024-05-01T12:30:00Z")
        try:
            time_ms = (datetime.fromisoformat(value.upper()) - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            raise BadPost("time names no moment that exists") from None
    elif type(value) is int:
        time_ms = value
    else:
        raise wrong("time", value, "milliseconds since 1970 as a whole number, or an RFC 3339 time")
    if not 0 <= time_ms <= LAST_MS:
        raise BadPost("time is out of range: it has to lie in the years 1970 to 9999")
    return time_ms


def _language(value: Any) -> str | None:
    """The code that hints at a language: `pt` for `pt-BR`; None where it says that nothing is known."""
    if type(value) is not str:
        raise wrong("lang", value, "text")
    found = _LANGUAGE.fullmatch(value)
    if found is None:
        return None
    code = found[1].lower()
    return None if code in _NO_LANGUAGE else _OLD_CODES.get(code, code)


def wrong(name: str, value: Any, wanted: str) -> BadPost:
    """Says of a field what it is and what it has to be."""
    if value is None:
        return BadPost(f"{name} is missing")
    return BadPost(f"{name} is {kind_of(value)}; it has to be {wanted}")


def kind_of(value: Any) -> str:
    """What a value out of JSON is, in words."""
    return "null" if value is None else _KINDS[type(value)]
