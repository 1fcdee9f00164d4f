"""The records that travel through topics, their Avro schemas and the codec between the two.

Wire format: Confluent framing (byte 0, schema id as big-endian uint32, Avro body), schemas in the namespace
`heartbeat`. Ids come from a `SchemaStore`: the log's own file on the embedded transport, a schema registry on
Kafka. A record written under an older schema is read into today's shape by Avro's resolution rules, so a new
field needs a default.

Records are named tuples rather than dataclasses: they are made and read back in C, and at three hops a post that
is the difference between 5 and 8 µs each way. Times are integer milliseconds UTC; on the wire they are
`timestamp-millis`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import fastavro
import orjson

from heartbeat.errors import UndecodableRecord, UnencodableRecord

NAMESPACE: Final = "heartbeat"
END_OF_TIME_MS: Final = 2**62
"""The watermark of a feed that has ended: nothing follows."""
BEFORE_TIME_MS: Final = -(2**62)
"""The watermark of a feed that has not promised anything yet."""


class Post(NamedTuple):
    """A post as a feed delivered it. Topic `ingest`, partitioned by (source, id).

    `tasks` are the tasks whose queries it matched where it entered; a deletion or an edit is passed on even when it
    matches none. `rev` orders the versions of one (source, id); an `op` of `delete` is final. `late` says that its feed
    had promised to be past its windows and their lateness before: only a replay says so (see `feeds.units`).
    """

    id: str
    source: str
    feed: str
    tasks: Sequence[str]
    op: Literal["upsert", "delete"]
    rev: int
    content: str
    time_ms: int
    received_ms: int
    time_clamped: bool = False
    author: str | None = None
    url: str | None = None
    lang_hint: str | None = None
    late: bool = False


class Detected(NamedTuple):
    """A post and its language. Topic `language`, same partition as its post.

    `lang` is an ISO 639-1 code (`war`: 639-2) or `und`; `lang_model` is `name/version`, or `hint` where the feed's
    own word decided.
    """

    id: str
    source: str
    feed: str
    tasks: Sequence[str]
    op: Literal["upsert", "delete"]
    rev: int
    content: str
    time_ms: int
    received_ms: int
    time_clamped: bool
    author: str | None
    url: str | None
    lang_hint: str | None
    late: bool
    lang: str
    lang_confidence: float
    lang_model: str


class Scored(NamedTuple):
    """One post's score for one task. Topic `sentiment`, partitioned by task.

    `op` is `retract` when an edit or a deletion takes an earlier `add` back; it carries the figures of that `add`.
    Either all of pos, neu, neg, label and model are there, or `unscored_reason` is. `cut` says that the text was longer
    than the model reads, and only its beginning was scored; `late` is the post's own.
    """

    id: str
    source: str
    feed: str
    task: str
    op: Literal["add", "retract"]
    rev: int
    time_ms: int
    lang: str
    lang_confidence: float
    pos: float | None = None
    neu: float | None = None
    neg: float | None = None
    label: str | None = None
    unscored_reason: str | None = None
    model: str | None = None
    cut: bool = False
    late: bool = False
    content: str | None = None


class Late(NamedTuple):
    """A score or a retraction that came for a sealed window. Topic `pulse`; fields as in `Scored`, less its last two.

    Keyed by `late/OFFSET`, its place in its partition of `sentiment`: no two share a key, so none replaces another.
    """

    id: str
    source: str
    feed: str
    task: str
    op: Literal["add", "retract"]
    rev: int
    time_ms: int
    lang: str
    lang_confidence: float
    pos: float | None = None
    neu: float | None = None
    neg: float | None = None
    label: str | None = None
    unscored_reason: str | None = None
    model: str | None = None
    cut: bool = False


class Figures(NamedTuple):
    """What a window holds, overall or for one language or source.

    Counts of posts; `pos_e6`, `neu_e6`, `neg_e6` are sums of scores in units of 10⁻⁶, so that no order of addition
    changes the result. The labels add up to `scored`.
    """

    scored: int = 0
    unscored: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    mixed: int = 0
    pos_e6: int = 0
    neu_e6: int = 0
    neg_e6: int = 0


class Pulse(NamedTuple):
    """One state of one window. Topic `pulse`, partitioned by task, keyed by the whole window id.

    The window is [start_ms, start_ms + 1000 × size_s). `revision` is 0 while it is open, 1 when it closes, and grows
    with each published correction. `late` counts the task's posts that came after their window was sealed, so far.
    `by_model` counts the scored posts by the model (NAME/VERSION) that scored them.
    A newer record of the same window replaces the older one entirely.
    """

    task: str
    size_s: int
    start_ms: int
    revision: int
    final: bool
    late: int
    overall: Figures
    by_lang: Mapping[str, Figures]
    by_source: Mapping[str, Figures]
    by_model: Mapping[str, int] = MappingProxyType({})


class Heartbeat(NamedTuple):
    """A feed's promise for one `ingest` partition: nothing below `watermark_ms` follows, except what is late.

    Travels in order with the posts of its origin partition. `connected=False` says that the feed's other side is
    away: its watermark stands still and other feeds need not wait for it. `tasks` names the tasks that the feed
    serves; None means as before (it is given when a feed starts and when they change).
    """

    feed: str
    origin_partition: int
    watermark_ms: int
    caught_up: bool
    connected: bool = True
    tasks: Sequence[str] | None = None


Record: TypeAlias = Post | Detected | Scored | Late | Pulse | Heartbeat


class SchemaStore(Protocol):
    """Where schema ids come from. Registering a schema that is known returns the id it has."""

    def register_schema(self, subject: str, schema: str) -> int:
        """The id (positive, 32 bits) of this JSON text under this subject."""
        ...

    def schema(self, schema_id: int) -> str | None:
        """The JSON text of a schema, or None if there is none with that id."""
        ...


_STRING, _LONG, _DOUBLE, _BOOLEAN = "string", "long", "double", "boolean"
_TIME: Final = {"type": "long", "logicalType": "timestamp-millis"}
_STRINGS: Final = {"type": "array", "items": "string"}


def _optional(kind: object) -> dict[str, object]:
    return {"type": ["null", kind], "default": None}


def _enum(name: str, *symbols: str) -> dict[str, object]:
    return {"type": "enum", "name": name, "symbols": list(symbols)}


_POST: Final[dict[str, object]] = {
    "id": _STRING,
    "source": _STRING,
    "feed": _STRING,
    "tasks": _STRINGS,
    "op": _enum("PostOp", "upsert", "delete"),
    "rev": _LONG,
    "content": _STRING,
    "time": _TIME,
    "received": _TIME,
    "time_clamped": {"type": _BOOLEAN, "default": False},
    "author": _optional(_STRING),
    "url": _optional(_STRING),
    "lang_hint": _optional(_STRING),
    "late": {"type": _BOOLEAN, "default": False},
}
_LATE: Final[dict[str, object]] = {
    "id": _STRING,
    "source": _STRING,
    "feed": _STRING,
    "task": _STRING,
    "op": _enum("ScoreOp", "add", "retract"),
    "rev": _LONG,
    "time": _TIME,
    "lang": _STRING,
    "lang_confidence": _DOUBLE,
    "pos": _optional(_DOUBLE),
    "neu": _optional(_DOUBLE),
    "neg": _optional(_DOUBLE),
    "label": _optional(_STRING),
    "unscored_reason": _optional(_STRING),
    "model": _optional(_STRING),
    "cut": {"type": _BOOLEAN, "default": False},
}
_FIGURES: Final[dict[str, object]] = {
    "type": "record",
    "name": "Figures",
    "fields": [{"name": name, "type": _LONG} for name in Figures._fields],
}
_FIELDS: Final[dict[type, dict[str, object]]] = {
    Post: _POST,
    Detected: {**_POST, "lang": _STRING, "lang_confidence": _DOUBLE, "lang_model": _STRING},
    Scored: {**_LATE, "late": {"type": _BOOLEAN, "default": False}, "content": _optional(_STRING)},
    Late: _LATE,
    Pulse: {
        "task": _STRING,
        "size": _LONG,
        "start": _TIME,
        "revision": _LONG,
        "final": _BOOLEAN,
        "late": _LONG,
        "overall": _FIGURES,
        "by_lang": {"type": "map", "values": "Figures"},
        "by_source": {"type": "map", "values": "Figures"},
        "by_model": {"type": {"type": "map", "values": _LONG}, "default": {}},
    },
    Heartbeat: {
        "feed": _STRING,
        "origin_partition": _LONG,
        "watermark_ms": _LONG,
        "caught_up": _BOOLEAN,
        "connected": {"type": _BOOLEAN, "default": True},
        "tasks": _optional(_STRINGS),
    },
}


def schema_of(record_type: type) -> dict[str, Any]:
    """The Avro schema of a record type, as published."""
    fields = []
    for name, kind in _FIELDS[record_type].items():
        described = kind if isinstance(kind, dict) and "default" in kind else {"type": kind}
        fields.append({"name": name, **described})
    return {"type": "record", "name": record_type.__name__, "namespace": NAMESPACE, "fields": fields}


def schema_text(record_type: type) -> str:
    """The schema as the JSON text under which it is registered."""
    return orjson.dumps(schema_of(record_type)).decode()


def _without_logical_types(schema: Any) -> Any:
    """The same wire format, read as plain longs: fastavro would make a datetime of every timestamp."""
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: _without_logical_types(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema


_REMEMBERED: Final = 16_384
_REMEMBERED_BYTES: Final = 8_000_000
_Flat: TypeAlias = tuple[Any, ...] | bytes


def _flat(record: Record) -> _Flat:
    """A record as a plain tuple or as bytes: the garbage collector looks at it once at the most."""
    kind = type(record)
    if kind is Scored or kind is Late:
        return tuple(record)
    if isinstance(record, Pulse):
        by_lang = {lang: tuple(figures) for lang, figures in record.by_lang.items()}
        by_source = {source: tuple(figures) for source, figures in record.by_source.items()}
        return orjson.dumps((*record[:6], tuple(record.overall), by_lang, by_source, dict(record.by_model)))
    if isinstance(record, Heartbeat):
        return (*record[:5], None if record.tasks is None else tuple(record.tasks))
    return (*record[:3], tuple(record[3]), *record[4:])


def _pulse(flat: Any) -> Pulse:
    *head, overall, by_lang, by_source, by_model = orjson.loads(flat)
    by_lang = {lang: Figures._make(figures) for lang, figures in by_lang.items()}
    by_source = {source: Figures._make(figures) for source, figures in by_source.items()}
    return Pulse._make((*head, Figures._make(overall), by_lang, by_source, by_model))


def _heartbeat(flat: Any) -> Heartbeat:
    return Heartbeat._make((*flat[:5], None if flat[5] is None else list(flat[5])))


_RAISED: Final[Mapping[type, Callable[[Any], Record]]] = {
    Post: lambda flat: Post._make((*flat[:3], list(flat[3]), *flat[4:])),
    Detected: lambda flat: Detected._make((*flat[:3], list(flat[3]), *flat[4:])),
    Scored: Scored._make,
    Late: Late._make,
    Pulse: _pulse,
    Heartbeat: _heartbeat,
}
"""The way back: just what would be read from the message."""


class Codec:
    """Encodes and decodes every record type; made once, when the schema store is open.

    It remembers what it has encoded last: most messages are read moments later, in the same process, by up to two
    agents, and to find a record by its bytes costs a tenth of reading them. Two generations of so many records, or so
    many bytes of messages, each are kept, flat: as records, those of windows above all, they would hold the event loop
    up for a fifth of a second each time that the garbage collector looks at them.
    """

    def __init__(self, store: SchemaStore) -> None:
        self._store = store
        self._writers: dict[type, tuple[bytes, Any, tuple[str, ...]]] = {}
        self._readers: dict[int, tuple[type, Any, Any]] = {}
        self._types = {record_type.__name__: record_type for record_type in _FIELDS}
        self._parsed: dict[type, Any] = {}
        self._raised: dict[bytes, Callable[[Any], Record]] = {}
        self._newer: dict[bytes, _Flat] = {}
        self._older: dict[bytes, _Flat] = {}
        self._newer_bytes = 0
        for record_type in _FIELDS:
            schema_id = store.register_schema(record_type.__name__, schema_text(record_type))
            parsed = fastavro.parse_schema(_without_logical_types(schema_of(record_type)))
            self._parsed[record_type] = parsed
            wire_names = tuple(_FIELDS[record_type])
            prefix = struct.pack(">BI", 0, schema_id)
            self._writers[record_type] = (prefix, parsed, wire_names)
            self._raised[prefix] = _RAISED[record_type]
            self._readers[schema_id] = (record_type, parsed, None)

    def encode(self, record: Record) -> bytes:
        """One framed message.

        Raises:
            UnencodableRecord: a value does not fit the schema; the message names the type, never the value.
        """
        prefix, schema, names = self._writers[type(record)]
        body = io.BytesIO()
        body.write(prefix)
        fields: dict[str, Any] = dict(zip(names, record, strict=True))
        if type(record) is Pulse:
            fields["overall"] = record.overall._asdict()
            fields["by_lang"] = {key: figures._asdict() for key, figures in record.by_lang.items()}
            fields["by_source"] = {key: figures._asdict() for key, figures in record.by_source.items()}
        try:
            fastavro.schemaless_writer(body, schema, fields, disable_tuple_notation=True)
        except Exception as error:  # fastavro raises whatever the value's type leads to
            raise UnencodableRecord(
                f"a {type(record).__name__} does not fit its schema ({type(error).__name__})"
            ) from None
        message = body.getvalue()
        self._newer_bytes += len(message)
        if len(self._newer) >= _REMEMBERED or self._newer_bytes > _REMEMBERED_BYTES:
            self._older, self._newer, self._newer_bytes = self._newer, {}, len(message)
        self._newer[message] = _flat(record)
        return message

    def decode(self, message: bytes | None) -> Record:
        """The record in a framed message.

        Raises:
            UndecodableRecord: not framed, an unknown schema id, or a body that is cut short or malformed.
        """
        if message is not None:
            known = self._newer.get(message) or self._older.get(message)
            if known is not None:
                return self._raised[message[:5]](known)
        if message is None or len(message) < 5 or message[0] != 0:
            raise UndecodableRecord("the message is not in Confluent framing (byte 0 and a schema id)")
        schema_id = int.from_bytes(message[1:5], "big")
        reader = self._readers.get(schema_id) or self._learn(schema_id)
        record_type, writer_schema, reader_schema = reader
        body = io.BytesIO(message)
        body.seek(5)
        try:
            fields: Any = fastavro.schemaless_reader(body, writer_schema, reader_schema)
            if record_type is Pulse:
                fields["overall"] = Figures(**fields["overall"])
                fields["by_lang"] = {key: Figures(**row) for key, row in fields["by_lang"].items()}
                fields["by_source"] = {key: Figures(**row) for key, row in fields["by_source"].items()}
        except Exception as error:  # any kind of rubbish raises any kind of error
            raise UndecodableRecord(
                f"a {record_type.__name__} cannot be read ({type(error).__name__}): malformed or cut short"
            ) from None
        if body.tell() != len(message):
            raise UndecodableRecord(f"a {record_type.__name__} is followed by bytes that belong to nothing")
        record: Record = record_type._make(fields.values())  # type: ignore[attr-defined]
        return record

    def _learn(self, schema_id: int) -> tuple[type, Any, Any]:
        """Find out what an id stands for that an older (or newer) version registered."""
        text = self._store.schema(schema_id)
        if text is None:
            raise UndecodableRecord(f"no schema has the id {schema_id}")
        try:
            schema = orjson.loads(text)
            record_type = self._types[schema["name"]]
            writer = fastavro.parse_schema(_without_logical_types(schema))
        except Exception as error:
            raise UndecodableRecord(f"schema {schema_id} is none of ours ({type(error).__name__})") from None
        reader = (record_type, writer, self._parsed[record_type])
        self._readers[schema_id] = reader
        return reader
