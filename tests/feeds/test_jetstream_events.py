from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.codec import Codec
from heartbeat.errors import BadPost, FeedUnreachable
from heartbeat.feeds.jetstream_events import Event, HostError, parse_v1, parse_v2
from heartbeat.records import Post
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.jetstream_story import Said, Story, rfc3339, tid, v1, v2
from heartbeat.testing.jetstream_troubles import RUBBISH
from heartbeat.testing.memory_log import MemoryLog

US = 1_714_566_600_123_456
DID = "did:plc:abcdefghijklmnopqrstuvwx"
ID = f"at://{DID}/app.bsky.feed.post/3l"
LATEST = US + 10**9
SAID = Said(US, DID, "create", "3l", "good coffee", rfc3339(US - 1_000_000), ("en-US",))


def frames(said: Said) -> list[tuple[Callable[[bytes, str, int], Event], bytes, int | None]]:
    return [(parse_v1, v1(said), None), (parse_v2, v2(said, 7), 7)]


def both(said: Said) -> Post | None:
    """What both versions say, which has to be the same."""
    first, second = (parse(frame, "bluesky", LATEST) for parse, frame, _ in frames(said))
    assert (first.us, first.seq, second.us, second.seq) == (said.us, None, said.us, 7)
    assert first.post == second.post
    return first.post


def changed(said: Said, change: Callable[[dict[str, Any]], object]) -> list[tuple[Any, bytes]]:
    """The frames of an event whose commit somebody has changed."""
    out = []
    for parse, frame, _ in frames(said):
        event = orjson.loads(frame)
        change(event["commit"] if "commit" in event else event["payload"])
        out.append((parse, orjson.dumps(event)))
    return out


def test_a_post() -> None:
    assert both(SAID) == Post(
        id=ID,
        source="bluesky",
        feed="bluesky",
        tasks=(),
        op="upsert",
        rev=0,
        content="good coffee",
        time_ms=(US - 1_000_000) // 1000,
        received_ms=US // 1000,
        author=DID,
        url=f"https://bsky.app/profile/{DID}/post/3l",
        lang_hint="en-US",
    )


def test_an_edit_has_a_revision_that_grows() -> None:
    edits = [both(SAID._replace(what="update", us=us)) for us in (US, US + 1, US + 10**8)]
    revisions = [edit.rev for edit in edits if edit is not None]
    assert 0 < revisions[0] < revisions[1] < revisions[2] < 2**63


def test_a_deletion_of_a_post_and_of_an_account() -> None:
    deleted, gone = both(SAID._replace(what="delete")), both(Said(US, DID, "gone"))
    assert deleted is not None and gone is not None
    assert (deleted.id, deleted.op, deleted.content, deleted.author) == (ID, "delete", "", DID)
    assert (gone.id, gone.op, gone.author, gone.received_ms) == ("", "delete", DID, US // 1000)


@pytest.mark.parametrize(
    ("status", "goes"),
    [("deleted", True), ("takendown", True), ("suspended", True), ("deactivated", True), (None, True), ([], True)]
    + [("desynchronized", False), ("throttled", False)],
)
def test_which_accounts_have_gone(status: Any, goes: bool) -> None:
    account = {"active": False, "did": DID, "seq": 1, "status": status}
    event = parse_v1(orjson.dumps({"did": DID, "time_us": US, "kind": "account", "account": account}), "b", LATEST)
    assert (event.post is not None) is goes


def test_an_account_that_comes_back_brings_nothing_back() -> None:
    assert both(Said(US, DID, "back")) is None


def test_replies_and_quotes_are_posts_of_their_own() -> None:
    more = {
        "reply": {"root": {"uri": "at://x", "cid": "c"}, "parent": {"uri": "at://y", "cid": "c"}},
        "embed": {"$type": "app.bsky.embed.record", "record": {"uri": "at://z", "cid": "c"}},
    }
    for parse, frame in changed(SAID, lambda commit: commit["record"].update(more)):
        assert parse(frame, "bluesky", LATEST).post == both(SAID)


@pytest.mark.parametrize(
    ("langs", "hint"),
    [(["pt-BR"], "pt-BR"), (["en", "de"], None), ([], None), (None, None), ("en", None), ([7], None), ([""], None)]
    + [(["x" * 36], None), (["e\x00n"], None)],
)
def test_one_language_is_a_hint_and_several_are_none(langs: Any, hint: str | None) -> None:
    for parse, frame in changed(SAID, lambda commit: commit["record"].update(langs=langs)):
        post = parse(frame, "bluesky", LATEST).post
        assert post is not None and post.lang_hint == hint


@pytest.mark.parametrize("created", [None, 7, "", "yesterday", "2024-05-01T12:30:00", "2024-13-01T00:00:00Z", []])
def test_a_time_that_cannot_be_read_is_that_of_receipt(created: Any) -> None:
    for parse, frame in changed(SAID, lambda commit: commit["record"].update(createdAt=created)):
        post = parse(frame, "bluesky", LATEST).post
        assert post is not None and (post.time_ms, post.time_clamped) == (US // 1000, True)


@pytest.mark.parametrize(
    ("created", "time_ms"),
    [
        ("2024-05-01T12:30:00Z", 1_714_566_600_000),
        ("2024-05-01T12:30:00.123456789Z", 1_714_566_600_123),
        ("2024-05-01T14:30:00.5+02:00", 1_714_566_600_500),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
    ],
)
def test_times_as_authors_programmes_write_them(created: str, time_ms: int) -> None:
    for parse, frame in changed(SAID, lambda commit: commit["record"].update(createdAt=created)):
        post = parse(frame, "bluesky", LATEST).post
        assert post is not None and post.time_ms == time_ms


@pytest.mark.parametrize("collection", ["app.bsky.feed.like", "app.bsky.actor.profile"])
def test_other_collections_are_passed_over(collection: str) -> None:
    for parse, frame in changed(SAID, lambda commit: commit.update(collection=collection, record=7)):
        assert parse(frame, "bluesky", LATEST).post is None


def test_kinds_that_nobody_knows_yet_are_passed_over() -> None:
    assert parse_v1(orjson.dumps({"time_us": US, "kind": "weather"}), "b", LATEST) == Event(US, None, None)
    payload = {"$type": "network.bsky.jetstream.subscribeEvents#sync", "seq": 7, "time": rfc3339(US), "did": DID}
    assert parse_v2(orjson.dumps({"$type": "message", "payload": payload}), "b", LATEST) == Event(US, 7, None)
    assert parse_v2(b'{"$type":"weather"}', "b", LATEST) == Event(None, None, None)


def test_what_a_host_says_of_its_stream() -> None:
    info = {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "OutdatedCursor"}
    assert parse_v2(orjson.dumps({"$type": "message", "payload": info}), "b", LATEST).told == "OutdatedCursor"
    with pytest.raises(HostError, match="says ConsumerTooSlow"):
        parse_v2(b'{"$type":"error","error":"ConsumerTooSlow"}', "b", LATEST)
    with pytest.raises(FeedUnreachable, match="by an error"):
        parse_v2(b'{"$type":"error","error":"<b>"}', "b", LATEST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"operation": "move"}, "operation has to be"),
        ({"operation": None}, "operation has to be"),
        ({"collection": 1}, "collection is a number"),
        ({"rkey": ""}, "rkey is no record key"),
        ({"rkey": "a/b"}, "rkey is no record key"),
        ({"rkey": "x" * 600}, "rkey is no record key"),
        ({"rkey": 7}, "rkey is no record key"),
        ({"record": None}, "record is missing"),
        ({"record": "text"}, "record is text"),
        ({"record": {}}, "text is missing"),
        ({"record": {"text": ["a"]}}, "text is a list"),
        ({"record": {"text": "a\x00b"}}, "text holds a NUL"),
        ({"operation": "update", "rev": "7"}, "rev is no TID"),
        ({"operation": "update", "rev": 7}, "rev is no TID"),
        ({"operation": "update", "rev": "zzzzzzzzzzzzz"}, "rev is no TID"),
    ],
)
def test_rubbish_is_named(change: dict[str, Any], reason: str) -> None:
    for parse, frame in changed(SAID, lambda commit: commit.update(change)):
        with pytest.raises(BadPost, match=reason):
            parse(frame, "bluesky", LATEST)


