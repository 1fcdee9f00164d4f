"""Whose a message of the log is, and whether it holds a text: for whoever has to find it again."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, TypeAlias

import orjson

from heartbeat.codec import Codec
from heartbeat.engine.log import LogRecord
from heartbeat.errors import UndecodableRecord
from heartbeat.records import Detected, Post, Record, Scored

PostId: TypeAlias = tuple[str, str]
"""(source, id)"""


class Traces:
    """Reads messages that are records. May be called in any thread."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def decoded(self, record: LogRecord) -> Record | None:
        """The record that a message holds; None if it is none."""
        try:
            return self._codec.decode(record.value)
        except UndecodableRecord:
            return None

    def author(self, record: LogRecord) -> str | None:
        """Who wrote the post in a message."""
        post = self.decoded(record)
        return post.author if isinstance(post, Post | Detected) else None

    def holds_text_of(self, record: LogRecord, wanted: Collection[PostId]) -> bool:
        """Whether a message holds the text of one of these posts."""
        if post_of_key(record.key) not in wanted:
            return False
        post = self.decoded(record)
        # deletions and retractions say nothing, and have to reach whoever reads the topic again
        return (isinstance(post, Post | Detected) and post.op == "upsert") or (
            isinstance(post, Scored) and post.content is not None
        )

    def letter_names(self, record: LogRecord, authors: Collection[str]) -> bool:
        """Whether what a dead letter holds is by one of them; where it cannot be read, whether a name stands in it."""
        if self.decoded(record) is not None:  # a message of ours; others' may well hold these letters somewhere
            return self.author(record) in authors
        item = _item(record)
        if item:
            payload = item.get("payload")
            named = [item.get(name) for name in ("author", "user", "username", "did")]
            named.append(payload.get("did") if isinstance(payload, dict) else None)
            return any(isinstance(name, str) and name in authors for name in named)
        value = record.value or b""
        lower = value.lower()
        by_numbers = (json.dumps(author)[1:-1].encode().lower() for author in authors)
        return any(author.encode() in value for author in authors) or any(name in lower for name in by_numbers)


def letter_is_of(record: LogRecord, wanted: Collection[PostId]) -> bool:
    """Whether a dead letter is about one of these posts: by its key, or as far as its item can be read."""
    if post_of_key(record.key) in wanted:
        return True
    item = _item(record)
    return (str(item.get("source")), str(item.get("id"))) in wanted


def feed_of_letter(record: LogRecord) -> str | None:
    """The feed that a dead letter's item came by; None if it was a message of the log."""
    headers = dict(record.headers)
    return headers.get("topic", b"").decode(errors="replace") if headers.get("agent") == b"feed" else None


def post_of_key(key: bytes | None) -> PostId | None:
    """The post that a message with this key is about; None if it is about none."""
    source, _, post_id = (key or b"").decode(errors="replace").partition("\n")
    return (source, post_id) if post_id else None


def _item(record: LogRecord) -> dict[str, Any]:
    try:
        item = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return {}
    return item if isinstance(item, dict) else {}
