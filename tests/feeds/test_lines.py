from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.codec import Codec
from heartbeat.errors import BadPost
from heartbeat.feeds.lines import LAST_MS, parse_line
from heartbeat.records import Post
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog

GOOD: dict[str, Any] = {"id": "1", "source": "x", "content": "hello", "time": 1_714_566_600_123}


def parsed(**changes: object) -> Post:
    return parse_line(orjson.dumps({**GOOD, **changes}), "replay:f", 7, 5)


def test_a_post() -> None:
    line = orjson.dumps(
        {**GOOD, "lang": "pt-BR", "author": "mila", "url": "https://example.com", "rev": 2, "more": [1]}
    )
    assert parse_line(line, "replay:f", 7, None) == Post(
        id="1",
        source="x",
        feed="replay:f",
        tasks=(),
        op="upsert",
        rev=2,
        content="hello",
        time_ms=1_714_566_600_123,
        received_ms=7,
        author="mila",
        url="https://example.com",
        lang_hint="pt",
    )


def test_what_is_optional_may_be_null() -> None:
    assert parsed(lang=None, author=None, url=None, op=None, rev=None) == parsed()


def test_a_deletion_needs_neither_text_nor_time_and_keeps_no_text() -> None:
    post = parse_line(b'{"id":"1","source":"x","op":"delete","content":"secret"}', "replay:f", 7, 5)
    assert (post.op, post.content, post.time_ms) == ("delete", "", 5)
    assert parse_line(b'{"id":"1","source":"x","op":"delete"}', "replay:f", 7, None).time_ms == 0
    assert parse_line(b'{"id":"1","source":"x","op":"delete","time":9}', "replay:f", 7, 5).time_ms == 9


def test_ids_may_be_numbers() -> None:
    assert parsed(id=12).id == "12"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2024-05-01T12:30:00Z", 1_714_566_600_000),
        ("2024-05-01t12:30:00z", 1_714_566_600_000),
        ("2024-05-01 12:30:00.123456789Z", 1_714_566_600_123),
        ("2024-05-01T14:30:00.5+02:00", 1_714_566_600_500),
        ("2024-05-01T14:30:00+0200", 1_714_566_600_000),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", LAST_MS),
    ],
)
def test_times_as_text(text: str, time_ms: int) -> None:
    assert parsed(time=text).time_ms == time_ms


@given(st.integers(0, LAST_MS - 86_400_000), st.integers(-23 * 60, 23 * 60))
def test_every_time_can_be_written_either_way(time_ms: int, offset_min: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    if moment.year >= 9999 or (moment + timedelta(minutes=offset_min)).year < 1970:
        return
    text = moment.astimezone(timezone(timedelta(minutes=offset_min))).isoformat()
    assert parsed(time=text).time_ms == time_ms == parsed(time=time_ms).time_ms


@pytest.mark.parametrize(
    ("lang", "hint"),
    [("en", "en"), ("EN", "en"), ("zh_Hant", "zh"), ("iw", "he"), ("in", "id"), ("no", "nb"), ("war", "war")]
    + [("und", None), ("zxx", None), ("English", None), ("", None), ("e", None)],
)
def test_hints_at_the_language(lang: str, hint: str | None) -> None:
    assert parsed(lang=lang).lang_hint == hint


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"id": ""}, "id has to have 1 to 512"),
        ({"id": "x" * 513}, "id has to have 1 to 512"),
        ({"id": 1.5}, "id is a number"),
        ({"id": True}, "id is true or false"),
        ({"source": None}, "source is missing"),
        ({"source": 1}, "source is a number"),
        ({"source": ""}, "source has to have"),
        ({"source": "a\nb"}, "source has to have"),
        ({"source": "s" * 129}, "source has to have"),
        ({"content": None}, "content is missing"),
        ({"content": ["a"]}, "content is a list"),
        ({"content": {}}, "content is an object"),
        ({"content": "a\x00b"}, "content holds a NUL"),
        ({"author": "a\x00b"}, "author holds a NUL"),
        ({"author": 1}, "author is a number"),
        ({"url": 1}, "url is a number"),
        ({"lang": 1}, "lang is a number"),
        ({"time": None}, "time is missing"),
        ({"time": -1}, "time is out of range"),
        ({"time": LAST_MS + 1}, "time is out of range"),
        ({"time": 2**63}, "time is out of range"),
        ({"time": 1e12}, "time is a number"),
        ({"time": True}, "time is true or false"),
        ({"time": "1714566600123"}, "time is no RFC 3339"),
        ({"time": "2024-05-01"}, "time is no RFC 3339"),
        ({"time": "2024-05-01T12:30:00"}, "time is no RFC 3339"),
        ({"time": "2024-05-01T12:30:00 Z"}, "time is no RFC 3339"),
        ({"time": "2024-02-30T12:30:00Z"}, "time names no moment"),
        ({"time": "2024-05-01T25:30:00Z"}, "time names no moment"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "time is out of range|names no moment"),
        ({"time": "1969-12-31T23:59:59Z"}, "time is out of range"),
        ({"op": "remove"}, "op has to be"),
        ({"op": 1}, "op has to be"),
        ({"op": []}, "op has to be"),
        ({"rev": -1}, "rev has to be"),
        ({"rev": "1"}, "rev has to be"),
        ({"rev": 2**63}, "rev has to be"),
        ({"rev": True}, "rev has to be"),
    ],
)
def test_rubbish_is_named(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(BadPost, match=reason):
        parsed(**changes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "is no JSON"),
        (b"hello", "is no JSON"),
        (b'{"id": "1"', "is no JSON"),
        (b"[1]", "is a list, not an object"),
        (b"null", "is null, not an object"),
        (b"7", "is a number, not an object"),
        (b'{"id": "\xff"}', "is no JSON"),
        (b'{"id": "\\ud800"}', "is no JSON"),
        (b'{"id": "a\x00"}', "is no JSON"),
        (b'{"time": NaN}', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_lines_that_are_no_objects(line: bytes, reason: str) -> None:
    with pytest.raises(BadPost, match=reason):
        parse_line(line, "replay:f", 7, None)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_any_bytes_are_a_post_or_named(line: bytes) -> None:
    with pytest.raises(BadPost) as caught:
        parse_line(line, "replay:f", 7, None)
    assert str(caught.value)


VALUE: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
)


@given(st.dictionaries(st.sampled_from([*GOOD, "lang", "author", "url", "op", "rev"]), VALUE))
def test_any_values_make_a_post_that_can_be_kept_or_are_named(changes: dict[str, Any]) -> None:
    try:
        line = orjson.dumps({**GOOD, **changes})
    except TypeError:  # an integer that JSON's writer cannot hold
        return
    try:
        post = parse_line(line, "replay:f", 7, None)
    except BadPost as error:
        assert any(str(error).startswith(name) for name in [*changes, "is"])
    else:
        codec = Codec(MemoryLog(FakeClock()))
        read = codec.decode(codec.encode(post))
        assert isinstance(read, Post)
        assert (read._replace(tasks=()), list(read.tasks)) == (post, [])
