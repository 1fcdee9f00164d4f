"""What the server's own words say of the points that it refused, on texts of a real 2.7.12."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from heartbeat.sinks.influx_answers import LONGEST_TEXT, Kind, answer_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOO_OLD = (
    "failure writing points to database: partial write: dropped 2 points outside retention policy of duration 1h0m0s - "
    "oldest point pulse,by=overall,key=all,size=10s,task=dropped=9 at 1970-01-01T00:00:00Z dropped because it violates "
    "a Retention Policy Lower Bound at 2025-12-31T23:00:00.123456789Z, newest point pulse,task=t at "
    "2025-12-31T22:00:00Z dropped because it violates a Retention Policy Lower Bound at "
    "2025-12-31T23:00:00.123456789Z dropped=2 for database: 389eb1aa8bb003f6 for retention policy: autogen"
)
CONFLICT = (
    'failure writing points to database: partial write: field type conflict: input field "a\\"b" on measurement '
    '"pulse" is type integer, already exists as type string dropped=7'
)


def partial(text: str) -> bytes:
    return orjson.dumps({"code": "unprocessable entity", "message": text})


def test_points_that_are_too_old() -> None:
    answer = answer_of(422, partial(TOO_OLD), {}, NOW)
    assert (answer.kind, answer.dropped, answer.field) == (Kind.PARTIAL, 2, None)
    assert answer.oldest_ms == round(datetime(2025, 12, 31, 23, tzinfo=UTC).timestamp() * 1000) + 124


def test_a_conflict_of_types() -> None:
    answer = answer_of(422, partial(CONFLICT), {}, NOW)
    assert (answer.dropped, answer.field, answer.oldest_ms) == (7, 'a"b', None)


def test_a_long_text_is_cut_in_its_middle_and_control_characters_are_gone() -> None:
    answer = answer_of(400, b"\x1b[31m" + b"x\n" * 5000 + b"the end", {}, NOW)
    assert len(answer.why) < 3 * LONGEST_TEXT and answer.why.isprintable() and answer.why.endswith("the end")
