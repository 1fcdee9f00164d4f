"""The Avro schemas of the records, in the namespace `heartbeat`.

A record written under an older schema is read into today's shape by Avro's resolution rules, so a new field needs a
default. Times are `timestamp-millis` on the wire.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson

from heartbeat.records import Detected, Figures, Heartbeat, Late, Post, Pulse, Scored

NAMESPACE: Final = "heartbeat"


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
FIELDS: Final[dict[type, dict[str, object]]] = {
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
        "unheard_from": _optional(_LONG),
        "unheard_to": _optional(_LONG),
    },
}
"""The fields of each record type, in its order, under their names on the wire."""


def schema_of(record_type: type) -> dict[str, Any]:
    """The Avro schema of a record type, as published."""
    fields = []
    for name, kind in FIELDS[record_type].items():
        described = kind if isinstance(kind, dict) and "default" in kind else {"type": kind}
        fields.append({"name": name, **described})
    return {"type": "record", "name": record_type.__name__, "namespace": NAMESPACE, "fields": fields}


def schema_text(record_type: type) -> str:
    """The schema as the JSON text under which it is registered."""
    return orjson.dumps(schema_of(record_type)).decode()
