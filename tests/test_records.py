"""Every record survives its codec; rubbish and older schemas are told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.codec import Codec
from heartbeat.errors import UndecodableRecord, UnencodableRecord
from heartbeat.records import Detected, Figures, Heartbeat, Late, Post, Pulse, Record, Scored
from heartbeat.schemas import schema_text


class Store:
    """A schema store in memory."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def register_schema(self, subject: str, schema: str) -> int:
        if schema not in self.texts:
            self.texts.append(schema)
        return self.texts.index(schema) + 1

    def schema(self, schema_id: int) -> str | None:
        return self.texts[schema_id - 1] if 0 < schema_id <= len(self.texts) else None


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
long = st.integers(-(2**63), 2**63 - 1)
double = st.floats(allow_nan=False)
optional_text = st.none() | text
figures = st.builds(Figures, *[long] * 9)
posts = st.builds(
    Post, text, text, text, st.lists(text), st.sampled_from(["upsert", "delete"]), long, text, long, long,
    st.booleans(), optional_text, optional_text, optional_text,
)  # fmt: skip
scored = st.builds(
    Scored, text, text, text, text, st.sampled_from(["add", "retract"]), long, long, text, double,
    st.none() | double, st.none() | double, st.none() | double,
    optional_text, optional_text, optional_text, st.booleans(), st.booleans(), optional_text,
)  # fmt: skip
records = st.one_of(
    posts,
    posts.map(lambda post: Detected(*post, lang="en", lang_confidence=0.5, lang_model="m")),
    scored,
    scored.map(lambda record: Late(*record[:-2])),
    st.builds(
        Pulse, text, long, long, long, st.booleans(), long, figures,
        st.dictionaries(text, figures, max_size=3), st.dictionaries(text, figures, max_size=3),
        st.dictionaries(text, long, max_size=3),
    ),
    st.builds(
        Heartbeat, text, long, long, st.booleans(), st.booleans(), st.none() | st.lists(text),
        st.none() | long, st.none() | long,
    ),
)  # fmt: skip


@given(records)
def test_a_record_survives(record: Record) -> None:
    assert Codec(Store()).decode(Codec(Store()).encode(record)) == record


@given(st.lists(records, min_size=1, max_size=20))
def test_what_is_remembered_is_what_would_be_read(many: list[Record]) -> None:
    store = Store()
    codec = Codec(store)
    messages = [codec.encode(record) for record in many]
    fresh = Codec(store)
    for message in messages:
        assert codec.decode(message) == fresh.decode(message)


def test_what_is_remembered_has_the_types_that_would_be_read() -> None:
    codec = Codec(Store())
    for record in (Post("1", "x", "f", (), "upsert", 0, "", 1, 2), Heartbeat("f", 0, 1, True, True, ("a",))):
        assert isinstance(codec.decode(codec.encode(record)).tasks, list)  # type: ignore[union-attr]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartbeat.codec._REMEMBERED", 10)
    codec = Codec(Store())
    beats = [Heartbeat("f", number, 0, True) for number in range(100)]
    messages = [codec.encode(beat) for beat in beats]
    assert [codec.decode(message) for message in messages] == beats
    assert len(codec._newer) + len(codec._older) <= 20


def test_what_is_remembered_of_long_messages_is_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartbeat.codec._REMEMBERED_BYTES", 10_000)
    codec = Codec(Store())
    posts = [Post(f"{number}", "x", "f", [], "upsert", 0, "long " * 200, 1, 2) for number in range(100)]
    messages = [codec.encode(post) for post in posts]
    assert [codec.decode(message) for message in messages] == posts
    kept = [*codec._newer, *codec._older]
    assert 0 < sum(map(len, kept)) <= 2 * (10_000 + max(map(len, kept)))


@given(st.binary(max_size=60) | st.none())
def test_rubbish_is_undecodable_or_a_record(message: bytes | None) -> None:
    codec = Codec(Store())
    try:
        record = codec.decode(message)
    except UndecodableRecord:
        return
    assert codec.encode(record)[:5] == (message or b"")[:5]


@given(records, st.data())
def test_a_message_cut_short_or_with_more_behind_it_is_undecodable(record: Record, data: st.DataObject) -> None:
    codec = Codec(Store())
    message = codec.encode(record)
    with pytest.raises(UndecodableRecord):
        codec.decode(message + b"\x00")
    with pytest.raises(UndecodableRecord):
        codec.decode(message[: data.draw(st.integers(0, len(message) - 1))])


def test_an_unencodable_value_is_named_by_type_only() -> None:
    post: Any = Post("1", "x", "demo", ["a"], "upsert", 0, 42, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(UnencodableRecord, match="a Post does not fit its schema") as caught:
        Codec(Store()).encode(post)
    assert "42" not in str(caught.value)


def test_a_record_of_an_older_schema_gets_defaults() -> None:
    store = Store()
    older = json.loads(schema_text(Heartbeat))
    added = ("connected", "tasks", "unheard_from", "unheard_to")
    older["fields"] = [field for field in older["fields"] if field["name"] not in added]
    schema_id = store.register_schema("Heartbeat", json.dumps(older))
    codec = Codec(store)
    body = codec.encode(Heartbeat("f", 1, 2, True))[5 : -len(added)]
    old_message = b"\x00" + schema_id.to_bytes(4, "big") + body
    assert codec.decode(old_message) == Heartbeat("f", 1, 2, True, True, None)


def test_times_are_published_as_timestamp_millis() -> None:
    for record_type, fields in ((Post, ("time", "received")), (Scored, ("time",)), (Pulse, ("start",))):
        schema = json.loads(schema_text(record_type))
        assert schema["namespace"] == "heartbeat"
        kinds = {field["name"]: field["type"] for field in schema["fields"]}
        for name in fields:
            assert kinds[name] == {"type": "long", "logicalType": "timestamp-millis"}
