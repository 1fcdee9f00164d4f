"""Messages as people and programs read them: decoded as far as they can be, without contents unless asked for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

from heartbeat.codec import Codec
from heartbeat.engine.log import LogRecord
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import HeartbeatError
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Record
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.topics import ALL, CURSORS

PRIVATE: Final = ("content", "author", "url")
"""What is shown of posts only with --content; else how long it is."""
_WITH_TEXTS: Final = frozenset(topic.name for topic in ALL if topic.holds_content)


class ReadingSchemas:
    """The schemas of a log that another process owns: nothing can be registered, so what is new gets no real number."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self._unknown = 2**32

    def register_schema(self, subject: str, schema: str) -> int:
        """The number that it has, or one that no message has."""
        known = self._log.query("SELECT id FROM schemas WHERE subject = ? AND schema = ?", (subject, schema))
        if known:
            return int(known[0][0])
        self._unknown -= 1
        return self._unknown

    def schema(self, schema_id: int) -> str | None:
        """See `schemas.SchemaStore`."""
        return self._log.schema(schema_id)


class Messages:
    """Turns messages into plain objects."""

    def __init__(self, log: SqliteLog, *, content: bool) -> None:
        self._codec, self._content = Codec(ReadingSchemas(log)), content

    def object(self, topic: str, partition: int, record: LogRecord) -> dict[str, Any]:
        """One message: its place, its time of append, its size, its key, and what it says."""
        return {
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "time": rfc3339(record.timestamp_ms),
            "key": self._key(record.key),
            "bytes": len(record.value or b""),
            **({"headers": {name: _text(value) for name, value in record.headers}} if record.headers else {}),
            **self.value(topic, record.value),
        }

    def value(self, topic: str, value: bytes | None) -> dict[str, Any]:
        """What a message says: `type` and `value`, or `problem` where it cannot be read."""
        if value is None:
            return {"type": None, "value": None}
        if topic == CURSORS.name or not value.startswith(b"\0"):  # our own topics of rows are JSON, or nearly
            if topic in _WITH_TEXTS and not self._content:  # what could not be read, as a feed found it
                return {"type": None, "problem": "is none of Heartbeat's records; --content shows it"}
            return {"type": "row", "value": _json(value)}
        try:
            record = self._codec.decode(value)
        except HeartbeatError as error:
            raw = {"raw": base64.b64encode(value).decode()} if self._content else {}
            return {"type": None, "problem": str(error), **raw}
        return {"type": type(record).__name__, "value": self._fields(record)}

    def _fields(self, record: Record) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in record._asdict().items():
            if name in PRIVATE and not self._content:
                if value is not None:
                    fields[f"{name}_length"] = len(value)
            elif name.endswith("_ms") and isinstance(value, int):
                fields[name.removesuffix("_ms")] = _moment(value)
            else:
                fields[name] = _plain(value)
        return fields

    def _key(self, key: bytes | None) -> str | None:
        return None if key is None else _text(key)


def _moment(value: int) -> str:
    if value >= END_OF_TIME_MS:
        return "end of time"
    return "before all time" if value <= BEFORE_TIME_MS else rfc3339(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return _text(value)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
