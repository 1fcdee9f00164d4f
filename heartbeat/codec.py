"""Between records and the bytes of messages.

Wire format: Confluent framing (byte 0, schema id as big-endian uint32, Avro body). Ids come from a `SchemaStore`: the
log's own file on the embedded transport, a schema registry on Kafka.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import fastavro
import orjson

from heartbeat.avro_writing import Writers
from heartbeat.errors import UndecodableRecord, UnencodableRecord
from heartbeat.records import Detected, Figures, Heartbeat, Late, Post, Pulse, Record, Scored
from heartbeat.schemas import FIELDS, SchemaStore, schema_of, schema_text


def _without_logical_types(schema: Any) -> Any:
    """The same wire format, read as plain longs: fastavro would make a datetime of every timestamp."""
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: _without_logical_types(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema


_VARIED: Final = ("id", "content", "author", "url")
"""Fields whose texts seldom come again."""
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
        return (*record[:5], None if record.tasks is None else tuple(record.tasks), *record[6:])
    return (*record[:3], tuple(record[3]), *record[4:])


def _pulse(flat: Any) -> Pulse:
    *head, overall, by_lang, by_source, by_model = orjson.loads(flat)
    by_lang = {lang: Figures._make(figures) for lang, figures in by_lang.items()}
    by_source = {source: Figures._make(figures) for source, figures in by_source.items()}
    return Pulse._make((*head, Figures._make(overall), by_lang, by_source, by_model))


def _heartbeat(flat: Any) -> Heartbeat:
    return Heartbeat._make((*flat[:5], None if flat[5] is None else list(flat[5]), *flat[6:]))


def _with_tasks(kind: type[Post] | type[Detected]) -> Callable[[Any], Record]:
    def raised(flat: Any) -> Record:
        values = list(flat)
        values[3] = list(flat[3])
        record: Record = tuple.__new__(kind, values)
        return record

    return raised


_RAISED: Final[Mapping[type, Callable[[Any], Record]]] = {
    Post: _with_tasks(Post),
    Detected: _with_tasks(Detected),
    Scored: partial(tuple.__new__, Scored),
    Late: partial(tuple.__new__, Late),
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
        self._writers: dict[type, tuple[bytes, Callable[[Record], bytes]]] = {}
        self._readers: dict[int, tuple[type, Any, Any]] = {}
        self._types = {record_type.__name__: record_type for record_type in FIELDS}
        self._parsed: dict[type, Any] = {}
        self._raised: dict[bytes, Callable[[Any], Record]] = {}
        self._newer: dict[bytes, _Flat] = {}
        self._older: dict[bytes, _Flat] = {}
        self._newer_bytes = 0
        writers = Writers(_VARIED)
        for record_type in FIELDS:
            schema_id = store.register_schema(record_type.__name__, schema_text(record_type))
            parsed = fastavro.parse_schema(_without_logical_types(schema_of(record_type)))
            self._parsed[record_type] = parsed
            prefix = struct.pack(">BI", 0, schema_id)
            self._writers[record_type] = (prefix, writers.record(_without_logical_types(schema_of(record_type))))
            self._raised[prefix] = _RAISED[record_type]
            self._readers[schema_id] = (record_type, parsed, None)

    def encode(self, record: Record) -> bytes:
        """One framed message.

        Raises:
            UnencodableRecord: a value does not fit the schema; the message names the type, never the value.
        """
        prefix, write = self._writers[type(record)]
        try:
            message = prefix + write(record)
        except Exception as error:  # whatever the value's type leads to
            raise UnencodableRecord(
                f"a {type(record).__name__} does not fit its schema ({type(error).__name__})"
            ) from None
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
