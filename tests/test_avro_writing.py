"""Bodies of records are byte for byte what fastavro writes."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heartbeat.avro_writing import Writers

POINT: dict[str, Any] = {
    "type": "record",
    "name": "Point",
    "fields": [{"name": "x", "type": "long"}, {"name": "y", "type": "long"}],
}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "varied", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["a", "b", "c"]}},
        {"name": "number", "type": "long"},
        {"name": "share", "type": "double"},
        {"name": "sure", "type": "boolean"},
        {"name": "label", "type": ["null", "string"]},
        {"name": "varied_or_null", "type": ["null", "string"]},
        {"name": "score", "type": ["null", "double"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more_tags", "type": ["null", {"type": "array", "items": "string"}]},
        {"name": "point", "type": POINT},
        {"name": "points", "type": {"type": "map", "values": "Point"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
    ],
}
VARIED = ("varied", "varied_or_null")
parsed = fastavro.parse_schema(SCHEMA)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
long = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 43).map(lambda bits: 2**bits)
point = st.tuples(long, long)
values = st.tuples(
    text, text, st.sampled_from("abc"), long, st.floats(), st.booleans(), st.none() | text, st.none() | text,
    st.none() | st.floats(), st.lists(text, max_size=3), st.none() | st.lists(text, max_size=3), point,
    st.dictionaries(text, point, max_size=3), st.dictionaries(text, long, max_size=3),
)  # fmt: skip


def by_fastavro(given: tuple[Any, ...]) -> bytes:
    fields = dict(zip([field["name"] for field in SCHEMA["fields"]], given, strict=True))
    fields["point"] = dict(zip("xy", fields["point"], strict=True))
    fields["points"] = {key: dict(zip("xy", row, strict=True)) for key, row in fields["points"].items()}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, fields, disable_tuple_notation=True)
    return out.getvalue()


@given(st.lists(values, min_size=1, max_size=5))
def test_the_bytes_are_fastavros(several: list[tuple[Any, ...]]) -> None:
    write = Writers(VARIED).record(SCHEMA)
    for _ in range(2):  # what was remembered the first time is no different the second
        for one in several:
            assert write(one) == by_fastavro(one)


@given(long)
@example(2**63 - 1)
@example(-(2**63))
@example(8_191)
@example(8_192)
@example(-8_193)
@example(2**27)
@example(2**41)
def test_whole_numbers_are_fastavros(number: int) -> None:
    schema: Mapping[str, Any] = {"type": "record", "name": "One", "fields": [{"name": "n", "type": "long"}]}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), {"n": number})
    assert Writers().record(schema)((number,)) == out.getvalue()


REFUSED = TypeError, ValueError, AttributeError, LookupError, OverflowError, struct.error
GOOD: tuple[Any, ...] = ("n", "v", "a", 1, 0.5, True, None, "t", None, [], None, (1, 2), {"p": (3, 4)}, {"c": 5})


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, 42), (0, None), (0, b"bytes"), (0, "\ud800"), (1, None), (2, "d"), (3, "1"), (3, None), (3, 1.5),
        (3, 2**63), (3, -(2**63) - 1), (4, "0.5"), (4, None), (5, 2), (5, None), (6, 7), (7, 7), (8, "x"), (9, None),
        (9, [1]), (10, [None]), (11, (1,)), (11, (1, 2, 3)), (12, {"p": (1, None)}), (12, {1: (1, 2)}),
        (12, None), (13, {"c": "5"}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(place: int, wrong: Any) -> None:
    write = Writers(VARIED).record(SCHEMA)
    assert write(GOOD) == by_fastavro(GOOD)
    with pytest.raises(REFUSED):
        write((*GOOD[:place], wrong, *GOOD[place + 1 :]))
    assert write(GOOD) == by_fastavro(GOOD)


def test_a_record_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Writers().record(SCHEMA)(GOOD[:-1])


def test_a_schema_that_nothing_writes_is_refused_at_once() -> None:
    schema = {"type": "record", "name": "One", "fields": [{"name": "n", "type": "bytes"}]}
    with pytest.raises(ValueError, match="nothing writes 'bytes'"):
        Writers().record(schema)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartbeat.avro_writing._MOST_TEXTS", 10)
    writers = Writers()
    write = writers.record({"type": "record", "name": "One", "fields": [{"name": "n", "type": "string"}]})
    texts: Any = getattr(writers._known_text, "__self__")  # noqa: B009
    for number in range(100):
        write((f"text {number}",))
        assert len(texts) <= 10
    write(("long " * 100,))
    assert all(len(text) <= 64 for text in texts)
