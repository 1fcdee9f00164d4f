from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.errors import FeedError, FeedUnreachable, LogUnavailable
from heartbeat.feeds import runner as runner_module
from heartbeat.feeds.base import FeedState, Rejected
from heartbeat.health import State
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.testing.feeds import MemoryFeed
from heartbeat.topics import partition_of, post_key
from tests.feeds.world import NOW_MS, Running, World, post, task, until

MINUTE_MS = 60_000


async def test_a_delivery_is_one_unit_of_posts_then_heartbeats_and_the_cursor() -> None:
    world = World()
    world.feed.post(*(post(n, "tea" if n % 2 else "coffee") for n in range(40)))
    async with Running(world.runner()):
        await until(lambda: world.log.units == 1)
    for partition in range(4):
        *posts, heartbeat = world.ingest(partition)
        assert posts == world.posts(partition) != []
        assert heartbeat == world.heartbeats(partition)[0]
        assert {partition_of(post_key(p.source, p.id), 4) for p in world.posts(partition)} == {partition}
    assert {p.id: tuple(p.tasks) for p in world.posts()} == {
        str(n): ("all", "tea") if n % 2 else ("all",) for n in range(40)
    }
    first = world.heartbeats(2)[0]
    assert (first.feed, first.origin_partition, first.watermark_ms) == ("memory", 2, NOW_MS - 5000)
    assert (first.caught_up, first.connected, list(first.tasks or ())) == (True, True, ["all", "tea"])
    stands = world.standing()
    assert (stands.cursor, stands.state, stands.tasks) == (b"1", FeedState.CAUGHT_UP, ("all", "tea"))
    assert (stands.posts, stands.matched, stands.rejected, stands.watermark_ms) == (40, 40, 0, NOW_MS - 5000)


async def test_what_matches_no_task_stays_outside_but_edits_and_deletions_go_on() -> None:
    world = World()
    world.feed.post(
        post(1), post(2, "tea"), post(3, rev=1), post(4, "", op="delete"), post(1, rev=2), post(5, content="")
    )
    async with Running(world.runner(tasks=[task("tea", "tea")])) as runner:
        await until(lambda: world.log.units == 1)
        assert (runner.info().posts, runner.info().matched) == (6, 4)
    assert sorted((p.id, p.op, p.rev, tuple(p.tasks)) for p in world.posts()) == [
        ("1", "upsert", 2, ()),
        ("2", "upsert", 0, ("tea",)),
        ("3", "upsert", 1, ()),
        ("4", "delete", 0, ()),
    ]


@pytest.mark.parametrize(
    ("away_ms", "kept"),
    [(0, True), (-15 * MINUTE_MS, True), (-15 * MINUTE_MS - 1, False), (MINUTE_MS, True), (MINUTE_MS + 1, False)],
)
@pytest.mark.parametrize("live", [True, False])
async def test_a_live_time_is_believed_near_its_receipt_only(away_ms: int, kept: bool, live: bool) -> None:
    world = World()
    feed = MemoryFeed(live=live)
    feed.post(post(1, time_ms=NOW_MS + away_ms))
    async with Running(world.runner(feed)):
        await until(lambda: world.log.units == 1)
    (written,) = world.posts()
    kept = kept or not live
    assert (written.time_ms, written.time_clamped) == (NOW_MS + away_ms if kept else NOW_MS, not kept)


async def test_rubbish_goes_to_dead_letters_and_the_rest_on() -> None:
    world = World()
    rejected = Rejected(b"\xff{", "is no JSON", "posts.jsonl:7")
    bad = [
        post(2, source="a\nb"),
        post(3, source=""),
        post("", "x"),
        post(4, author=5),
        post(5, rev=2**70),
        post(6, "\ud800"),
    ]
    world.feed.post(post(1), *bad, post(7), rejected=[rejected])
    async with Running(world.runner()) as runner:
        await until(lambda: world.log.units == 1)
        assert runner.info().rejected == 7
    assert sorted(p.id for p in world.posts()) == ["1", "7"]
    letters = world.records("deadletters")
    assert letters[0].value == b"\xff{"
    assert dict(letters[0].headers) == {
        "topic": b"memory",
        "agent": b"feed",
        "reason": b"is no JSON",
        "place": b"posts.jsonl:7",
        "at_ms": str(NOW_MS).encode(),
    }
    assert len(letters) == 7
    for letter in letters:
        assert b"coffee" not in dict(letter.headers)["reason"]


