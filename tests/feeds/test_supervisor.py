from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heartbeat import settings, topics
from heartbeat.codec import Codec
from heartbeat.engine.log import TP
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import FeedConflict, LogUnavailable
from heartbeat.feeds import supervisor as supervisor_module
from heartbeat.feeds.base import FeedState
from heartbeat.feeds.cursors import check_replay, standings
from heartbeat.feeds.demo import DemoFeed
from heartbeat.feeds.replay import ReplayFeed
from heartbeat.feeds.supervisor import Feeds, live_feeds
from heartbeat.health import HealthBoard
from heartbeat.records import END_OF_TIME_MS, Heartbeat, Post
from heartbeat.tasks import FEEDS, Task
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.feeds import MemoryFeed
from tests.feeds.replay_files import line, write
from tests.feeds.world import World, post, task, until


def feeds(world: World, *tasks: Task) -> Feeds:
    return Feeds(
        tasks,
        log=world.log,
        codec=world.codec,
        clock=world.clock,
        health=world.health,
        settings=world.settings,
        lag=lambda: world.lag,
    )


def replay_of(path: Path, task_name: str = "r") -> ReplayFeed:
    return ReplayFeed.of([path], task_name, FakeClock(), posts_a_delivery=10)


def test_every_feed_that_a_task_may_name_can_be_built() -> None:
    built = live_feeds([task("a", feeds=sorted(FEEDS)), task("b", feeds=["demo"])], FakeClock(), settings.load())
    assert {feed.name for feed in built} == FEEDS
    assert len(built) == len(FEEDS)
    assert all(feed.live for feed in built)


def test_no_task_no_feed() -> None:
    assert live_feeds([], FakeClock(), settings.load()) == []


async def test_feeds_do_not_disturb_each_other() -> None:
    world = World()
    good, bad = MemoryFeed("good"), MemoryFeed("bad")
    good.post(post(1, feed="good"))
    bad.fail(RuntimeError())
    running = feeds(world, task("all", feeds=["good", "bad"]))
    await running.start([good, bad])
    await until(lambda: [info.state for info in running.infos()] == ["failed", "caught up"])
    good.post(post(2, feed="good"))
    await until(lambda: len(world.posts()) == 2)
    await running.stop()
    assert [(info.name, info.state) for info in running.infos()] == [("bad", "stopped"), ("good", "stopped")]


async def test_a_feed_that_is_configured_no_more_is_waited_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_TRY_AGAIN_S", 0.001)
    world = World()
    gone = MemoryFeed("gone")
    gone.post(post(1, feed="gone"))
    running = feeds(world, task("all", feeds=["gone"]))
    await running.start([gone])
    await until(lambda: world.log.units == 1)
    await running.stop()
    again = feeds(world, task("all", feeds=["memory"]))
    world.log.fail_next(LogUnavailable("full"))
    await again.start([])
    await until(lambda: world.log.units == 2)
    for partition in range(4):
        last = world.heartbeats(partition)[-1]
        assert (last.feed, last.connected) == ("gone", False)
        assert last.tasks is not None and not last.tasks
    assert standings(world.log)["gone"].tasks == ()
    assert standings(world.log)["gone"].cursor == b"1"
    await again.stop()
    third = feeds(world)
    await third.start([])
    await asyncio.sleep(0.02)
    await third.stop()
    assert world.log.units == 2


async def test_a_replay_runs_to_its_end_beside_live_feeds(tmp_path: Path) -> None:
    world = World()
    running = feeds(world, task("live"))
    await running.start([world.feed])
    world.feed.post(post("live"))
    replay = replay_of(write(tmp_path / "p.jsonl", [line(n, n, source="reddit") for n in range(95)]))
    runner = running.replay(replay, "r")
    assert running.replay(replay, "r") is runner
    await running.leave(replay.name)
    assert runner.info().state not in ("stopped", "failed"), "the other one still wants it"
    await asyncio.wait_for(running.wait(replay.name), 5)
    assert (runner.info().state, runner.info().fraction, runner.info().posts) == ("ended", 1.0, 95)
    posts = [p for p in world.posts() if p.feed == replay.name]
    assert sorted(int(p.id) for p in posts) == [*range(95)]
    assert {tuple(p.tasks) for p in posts} == {("r",)}
    assert {tuple(p.tasks) for p in world.posts() if p.feed == "memory"} == {("live",)}
    for partition in range(4):
        last = [beat for beat in world.heartbeats(partition) if beat.feed == replay.name][-1]
        assert last.watermark_ms == END_OF_TIME_MS
    await running.stop()


