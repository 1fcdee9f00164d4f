"""The feed against a host that misbehaves in every way that the protocol allows."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.engine.log import UnitWrite
from heartbeat.errors import LogUnavailable
from heartbeat.feeds import bluesky as bluesky_module
from heartbeat.feeds import jetstream_socket
from heartbeat.feeds.base import Delivery, FeedState, Unheard
from heartbeat.feeds.bluesky import BlueskyFeed
from heartbeat.feeds.encoder import TAKEN_AT_ONCE
from heartbeat.feeds.jetstream_place import REWIND_ELSEWHERE_US, REWIND_US, Place
from heartbeat.feeds.jetstream_socket import V2_PATH, Address
from heartbeat.health import State
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.jetstream import JetstreamServer
from heartbeat.testing.jetstream_story import FIRST_SEQ, Said, Shares, Story, rfc3339, tid
from heartbeat.testing.jetstream_streams import Told
from heartbeat.testing.jetstream_troubles import KINDS, Refusal, Trouble, parse_troubles
from tests.feeds.world import NOW_MS, Running, World, task, until

NOW_US = NOW_MS * 1000
SECOND_US = 1_000_000
TASK = task("noctilo", "noctilo", ["bluesky"])
VERSIONS = pytest.mark.parametrize("version", [1, 2])


def feed(*urls: str, clock: FakeClock | None = None, ping_after_s: float = 0.2) -> BlueskyFeed:
    return BlueskyFeed(urls, clock or FakeClock(NOW_MS), grace_ms=5000, first_wait_s=0.005, ping_after_s=ping_after_s)


def said(at_s: float, what: str = "create", rkey: str = "", did: str = "did:plc:a", text: str = "noctilo") -> Said:
    """An event some seconds from now (before it, if negative)."""
    us = NOW_US + round(at_s * SECOND_US)
    return Said(us, did, what, rkey or tid(us), text, rfc3339(us), ("en",))


def behind(at_s: float) -> bytes:
    return Place(NOW_US + round(at_s * SECOND_US)).cursor()


async def deliveries(opened: BlueskyFeed, cursor: bytes | None, posts: int, most: float = 10) -> list[Delivery]:
    """What a feed delivers until there are so many posts."""
    got: list[Delivery] = []
    async with asyncio.timeout(most):
        async for delivery in opened.open(cursor):
            got.append(delivery)
            if sum(len(one.posts) for one in got) >= posts:
                break
    return got


def texts(got: Iterable[Delivery]) -> list[str]:
    return [post.content for one in got for post in one.posts]


def expected(events: Sequence[Said]) -> set[tuple[str, str, int]]:
    """(id, op, rev > 0) of what has to reach the pipeline, worked out from what was said."""
    out: set[tuple[str, str, int]] = set()
    passed: dict[str, list[str]] = {}
    for event in events:
        post_id = f"at://{event.did}/app.bsky.feed.post/{event.rkey}"
        mine = passed.setdefault(event.did, [])
        if event.what in ("create", "update"):
            if "noctilo" in event.text.lower() or (event.what == "update" and post_id in mine):
                mine.append(post_id)
                out.add((post_id, "upsert", int(event.what == "update")))
        elif event.what == "delete" and post_id in mine:
            out.add((post_id, "delete", 0))
        elif event.what == "gone":
            out |= {(one, "delete", 0) for one in mine}
            mine.clear()
    return out


TROUBLES = [
    "",
    "drop@300",
    "drop@0,drop@1,drop@299,drop@300",
    "hang@300",
    "stall@300",
    "repeat@300:200",
    "back@500:500",
    "rubbish@0,rubbish@300",
    "pieces@300,pieces@301",
    "close@300:1000,close@500:1001,close@600:1012,close@700:4000,close@800:999",
    "slow@0,slow@300,slow@301,slow@302",
    "away@300:0.2,away@600:0.2",
    "rubbish@100,drop@200,back@300:250,stall@400,repeat@500:100,away@600:0.1,hang@700,slow@800,pieces@900",
]


@VERSIONS
@pytest.mark.parametrize("troubles", TROUBLES, ids=lambda text: text.split("@")[0] or "none")
async def test_whatever_the_host_does_every_post_comes_once_or_again_but_never_not(version: int, troubles: str) -> None:
    shares = Shares(about=300, delete=100, update=60, gone=20, other=20, rubbish=20)
    story = Story(NOW_US - 1000 * 25_000, authors=100, shares=shares)
    events = [story.said(number) for number in range(1000)]
    want = expected(events)
    assert len(want) > 200 and len({tuple(kind) for _, *kind in want}) == 3
    world = World(max_lag_posts=10**6)
    async with JetstreamServer(Told(events), parse_troubles(troubles)) as server:
        runner = world.runner(feed(server.url(version), clock=world.clock), [TASK])
        await world.stand("bluesky", behind(-25.1))
        async with Running(runner):
            await until(lambda: Place.read(world.standing("bluesky").cursor).us == events[-1].us, 20)
            assert runner.info().state == "caught up"
        assert len(server.met) == len(parse_troubles(troubles))
    posts = world.posts()
    assert {(post.id, post.op, int(post.rev > 0)) for post in posts} == want
    assert {tuple(post.tasks) for post in posts if post.op == "upsert" and not post.rev} == {("noctilo",)}


@VERSIONS
async def test_a_frame_too_large_to_read_is_passed_by_and_told(version: int) -> None:
    events = [said(at - 100, text=f"{at}") for at in range(60)]
    async with JetstreamServer(Told(events), [Trouble("huge", 20, 5_000_000)]) as server:
        got = await deliveries(feed(server.url(version)), behind(-101), 60 - version)
    missed = {"20"} if version == 1 else {"20", "21"}
    assert {event.text for event in events} - set(texts(got)) == missed
    letters = [letter for delivery in got for letter in delivery.rejected]
    assert [(letter.raw, "4,194,304 bytes" in letter.reason) for letter in letters] == [(b"", True)]
    assert letters[0].place.startswith(f"127.0.0.1:{server.port} after ")
    assert got[-1].state is FeedState.BEHIND


@VERSIONS
async def test_a_frame_too_large_is_not_met_again_by_rewinding(version: int) -> None:
    events = [said(at / 10 - 100, text=f"{at}") for at in range(60)]
    troubles = [Trouble("huge", 20, 5_000_000), Trouble("drop", 23)]
    async with JetstreamServer(Told(events), troubles) as server:
        got = await deliveries(feed(server.url(version)), behind(-101), 58)
        met = len([trouble for trouble in server.met if trouble.kind == "huge"])
        await deliveries(feed(server.url(version)), got[-1].cursor, 1)
    assert len([letter for delivery in got for letter in delivery.rejected]) == 1
    assert {event.text for event in events} - set(texts(got)) <= {"20", "21"}
    assert met == len([trouble for trouble in server.met if trouble.kind == "huge"])


async def test_larger_frames_than_any_post_are_read_and_their_letters_cut() -> None:
    async with JetstreamServer(Told([said(-3), said(-2), said(-1)]), [Trouble("huge", 1, 3_000_000)]) as server:
        got = await deliveries(feed(server.url()), behind(-4), 2)
    (letter,) = [letter for delivery in got for letter in delivery.rejected]
    assert len(letter.raw) == 65_536 and "3,000,014 bytes, of which the first are kept" in letter.reason


@VERSIONS
async def test_after_a_restart_it_goes_on_where_it_was(version: int) -> None:
    events = [said(at - 100) for at in range(50)]
    async with JetstreamServer(Told(events)) as server:
        first = await deliveries(feed(server.url(version)), behind(-101), 50)
        events += [said(at - 100) for at in range(50, 60)]
        server.stream = Told(events)
        rest = await deliveries(feed(server.url(version)), first[-1].cursor, 10)
    cursors = [int(asked["cursor"][0]) for asked in server.asked]
    assert cursors[0] == NOW_US - 101 * SECOND_US - REWIND_ELSEWHERE_US
    if version == 2:
        assert cursors[1] == FIRST_SEQ + 49, "a number is exact"
        assert len(texts(rest)) == 11
    else:
        assert cursors[1] == events[49].us - REWIND_US
        assert len(texts(rest)) == 16


async def test_the_first_time_it_begins_with_what_is_new() -> None:
    told = Told([said(-10)])
    async with JetstreamServer(told) as server:
        opened = feed(server.url()).open(None)
        first = await anext(opened)
        assert (first.state, first.posts) == (FeedState.CAUGHT_UP, ())
        told.tell(said(0, text="new"))
        assert texts([await anext(opened)]) == ["new"]
        await opened.aclose()  # type: ignore[attr-defined]
    assert server.asked == [{"wantedCollections": ["app.bsky.feed.post"], "maxMessageSizeBytes": ["1048576"]}]


async def test_v2_is_asked_in_its_own_words() -> None:
    async with JetstreamServer(Told([said(-1)])) as server:
        await deliveries(feed(server.url(2)), Place(NOW_US, f"127.0.0.1:{server.port}", FIRST_SEQ).cursor(), 1)
    assert server.asked == [
        {
            "collections": ["app.bsky.feed.post"],
            "kinds": ["commit", "account"],
            "cursor": [str(FIRST_SEQ)],
            "maxMessageSizeBytes": ["1048576"],
        }
    ]


async def test_hosts_are_tried_in_turn_until_one_answers() -> None:
    async with JetstreamServer(Told([said(-1)])) as away, JetstreamServer(Told([said(-1)])) as refuses:
        refuses.refuses = Refusal(503)
        await away.go_away()
        async with JetstreamServer(Told([said(-1)])) as good:
            got = await deliveries(feed(away.url(), refuses.url(), good.url(2)), behind(-2), 1)
    assert [delivery.state for delivery in got[:2]] == [FeedState.DISCONNECTED] * 2
    assert got[0].why.startswith(f"127.0.0.1:{away.port} refuses the connection; next try at 22:13:20 UTC")
    assert got[1].why.startswith(f"127.0.0.1:{refuses.port} refuses with status 503; next try at")
    assert "cursor" in good.asked[0] and int(good.asked[0]["cursor"][0]) > 10**15, "a time, not another host's number"


async def test_waits_grow_up_to_a_minute_and_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    async with JetstreamServer(Told()) as server:
        await server.go_away()
        monkeypatch.setattr(asyncio, "sleep", sleep)
        opened = BlueskyFeed([server.url()], FakeClock(NOW_MS), grace_ms=5000).open(None)
        for _ in range(12):
            assert (await anext(opened)).state is FeedState.DISCONNECTED
        monkeypatch.undo()
        await opened.aclose()  # type: ignore[attr-defined]
    for wait, most in zip(waits, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert most / 2 <= wait <= most
    assert len(set(waits)) == len(waits)


async def test_a_feed_that_cannot_be_reached_says_so_once_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(heartbeat_s=0.02)
    async with JetstreamServer(Told()) as server:
        await server.go_away()
        both = [task("shared", feeds=["bluesky", "memory"])]
        caplog.clear()
        async with (
            Running(world.runner(feed(server.url(), clock=world.clock), both)) as away,
            Running(world.runner(world.feed, both)),
        ):
            world.feed.post()
            await until(lambda: len([b for b in world.heartbeats() if b.feed == "memory"]) > 5)
            await until(lambda: away._standing.state is FeedState.DISCONNECTED)
            assert away.info().state == "disconnected" and "refuses the connection" in away.info().why
    status = world.health.get("feed/bluesky")
    assert status is not None and status.state is State.WAITING and "connects again by itself" in status.remedy
    assert len([record for record in caplog.records if "bluesky" in record.getMessage()]) == 1
    (told,) = [beat for beat in world.heartbeats() if beat.feed == "bluesky"]
    assert (told.connected, told.caught_up, list(told.tasks or ())) == (False, False, ["shared"])


async def test_it_is_behind_until_it_sees_what_is_new_and_again_when_that_is_old() -> None:
    clock, told = FakeClock(NOW_MS), Told([said(-100), said(-50)])
    async with JetstreamServer(told) as server:
        opened = feed(server.url(), clock=clock).open(behind(-100))
        assert (await anext(opened)).state is FeedState.BEHIND
        backlog = await anext(opened)
        assert (backlog.state, backlog.watermark_ms) == (FeedState.BEHIND, NOW_MS - 50_000 - 5_000)
        told.tell(said(-2))
        new = await anext(opened)
        assert (new.state, new.watermark_ms) == (FeedState.CAUGHT_UP, None)
        clock.advance(4)
        told.tell(said(0))
        assert (await anext(opened)).state is FeedState.CAUGHT_UP
        clock.advance(10)
        told.tell(said(5))
        assert (await anext(opened)).state is FeedState.BEHIND
        await opened.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("recent", "state"), [(True, FeedState.CAUGHT_UP), (False, FeedState.DISCONNECTED)])
async def test_silence_is_taken_for_an_end_of_the_backlog_only_from_a_recent_place(
    recent: bool, state: FeedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluesky_module, "_QUIET_S", (0.05, 60.0))
    monkeypatch.setattr(bluesky_module, "_STALLED_S", 0.4)
    async with JetstreamServer(Told()) as server:
        opened = feed(server.url(), ping_after_s=0.05).open(behind(-60 if recent else -3600))
        assert (await anext(opened)).state is FeedState.BEHIND
        then = await anext(opened)
        assert then.state is state
        if not recent:
            assert "is silent" in then.why
        await opened.aclose()  # type: ignore[attr-defined]


async def test_a_host_that_sends_nothing_for_long_is_left_though_it_answers_pings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bluesky_module, "_STALLED_S", 0.2)
    async with (
        JetstreamServer(Told([said(-2), said(-1)]), [Trouble("silence", 1)]) as stalled,
        JetstreamServer(Told([said(-2), said(-1, text="heard")])) as other,
    ):
        got = await deliveries(feed(stalled.url(), other.url(), ping_after_s=0.05), behind(-3), 3)
    assert texts(got)[-1] == "heard"
    assert any("is silent" in delivery.why for delivery in got)


async def test_a_number_that_is_too_old_goes_on_with_the_oldest_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    events = [said(at * 60 - 3600) for at in range(50)]
    async with JetstreamServer(Told(events), oldest=30) as server:
        place = Place(events[10].us, f"127.0.0.1:{server.port}", FIRST_SEQ + 10)
        got = await deliveries(feed(server.url(2)), place.cursor(), 20)
    assert [int(asked["cursor"][0]) > 10**15 for asked in server.asked] == [False, False, True]
    assert got[0].state is FeedState.DISCONNECTED and "does not keep what lies so far back" in got[0].why
    assert [event.text for event in events[30:]] == texts(got)
    assert got[-1].why == "nothing came from 2023-11-14 21:23:20 to 2023-11-14 21:43:20 UTC"
    assert [each.unheard for each in got if each.unheard] == [Unheard(events[10].us // 1000, events[30].us // 1000)]
    assert len([record for record in caplog.records if "nothing came from" in record.getMessage()]) == 1


async def test_a_host_that_takes_no_old_cursor_at_all_is_asked_for_what_is_new() -> None:
    told = Told([said(-3600)])
    async with JetstreamServer(told) as server:
        server.refuses = Refusal(400, b'{"error":"CursorTooOld"}')
        opened = feed(server.url()).open(behind(-7200))
        assert (await anext(opened)).state is FeedState.DISCONNECTED
        server.refuses = None
        assert (await anext(opened)).state is FeedState.CAUGHT_UP
        told.tell(said(0, text="new"))
        new = await anext(opened)
        assert texts([new]) == ["new"] and "nothing came from" in new.why
        await opened.aclose()  # type: ignore[attr-defined]
    assert ["cursor" in asked for asked in server.asked] == [True, True, False]


async def test_times_that_cannot_be_move_no_cursor() -> None:
    far = said(3 * 3600)
    async with JetstreamServer(Told([said(-3), far._replace(us=5), far, said(-2)])) as server:
        got = await deliveries(feed(server.url()), behind(-4), 2)
    assert Place.read(got[-1].cursor).us == NOW_US - 2 * SECOND_US
    assert {letter.reason for one in got for letter in one.rejected} == {
        "time_us is out of range: before 2017",
        "time_us is out of range: after this machine's clock",
    }


async def test_a_clock_that_is_wrong_loses_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    told = Told([said(at / 100 - 4) for at in range(300)])
    async with JetstreamServer(told) as server:
        await world.stand("bluesky", behind(-5))
        world.clock.advance(-3600)
        async with Running(world.runner(feed(server.url(), clock=world.clock), [TASK])) as runner:
            await until(lambda: "ahead of this machine's clock; one of the two is wrong" in runner.info().why)
            assert world.standing("bluesky").cursor == behind(-5), "what cannot be placed is not passed by"
            world.clock.advance(3600)
            await until(lambda: len(world.posts()) == 300)
    assert not world.records("deadletters")
    assert len([record for record in caplog.records if "ahead of this" in record.getMessage()]) == 1


async def test_a_host_whose_clock_is_wrong_is_left_and_misleads_no_other() -> None:
    fast = [said(at / 10 - 30 + 3600) for at in range(100)]
    ahead = [said(at / 10 - 30 + 600) for at in range(100)]
    right = [said(at / 10 - 30) for at in range(200)]
    async with JetstreamServer(Told(fast)) as wrong, JetstreamServer(Told(ahead)) as off, JetstreamServer(Told(right)):
        got = await deliveries(feed(wrong.url(), off.url()), behind(-31), 100)
        assert any("ahead of this machine's clock" in one.why for one in got)
        await off.go_away()
        async with JetstreamServer(Told(right)) as good:
            rest = await deliveries(feed(good.url()), got[-1].cursor, 200)
    assert {event.text for event in right} == set(texts(rest)), "asked for by a time that has been, not by that host's"


@given(st.lists(st.tuples(st.sampled_from(["ws://a", "ws://b", f"ws://c{V2_PATH}"]), st.integers(0, 200)), max_size=40))
def test_connections_that_break_early_lead_no_further_back_each_time(broken: list[tuple[str, int]]) -> None:
    place, durable_us = Place.read(behind(-3600)), NOW_US - 3600 * SECOND_US
    for url, brought_s in broken:
        address = Address.of(url)
        cursor = place.asked_of(address)
        assert cursor is not None
        begin_us = cursor if cursor > 10**15 else place.us or 0
        assert durable_us - REWIND_ELSEWHERE_US <= begin_us <= durable_us
        for second in range(brought_s):
            us = begin_us + second * SECOND_US
            place = place.past(address, us, us // SECOND_US if address.v2 else None, NOW_US)
            durable_us = max(durable_us, us)
        place = Place.read(place.cursor())


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_that_wants_to_be_left_alone_is(status: int) -> None:
    async with JetstreamServer(Told([said(-1)])) as busy, JetstreamServer(Told([said(-1)])) as other:
        busy.refuses = Refusal(status, headers={"Retry-After": "600"})
        await other.go_away()
        opened = feed(busy.url(), other.url()).open(behind(-2))
        whys = [(await anext(opened)).why for _ in range(4)]
        assert [f"refuses with status {status}" in why for why in whys] == [True, False, False, False]
        await other.listen()
        while not (await anext(opened)).posts:
            pass
        await opened.aclose()  # type: ignore[attr-defined]
        alone = feed(busy.url()).open(behind(-2))
        assert "next try at 22:23:20 UTC" in (await anext(alone)).why, "if there is no other host it is waited for"
        await alone.aclose()  # type: ignore[attr-defined]
    assert len(busy.asked) == 2


async def test_a_host_that_counts_anew_is_asked_by_time() -> None:
    events = [said(at - 100) for at in range(50)]
    async with JetstreamServer(Told(events)) as server:
        place = Place(events[40].us, f"127.0.0.1:{server.port}", FIRST_SEQ + 10**6)
        got = await deliveries(feed(server.url(2)), place.cursor(), 15)
    assert "does not know the place: it counts anew" in got[0].why
    assert int(server.asked[-1]["cursor"][0]) == events[35].us


async def test_a_host_that_takes_a_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetstream_socket, "CONNECT_S", 0.2)
    async with JetstreamServer(Told([said(-1)])) as mute:
        mute.mute = True
        first = await anext(feed(mute.url()).open(behind(-2)))
    assert first.state is FeedState.DISCONNECTED and "does not answer within" in first.why


async def test_a_certificate_that_is_not_valid_and_a_host_without_tls_are_told(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with JetstreamServer(Told(), tls=tls) as unknown, plain:
        ports = {
            unknown.port: "has a certificate that is not valid",
            plain.sockets[0].getsockname()[1]: "does not speak TLS",
        }
        for port, why in ports.items():
            first = await anext(feed(f"wss://127.0.0.1:{port}").open(None))
            assert first.state is FeedState.DISCONNECTED and why in first.why


@pytest.mark.parametrize("size", [8_000_000, 100_000_000])
async def test_what_a_huge_frame_claims_is_not_kept_in_memory(size: int) -> None:
    tracemalloc.start()
    try:
        async with JetstreamServer(Told([said(-3), said(-2), said(-1)])) as server:
            server.troubles = [Trouble("claim", 1, size)]
            got = await deliveries(feed(server.url()), behind(-4), 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any("frame of more than" in letter.reason for one in got for letter in one.rejected)
    assert peak < 20_000_000


async def test_a_flood_waits_outside_while_the_log_is_full_and_comes_in_afterwards() -> None:
    world = World(max_lag_posts=10**6)
    events = [said(at - 3600) for at in range(3500)]
    async with JetstreamServer(Told(events), [Trouble("slow", 1_500), Trouble("drop", 3_000)]) as server:
        await world.stand("bluesky", behind(-3601))
        async with Running(world.runner(feed(server.url(), clock=world.clock), [TASK])) as runner:
            await until(lambda: world.standing("bluesky").posts > 0)
            world.paused = "ingest holds 2,000,000,000 bytes, its cap is 2,000,000,000"
            await until(lambda: runner.info().state == "paused")
            held = len(world.posts())
            assert held < len(events)
            await asyncio.sleep(0.3)
            assert len(world.posts()) == held and "its cap is" in runner.info().why
            world.paused = None
            await until(lambda: Place.read(world.standing("bluesky").cursor).us == events[-1].us)
    assert len({post.id for post in world.posts()}) == len(events)


async def test_an_hour_without_a_connection_leaves_times_as_they_were() -> None:
    world = World()
    events = [said(at * 60 - 7200) for at in range(120)]
    async with JetstreamServer(Told(events)) as server:
        await world.stand("bluesky", behind(-7201))
        async with Running(world.runner(feed(server.url(), clock=world.clock), [TASK])):
            await until(lambda: len(world.posts()) == 120)
    assert {(post.time_ms, post.received_ms, post.time_clamped) for post in world.posts()} == {
        (event.us // 1000, event.us // 1000, False) for event in events
    }


@pytest.mark.parametrize("everything", [False, True])
async def test_what_is_deleted_but_was_never_passed_on_costs_nothing(everything: bool) -> None:
    world = World()
    events = [said(-9, rkey="a", text="tea"), said(-8, rkey="b"), said(-7, "delete", "a"), said(-6, "delete", "b")]
    events += [said(-5, "update", "a", text="more tea"), said(-4, "delete", "c"), said(-3, "gone")]
    tasks = [task("all", "*", ["bluesky"])] if everything else [TASK]
    async with JetstreamServer(Told(events)) as server:
        await world.stand("bluesky", behind(-10))
        async with Running(world.runner(feed(server.url(), clock=world.clock), tasks)):
            await until(lambda: world.standing("bluesky").posts == 7)
    passed = sorted(world.posts(), key=lambda post: (post.received_ms, post.id))
    ids = [(post.op, post.id.rpartition("/")[2]) for post in passed]
    b = [("upsert", "b"), ("delete", "b"), ("delete", "b")]
    assert [pair for pair in ids if pair[1] == "b"] == b
    a = [("upsert", "a"), ("delete", "a"), ("upsert", "a"), ("delete", "a")]
    assert [pair for pair in ids if pair[1] != "b"] == (a if everything else [])


async def test_an_account_that_wrote_much_is_forgotten_in_bounded_units_wherever_it_is_killed() -> None:
    count = 3000
    world = World(max_lag_posts=10**6)
    written: list[int] = []
    write = world.log.write

    def counted(unit: UnitWrite) -> asyncio.Future[list[int]]:
        written.append(len(unit.appends))
        if len(written) == 4 and told.size() > count:
            world.log.hold()
        return write(unit)

    world.log.write = counted  # type: ignore[method-assign]
    told = Told([said(at / 100 - 100) for at in range(count)])
    async with JetstreamServer(told) as server:
        await world.stand("bluesky", behind(-101))
        first = asyncio.create_task(world.runner(feed(server.url(), clock=world.clock), [TASK]).run())
        await until(lambda: len(world.posts()) == count)
        cursor = world.standing("bluesky").cursor
        written.clear()
        told.tell(said(-60, "gone"), said(-10, did="did:plc:b"))
        await until(lambda: world.log.holding)
        first.cancel()
        lost = [outcome for _, outcome in world.log._queue]
        world.log.lose_held(durable=0)
        for outcome in lost:
            outcome.cancel()
        await asyncio.wait({first})
        assert world.standing("bluesky").cursor == cursor, "what follows the account has not been passed on"
        deleted = len([post for post in world.posts() if post.op == "delete"])
        assert TAKEN_AT_ONCE < deleted < count
        assert max(written) <= TAKEN_AT_ONCE + 32 + 2 * 4 + 1
        beyond = Place(NOW_US - 12 * SECOND_US, f"127.0.0.1:{server.port}")
        await world.stand("bluesky", beyond.cursor())  # the host does not repeat it any more
        async with Running(world.runner(feed(server.url(), clock=world.clock), [TASK])):
            await until(lambda: any(post.author == "did:plc:b" for post in world.posts()))
    posts = world.posts()
    gone = {post.id for post in posts if post.op == "delete"}
    assert gone == {post.id for post in posts if post.author == "did:plc:a"} and len(gone) == count
    assert max(written) <= TAKEN_AT_ONCE + 32 + 2 * 4 + 1


@pytest.mark.parametrize(("days", "known"), [(2.9, True), (3.1, False)])
async def test_an_account_takes_along_whatever_text_is_still_kept(days: float, known: bool) -> None:
    world, told = World(heartbeat_s=0.001), Told([said(-3)])
    world.settings = world.settings.model_copy(update={"content_hours": 72.0, "duplicate_horizon_s": 60})
    async with JetstreamServer(told) as server:
        await world.stand("bluesky", behind(-4))
        async with Running(world.runner(feed(server.url(), clock=world.clock), [TASK])):
            await until(lambda: len(world.posts()) == 1)
            world.clock.advance(days * 86_400)
            for what in ("other", "gone", "other"):  # the first one has what is over forgotten
                told.tell(said(days * 86_400 + len(told.events), what))
                await until(lambda: Place.read(world.standing("bluesky").cursor).us == told.events[-1].us)
    assert [post.op for post in world.posts()] == (["upsert", "delete"] if known else ["upsert"])


async def test_a_name_that_nobody_looks_up_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        answer.wait(30)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    opened = feed("jetstream.invalid").open(None)
    asking = asyncio.ensure_future(anext(opened))
    await until(lambda: any(thread.name == "resolver" for thread in threading.enumerate()))
    asking.cancel()
    await asyncio.wait({asking}, timeout=30)
    assert asking.cancelled()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "resolver")
    answer.set()
    first = await anext(feed("jetstream.invalid").open(None))
    assert first.why.startswith("jetstream.invalid cannot be found (no network?); next try at")


async def test_a_host_that_brought_something_is_tried_again_before_others() -> None:
    events = [said(at - 100) for at in range(50)]
    troubles = parse_troubles("drop@10,close@20:1012")
    async with JetstreamServer(Told(events), troubles) as good, JetstreamServer(Told(events)) as other:
        await deliveries(feed(good.url(), other.url()), behind(-101), 50)
    assert (len(good.asked), len(other.asked)) == (3, 0)


SKEWED_S = (0.0, -1.51, 1.51)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["drop", "repeat", "back", "rubbish", "pieces", "close", "slow"]), st.integers(0, 399)
        ),
        st.tuples(st.sampled_from(["kill", "kill late", "log fails", "away", "back again"]), st.integers(1, 200)),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 10**6), st.lists(st.sampled_from([1, 2]), min_size=2, max_size=2), st.sampled_from(SKEWED_S), STEPS
)
def test_two_hosts_any_troubles_and_any_kills_never_lose_or_invent(
    seed: int, versions: list[int], skew_s: float, steps: list[tuple[str, int]]
) -> None:
    """Hosts see the same events, at times of their own; the feed goes from one to the other as they fail."""
    shares = Shares(about=400, delete=100, update=60, gone=20, other=20, rubbish=20)
    # Of what is written again under an old name, or by an author who comes back, two clocks may tell differently
    # whether it came before its deletion: hosts that agree on the time do so (above), and the network never does it.
    story = Story(NOW_US - 400 * 25_000, authors=10**9, seed=seed, shares=shares)
    events: list[Said] = []
    gone: set[str] = set()
    for event in map(story.said, range(400)):
        if event.what == "delete":
            gone.add(event.rkey)
        if event.what != "update" or event.rkey not in gone:
            events.append(event)
    events.append(said(0, "other"))
    want = expected(events)
    skewed = [event._replace(us=event.us + round(skew_s * SECOND_US)) for event in events]
    troubles = [
        Trouble(kind, at, 1012 if kind == "close" else 150) for kind, at in steps if kind in KINDS and kind != "away"
    ]

    async def play() -> None:
        world = World(max_lag_posts=10**6)
        await world.stand("bluesky", behind(-12))
        one, other = JetstreamServer(Told(events), troubles, events_per_s=4000), JetstreamServer(Told(skewed))
        ends = {events[-1].us, skewed[-1].us}
        async with one, other:
            urls = [one.url(versions[0]), other.url(versions[1])]

            def start() -> asyncio.Task[None]:
                return asyncio.create_task(world.runner(feed(*urls, clock=world.clock), [TASK]).run())

            def through() -> bool:
                return Place.read(world.standing("bluesky").cursor).us in ends

            running = start()
            for kind, n in steps:
                await asyncio.sleep(n / 4000)
                if kind.startswith("kill"):
                    world.log.hold()
                    await asyncio.sleep(0.01)
                    running.cancel()
                    lost = [outcome for _, outcome in world.log._queue]
                    world.log.lose_held(durable=1 if kind == "kill late" else 0)
                    for outcome in lost:
                        outcome.cancel()
                    await asyncio.wait({running}, timeout=30)
                    running = start()
                elif kind == "log fails":
                    world.log.fail_next(LogUnavailable("full"))
                elif kind == "away":
                    await one.go_away()
                elif kind == "back again" and not one.listens:
                    await one.listen()
            await until(through, 20)
            running.cancel()
            await asyncio.wait({running})
        assert {(post.id, post.op, int(post.rev > 0)) for post in world.posts()} == want

    asyncio.run(play())