async def test_heartbeats_wait_for_their_time_but_not_at_a_change() -> None:
    world = World(heartbeat_s=60)
    for number in range(5):
        world.feed.post(post(number))
    world.feed.disconnect("nobody answers")
    world.feed.disconnect("nobody answers")
    world.feed.post(post(9))
    async with Running(world.runner()):
        await until(lambda: world.log.units == 8)
    for partition in range(4):
        said = [(beat.connected, beat.caught_up) for beat in world.heartbeats(partition)]
        assert said == [(True, True), (False, False), (True, True)]
        assert [beat.tasks is None for beat in world.heartbeats(partition)] == [False, True, True]


async def test_at_full_speed_heartbeats_come_with_every_so_many_posts() -> None:
    world = World(partitions=2, heartbeat_s=60)
    feed = MemoryFeed("memory", live=False)
    for number in range(10):
        feed.post(*(post(f"{number}.{n}") for n in range(100)), watermark_ms=number * 1000, state=FeedState.BEHIND)
    async with Running(world.runner(feed)):
        await until(lambda: world.log.units == 10)
    assert [beat.watermark_ms for beat in world.heartbeats()] == [0, 5000]


async def test_while_nothing_arrives_a_feed_that_is_caught_up_goes_on_promising() -> None:
    world = World(heartbeat_s=0.02)
    world.feed.post()
    async with Running(world.runner()) as runner:
        await until(lambda: len(world.heartbeats()) == 2)
        world.clock.advance(30)
        await until(lambda: world.heartbeats()[-1].watermark_ms == NOW_MS + 25_000)
        world.clock.advance(-3600)
        seen = len(world.heartbeats())
        await until(lambda: len(world.heartbeats()) >= seen + 3)
        assert world.heartbeats()[-1].watermark_ms == NOW_MS + 25_000
        assert runner.info().watermark_ms == world.standing().watermark_ms == NOW_MS + 25_000


async def test_what_a_feed_has_to_say_besides_stays_while_nothing_arrives() -> None:
    world = World(heartbeat_s=0.01)
    world.feed.post(why="an hour is missing")
    async with Running(world.runner()) as runner:
        await until(lambda: len(world.heartbeats()) > 3)
        status = world.health.get("feed/memory")
        assert status is not None and (status.state, status.why) == (State.OK, "an hour is missing")
        assert (runner.info().state, runner.info().why) == ("caught up", "an hour is missing")


@pytest.mark.parametrize("state", [FeedState.BEHIND, FeedState.DISCONNECTED])
async def test_a_feed_that_is_behind_or_away_promises_nothing_by_itself(state: FeedState) -> None:
    world = World(heartbeat_s=0.01)
    world.feed.post(post(1, time_ms=NOW_MS - 600_000), state=state)
    async with Running(world.runner()):
        await until(lambda: world.log.units == 1)
        world.clock.advance(30)
        await asyncio.sleep(0.1)
    promised = NOW_MS - 605_000 if state is FeedState.BEHIND else BEFORE_TIME_MS
    assert [beat.watermark_ms for beat in world.heartbeats()] == [promised]


async def test_a_live_watermark_never_runs_ahead_of_the_clock() -> None:
    world = World(heartbeat_s=1e-9)
    world.feed.post(post(1, time_ms=NOW_MS + MINUTE_MS), state=FeedState.BEHIND)
    world.feed.post(post(2), watermark_ms=NOW_MS + 10**6, state=FeedState.BEHIND)
    async with Running(world.runner()):
        await until(lambda: world.log.units == 2)
    assert [beat.watermark_ms for beat in world.heartbeats()] == [NOW_MS - 5000] * 2


async def test_a_watermark_does_not_go_back_at_a_restart() -> None:
    world = World()
    world.feed.post(post(1))
    async with Running(world.runner()):
        await until(lambda: world.log.units == 1)
    world.clock.advance(-3600)
    world.feed.post(post(2))
    async with Running(world.runner()):
        await until(lambda: world.log.units == 2)
    assert [beat.watermark_ms for beat in world.heartbeats()] == [NOW_MS - 5000] * 2
    assert [list(beat.tasks or ()) for beat in world.heartbeats()] == [["all", "tea"]] * 2
    assert [p.id for p in sorted(world.posts())] == ["1", "2"]


@pytest.mark.parametrize("makes_up", [True, False])
async def test_a_feed_that_makes_up_for_nothing_says_what_it_has_missed(makes_up: bool) -> None:
    world = World(heartbeat_s=1.0)
    feed = MemoryFeed(makes_up=makes_up)
    feed.post(post(1))
    async with Running(world.runner(feed)):
        await until(lambda: bool(world.posts()))
    world.clock.advance(600)
    feed.post(post(2))
    async with Running(world.runner(feed)):
        await until(lambda: len(world.posts()) == 2)
    for partition in range(4):
        told = [(beat.unheard_from_ms, beat.unheard_to_ms) for beat in world.heartbeats(partition)]
        assert set(told) - {(None, None)} == (set() if makes_up else {(NOW_MS, NOW_MS + 600_000)})