@pytest.mark.parametrize("did", [None, 7, "", "plc:a", "did:plc:a b", "did:plc:a\n", "did:plc:" + "x" * 300])
def test_whose_it_is_has_to_be_said(did: Any) -> None:
    for parse, frame, _ in [
        frame for what in ("create", "delete", "gone") for frame in frames(SAID._replace(what=what))
    ]:
        event = orjson.loads(frame)
        (event if "did" in event else event["payload"])["did"] = did
        with pytest.raises(BadPost, match="did is no DID"):
            parse(orjson.dumps(event), "bluesky", LATEST)


@pytest.mark.parametrize("us", [0, 10**15, LATEST + 1, 2**70])
def test_times_that_cannot_be(us: int) -> None:
    with pytest.raises(BadPost, match="time_us is"):
        parse_v1(b'{"time_us":%d,"kind":"identity"}' % us, "b", LATEST)


@given(st.binary(max_size=80) | st.sampled_from(RUBBISH))
def test_any_bytes_say_something_or_are_named(frame: bytes) -> None:
    for parse in (parse_v1, parse_v2):
        try:
            assert parse(frame, "bluesky", LATEST).post is None
        except (BadPost, HostError) as error:
            assert str(error)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@given(st.integers(0, 5000), st.booleans(), st.lists(st.integers(0, 10), max_size=4), JSON)
def test_any_value_anywhere_makes_a_post_that_can_be_kept_or_is_named(
    number: int, numbered: bool, path: list[int], value: Any
) -> None:
    said = Story(US).said(number)
    if said.what == "rubbish":
        return
    event = orjson.loads(v2(said, number) if numbered else v1(said))
    place = event
    for step in path:
        keys = sorted(place)
        key = keys[step % len(keys)]
        if isinstance(place[key], dict) and place[key] and step is not path[-1]:
            place = place[key]
        else:
            place[key] = value
            break
    parse = parse_v2 if numbered else parse_v1
    try:
        post = parse(orjson.dumps(event), "bluesky", US + 10**12).post
    except (BadPost, HostError) as error:
        assert str(error)
        return
    if post is not None and post.id:
        codec = Codec(MemoryLog(FakeClock()))
        assert codec.decode(codec.encode(post)) == post._replace(tasks=[])


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_revisions_order_as_the_network_orders_them(one: int, other: int) -> None:
    revisions = []
    for us in (one, other):
        (parse, frame), *_ = changed(SAID._replace(what="update"), lambda commit: commit.update(rev=tid(us)))  # noqa: B023
        post = parse(frame, "bluesky", LATEST).post
        assert post is not None
        revisions.append(post.rev)
    assert (revisions[0] < revisions[1]) is (one < other)