async def test_a_replay_that_is_stopped_goes_on_later(tmp_path: Path) -> None:
    world = World(max_lag_posts=100)
    path = write(tmp_path / "p.jsonl", [line(n, n) for n in range(95)])
    running = feeds(world)
    runner = running.replay(replay_of(path), "r")
    await until(lambda: runner.info().posts >= 30)
    world.lag = 1000
    await asyncio.wait_for(running.leave(runner.feed.name), 5)
    assert runner.info().state == "stopped"
    assert 0.0 < (runner.info().fraction or 0) < 1.0
    world.lag = 0
    later = feeds(world)
    again = later.replay(replay_of(path), "r")
    await asyncio.wait_for(later.wait(again.feed.name), 5)
    assert sorted(int(p.id) for p in world.posts()) == [*range(95)]
    third = feeds(world)
    through = third.replay(replay_of(path), "r")
    await asyncio.wait_for(third.wait(through.feed.name), 5)
    assert (through.info().state, through.info().posts, len(world.posts())) == ("ended", 95, 95)


async def test_a_task_belongs_to_live_feeds_or_to_one_replay(tmp_path: Path) -> None:
    world = World()
    running = feeds(world, task("live"))
    one = write(tmp_path / "1.jsonl", [line(1, 1)])
    two = write(tmp_path / "2.jsonl", [line(2, 2)])
    with pytest.raises(FeedConflict, match=r"'live' is configured.*--task NAME"):
        running.replay(replay_of(one, "live"), "live")
    blocked = replay_of(one)
    world.lag = 10**9
    running.replay(blocked, "r")
    with pytest.raises(FeedConflict, match=r"being fed by replay:.*--task NAME"):
        running.replay(replay_of(two), "r")
    world.lag = 0
    await asyncio.wait_for(running.wait(blocked.name), 5)
    with pytest.raises(FeedConflict, match=r"another replay .*--task NAME"):
        feeds(world).replay(replay_of(two), "r")
    check_replay(world.log, blocked.name, "r", [])
    other = replay_of(one, "other")
    running.replay(other, "other")
    await asyncio.wait_for(running.wait(other.name), 5)
    assert sorted(p.tasks[0] for p in world.posts()) == ["other", "r"]


async def test_a_task_that_a_live_feed_serves_unconfigured_is_taken() -> None:
    world = World()
    world.feed.post(post(1))
    running = feeds(world, task("was-live"))
    await running.start([world.feed])
    await until(lambda: world.log.units == 1)
    await running.stop()
    with pytest.raises(FeedConflict, match=r"a live feed \(memory\)"):
        check_replay(world.log, "replay:1", "was-live", [])


async def test_demo_and_replay_into_the_embedded_log_over_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    path = write(tmp_path / "p.jsonl.gz", [line(n, 1000 * n) for n in range(5000)])
    chosen = settings.load()
    tasks = [task("demo", feeds=["demo"])]
    seen: list[str] = []
    for life in range(2):
        log = SqliteLog.open(tmp_path / "log.db", clock=clock)
        for topic in topics.ALL:
            log.create_topic(topic, 3)
        codec = Codec(log)
        running = Feeds(tasks, log=log, codec=codec, clock=clock, health=HealthBoard(clock), settings=chosen)
        demo = DemoFeed(clock, posts_per_s=(1000, 2000))
        replay = ReplayFeed.of([path], "r", clock)
        await running.start([demo])
        if life == 0:
            runner = running.replay(replay, "r")
            await until(lambda: runner.info().posts >= 2000)  # noqa: B023 (awaited right here)
            await asyncio.wait_for(running.leave(replay.name), 5)
        else:
            running.replay(replay, "r")
            await asyncio.wait_for(running.wait(replay.name), 20)
        wanted = 20 * (life + 1)
        await until(lambda: standings(log)["demo"].posts >= wanted)  # noqa: B023 (awaited right here)
        await running.stop()
        stands = standings(log)
        assert stands[replay.name].state is (FeedState.BEHIND if life == 0 else FeedState.ENDED)
        records = [
            codec.decode(record.value)
            for partition in range(3)
            for record in await log.fetch(TP("ingest", partition), 0, 100_000, 0)
        ]
        seen = sorted(p.id for p in records if isinstance(p, Post) and p.feed == "demo")
        replayed = [int(p.id) for p in records if isinstance(p, Post) and p.feed == replay.name]
        assert len(seen) == len(set(seen)) == stands["demo"].posts
        assert sorted(replayed) == [*range(stands[replay.name].posts)]
        ends = [b for b in records if isinstance(b, Heartbeat) and b.watermark_ms == END_OF_TIME_MS]
        assert len(ends) == (0 if life == 0 else 3)
        log.close()
    assert sorted(replayed) == [*range(5000)]