async def test_the_end_is_said_once_and_for_all() -> None:
    world = World()
    feed = MemoryFeed("memory", live=False)
    feed.post(post(1), watermark_ms=5, state=FeedState.BEHIND)
    feed.end()
    runner = world.runner(feed)
    await asyncio.wait_for(runner.run(), 5)
    assert runner.info().state == "ended"
    assert world.health.get("feed/memory") is None
    assert [beat.watermark_ms for beat in world.heartbeats(3)] == [5, END_OF_TIME_MS]
    assert world.heartbeats()[-1].connected
    again = world.runner(feed)
    await asyncio.wait_for(again.run(), 5)
    assert (again.info().state, world.log.units) == ("ended", 2)


async def test_a_log_that_cannot_write_gets_the_same_again() -> None:
    world = World()
    for _ in range(3):
        world.log.fail_next(LogUnavailable("the disk is full"))
    for number in range(3):
        world.feed.post(post(number))
    async with Running(world.runner()) as runner:
        await until(lambda: runner.info().state == "paused")
        status = world.health.get("feed/memory")
        assert status is not None
        assert (status.state, status.why) == (State.WAITING, "the disk is full")
        await until(lambda: world.log.units == 3)
        assert runner.info().state == "caught up"
    status = world.health.get("feed/memory")
    assert status is not None and status.state is State.OK
    assert sorted(p.id for p in world.posts()) == ["0", "1", "2"]


async def test_a_write_whose_outcome_is_unknown_is_looked_up() -> None:
    world = World()
    world.log.fail_next(RuntimeError("the log fell over"), after_the_fact=True)
    world.feed.post(post(1))
    world.feed.post(post(2))
    async with Running(world.runner()):
        await until(lambda: len(world.posts()) == 2)
    assert world.feed.opened_at == [None, b"1"]


async def test_a_feed_that_raises_is_started_again_where_it_stood() -> None:
    world = World()
    world.feed.post(post(1))
    world.feed.fail(ValueError("coffee"))
    world.feed.fail(FeedUnreachable("example.com does not answer"))
    world.feed.post(post(2))
    async with Running(world.runner()) as runner:
        await until(lambda: runner.info().posts == 2)
        assert runner.info().last_error == "example.com does not answer"
    assert world.feed.opened_at[:2] == [None, b"1"]
    said = [beat.connected for beat in world.heartbeats()]
    assert said[:3] == [True, False, True]
    assert sorted(p.id for p in world.posts()) == ["1", "2"]


async def test_an_error_is_told_without_what_it_holds() -> None:
    world = World()
    world.feed.post(post(1))
    world.feed.fail(ValueError("coffee"))
    runner = world.runner()
    runner._first_backoff_s = 60
    async with Running(runner):
        await until(lambda: runner.info().state == "failed")
        status = world.health.get("feed/memory")
        assert status is not None
        assert (status.state, status.why) == (State.FAILED, "it raised ValueError")


async def test_a_feed_that_just_stops_is_in_trouble() -> None:
    class Short(MemoryFeed):
        async def open(self, cursor: bytes | None):  # type: ignore[no-untyped-def]
            if cursor is None:
                yield self._script[0]

    world = World()
    feed = Short()
    feed.post(post(1))
    async with Running(world.runner(feed)) as runner:
        await until(lambda: "without saying so" in runner.info().last_error)
    assert len(world.posts()) == 1


async def test_a_replay_whose_files_are_no_good_gives_up() -> None:
    world = World()
    feed = MemoryFeed("memory", live=False)
    feed.fail(FeedError("posts.jsonl was changed"))
    runner = world.runner(feed)
    await asyncio.wait_for(runner.run(), 5)
    assert (runner.info().state, runner.info().why) == ("failed", "posts.jsonl was changed")


async def test_it_waits_while_the_agents_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_TELL_AFTER_S", 0.2)
    world = World(max_lag_posts=100)
    world.lag = 101
    world.feed.post(post(1))
    async with Running(world.runner()) as runner:
        await asyncio.sleep(0.1)
        assert (world.log.units, runner.info().state) == (0, "starting")
        await until(lambda: runner.info().state == "paused")
        assert "101 messages" in runner.info().why
        world.lag = 100
        await until(lambda: world.log.units == 1)
        assert runner.info().state == "caught up"


async def test_it_says_at_once_that_a_cap_is_reached() -> None:
    world = World(heartbeat_s=0.01)
    world.feed.post(post(1))
    async with Running(world.runner()) as runner:
        await until(lambda: world.log.units >= 2)
        world.paused = "the log has reached its 10 GB"
        await asyncio.sleep(0.05)
        units = world.log.units
        world.feed.post(post(2))
        await until(lambda: runner.info().state == "paused")
        status = world.health.get("feed/memory")
        assert status is not None
        assert (status.state, status.why) == (State.WAITING, world.paused)
        await asyncio.sleep(0.05)
        assert world.log.units == units
        world.paused = None
        await until(lambda: len(world.posts()) == 2)


async def test_it_stops_while_it_waits_for_room() -> None:
    world = World()
    world.paused = "no room"
    world.feed.post(post(1))
    async with Running(world.runner()) as runner:
        await until(lambda: runner.info().state == "paused")
    assert runner.info().state == "stopped"
    assert world.log.units == 0


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_write_under_way_is_waited_for(how: str) -> None:
    world = World()
    world.log.hold()
    world.feed.post(post(1))
    world.feed.post(post(2))
    runner = world.runner()
    running = asyncio.create_task(runner.run())
    await until(lambda: world.log.held == 1)
    if how == "stop":
        runner.stop()
    else:
        running.cancel()
    await asyncio.sleep(0.02)
    assert not running.done()
    world.log.release()
    await asyncio.wait({running}, timeout=30)
    assert running.done() and running.cancelled() == (how == "cancel")
    assert [p.id for p in world.posts()] == ["1"]


async def test_a_feed_that_never_answers_is_told_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_ANSWER_WITHIN_S", 0.05)
    world = World(heartbeat_s=0.01)
    async with Running(world.runner()) as runner:
        await until(lambda: runner.info().state == "disconnected")
        await until(lambda: world.log.units == 1)
        await asyncio.sleep(0.05)
        assert world.log.units == 1
        assert [(b.connected, list(b.tasks or ())) for b in world.heartbeats()] == [(False, ["all", "tea"])]
        world.feed.post()
        await until(lambda: runner.info().state == "caught up")
    assert [beat.connected for beat in world.heartbeats()][:2] == [False, True]


async def test_the_rate_is_that_of_the_last_seconds() -> None:
    world = World()
    world.feed.post(*(post(n) for n in range(50)))
    async with Running(world.runner()) as runner:
        await until(lambda: runner.info().posts == 50)
        assert runner.info().posts_per_s == 5.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("posts"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["feed fails", "log fails", "log fails late", "crash", "crash late"]), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from([1, 3, 4]))
def test_whatever_fails_every_post_is_there_once_and_in_order(steps: list[tuple[str, int]], partitions: int) -> None:
    async def play() -> None:
        world = World(partitions=partitions, heartbeat_s=1e-9)
        sent: list[str] = []
        running = asyncio.create_task(world.runner().run())
        for step, count in steps:
            if step == "posts":
                posts = [post(len(sent) + n) for n in range(count)]
                sent += [p.id for p in posts]
                world.feed.post(*posts)
            elif step == "feed fails":
                world.feed.fail(OSError())
            elif step == "log fails":
                world.log.fail_next(LogUnavailable("full"))
            elif step == "log fails late":
                world.log.fail_next(RuntimeError("gone"), after_the_fact=True)
            else:
                world.log.hold()
                world.feed.post(post(len(sent)))
                sent.append(str(len(sent)))
                for _ in range(20):
                    await asyncio.sleep(0)
                running.cancel()
                lost = [outcome for _, outcome in world.log._queue]
                world.log.lose_held(durable=1 if step == "crash late" else 0)
                for outcome in lost:  # else the dead runner would wait for them, as it has to
                    outcome.cancel()
                await asyncio.wait({running}, timeout=30)
                assert running.cancelled()
                running = asyncio.create_task(world.runner().run())
            for _ in range(3):
                await asyncio.sleep(0)
        world.feed.post(post("last"))
        await until(lambda: any(p.id == "last" for p in world.posts()))
        running.cancel()
        await asyncio.wait({running})
        for partition in range(partitions):
            expected = [i for i in [*sent, "last"] if partition_of(post_key("x", i), partitions) == partition]
            assert [p.id for p in world.posts(partition)] == expected
            watermarks = [beat.watermark_ms for beat in world.heartbeats(partition)]
            assert watermarks == sorted(watermarks)
        assert world.standing().posts == len(sent) + 1

    asyncio.run(play())
