"""The stream of server-sent events, over a world that goes on talking."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from heartbeat.engine.log import TP, Advance, UnitWrite
from heartbeat.records import Figures, Pulse
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import PULSE, SENTIMENT, partition_of
from heartbeat.web import events, hub, live
from heartbeat.web.shapes import rfc3339
from tests.web.serving import Reader, Serving
from tests.web.world import HISTORY, World, some_tasks

NOW_MS = 1_740_000_000_000


@pytest.fixture
def world() -> World:
    return World(FakeClock(NOW_MS), some_tasks("aurora", "tram"), Settings.model_validate({}))


async def test_it_begins_with_a_greeting_and_the_time_to_wait(world: World) -> None:
    world.report()
    async with Serving(world) as served, Reader(served) as reader:
        kind, hello = await reader.next()
        assert (kind, hello["resumed"], hello["ready"], hello["now"]) == ("hello", False, True, rfc3339(NOW_MS))
        assert reader.retry == 3000
        assert (await reader.next("feed"))[1]["name"] == "demo"
        assert (await reader.next("health"))[1]["healthy"] is True


async def test_a_window_comes_whole(world: World) -> None:
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("hello")
        world.say("aurora", NOW_MS, lang="de", source="reddit", label="positive")
        world.say("aurora", NOW_MS, lang="fr", source="x", label="unscored")
        world.publish()
        told = await reader.until("window", {"window_seconds": 60})
        row = (await served.get(f"/api/windows?task=aurora&from={NOW_MS - 60_000}"))["windows"][0]
    assert (told["task"], told["revision"], told["final"], told["late"]) == ("aurora", 0, False, 0)
    assert (told["all"]["total"], told["all"]["scored"], told["all"]["unscored"]) == (2, 1, 1)
    assert {key: figures["total"] for key, figures in told["lang"].items()} == {"de": 1, "fr": 1}
    assert {key: figures["total"] for key, figures in told["source"].items()} == {"reddit": 1, "x": 1}
    assert told["all"] == {name: row[name] for name in told["all"]}


async def test_what_a_feed_has_missed_is_told_to_everybody(world: World) -> None:
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("hello")
        world.miss("demo", NOW_MS - 60_000, NOW_MS)
        told = await reader.until("unheard", {"feed": "demo"})
        rows = (await served.get(f"/api/windows?task=aurora&from={NOW_MS - 90_000}&to={NOW_MS}"))["unheard"]
    assert told == {"feed": "demo", "from": rfc3339(NOW_MS - 60_000), "to": rfc3339(NOW_MS)}
    assert rows == [{"from": told["from"], "to": told["to"]}]


async def test_a_post_comes_and_is_taken_back(world: World) -> None:
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("hello")
        scored = world.say("aurora", NOW_MS, content="x" * 700, label="negative")
        told = await reader.until("post", {"op": "add"})
        world.take_back(scored)
        gone = await reader.until("post", {"op": "retract"})
    assert (told["id"], told["label"], told["late"], told["feed"]) == (scored.id, "negative", False, "demo")
    assert (len(told["content"]), told["content_cut"]) == (600, True)
    assert gone["id"] == scored.id and "content" not in gone


async def test_a_late_post_is_marked(world: World) -> None:
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("hello")
        world.come_late(world.say("aurora", NOW_MS))
        assert (await reader.until("post", {"late": True}))["op"] == "add"


async def test_who_comes_back_in_time_misses_nothing(world: World) -> None:
    async with Serving(world) as served:
        async with Reader(served) as reader:
            await reader.next("hello")
            world.say("aurora", NOW_MS, post_id="first")
            await reader.until("post", {"id": "first"})
        for number in range(5):
            world.say("aurora", NOW_MS, post_id=f"missed-{number}")
            await asyncio.sleep(0.05)
        world.publish()
        async with Reader(served, reader.last_id) as again:
            assert (await again.next())[1]["resumed"] is True
            seen: set[str] = set()
            while len(seen) < 5:
                seen.add((await again.next("post"))[1]["id"])
            assert seen == {f"missed-{number}" for number in range(5)}
        async with Reader(served, query=f"?last_event_id={reader.last_id}") as third:
            assert (await third.next())[1]["resumed"] is True


async def test_after_a_restart_it_says_that_it_knows_nothing(world: World) -> None:
    async with Serving(world) as served:
        async with Reader(served) as reader:
            await reader.next("hello")
            world.say("aurora", NOW_MS)
            await reader.next("post")
        await served.stop()
        await served.start()
        async with Reader(served, reader.last_id) as again:
            assert (await again.next())[1]["resumed"] is False


async def test_what_history_has_not_read_yet_comes_by_the_stream(world: World) -> None:
    """Nothing may fall between what history has and where the stream begins."""
    tp = {topic.name: TP(topic.name, partition_of("aurora", world.partitions)) for topic in (PULSE, SENTIMENT)}
    world.say("aurora", NOW_MS, post_id="kept")
    world.publish()
    ends = {topic: world.log.end_offset(place) for topic, place in tp.items()}
    await world.log.write(UnitWrite(advances=[Advance(HISTORY, tp[topic], None, end) for topic, end in ends.items()]))
    world.say("aurora", NOW_MS, post_id="under way")
    world.publish()
    async with Serving(world) as served, Reader(served) as reader:
        told = {"post": set[object](), "window": set[object]()}
        while not all(told.values()):
            kind, data = await reader.next()
            if kind in told:
                told[kind].add(data["id"] if kind == "post" else data["all"]["total"])
        assert told == {"post": {"under way"}, "window": {2}}


async def test_before_recovery_feeds_are_told_and_afterwards_windows(world: World) -> None:
    world.is_ready = False
    world.report()
    async with Serving(world) as served, Reader(served) as reader:
        assert (await reader.next("hello"))[1]["ready"] is False
        assert (await reader.next("feed"))[1]["name"] == "demo"
        assert (await reader.next("health"))[1]["ready"] is False
        world.is_ready = True
        assert (await reader.next("health"))[1]["ready"] is True
        world.say("aurora", NOW_MS)
        world.publish()
        assert (await reader.next("window"))[1]["task"] == "aurora"


async def test_a_feed_that_goes_away_is_told(world: World) -> None:
    world.report()
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("feed")
        del world.feed_infos["demo"]
        assert await reader.until("feed", {"state": "gone"}) == {"name": "demo", "state": "gone"}


async def test_only_the_wanted_tasks_come(world: World) -> None:
    async with Serving(world) as served, Reader(served, query="?task=tram") as reader:
        await reader.next("hello")
        world.say("aurora", NOW_MS)
        world.say("tram", NOW_MS)
        world.publish()
        assert (await reader.next("window"))[1]["task"] == "tram"


async def test_a_task_that_may_yet_come_can_be_waited_for(world: World) -> None:
    async with Serving(world) as served, Reader(served, query="?task=yet-to-come") as reader:
        await reader.next("hello")
        world.say("aurora", NOW_MS)
        world.say("yet-to-come", NOW_MS)
        world.publish()
        assert (await reader.next("window"))[1]["task"] == "yet-to-come"


async def test_an_empty_task_chooses_nothing(world: World) -> None:
    async with Serving(world) as served, Reader(served, query="?task=") as reader:
        await reader.next("hello")
        world.say("aurora", NOW_MS)
        assert (await reader.next("post"))[1]["task"] == "aurora"


async def test_silence_is_broken_by_a_comment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "COMMENT_S", 0.05)
    monkeypatch.setattr(events, "LOOK_S", 0.02)
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("tick")
        assert "still here" in reader.comments


async def test_too_many_readers_are_told_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.Hub.__init__, "__kwdefaults__", {"ring": 10, "queue": 10, "clients": 1})
    async with Serving(world) as served:
        async with Reader(served) as reader:
            await reader.next("hello")
            assert "1 readers" in (await served.get("/events", 503))["error"]["reason"]
        for _ in range(50):
            try:
                async with Reader(served) as reader:
                    await reader.next("hello")
                break
            except AssertionError:
                await asyncio.sleep(0.1)
        else:
            pytest.fail("the place of a reader who left was not given to another")


async def test_a_slow_reader_is_dropped_and_the_others_are_not_kept_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow one takes nothing at all; windows of 40 kB each fill what the system keeps for it, then its queue."""
    monkeypatch.setattr(hub.Hub.__init__, "__kwdefaults__", {"ring": 10_000, "queue": 150, "clients": 9})
    async with Serving(world) as served, Reader(served) as quick:
        await quick.next("hello")
        slow = socket.create_connection(("127.0.0.1", served.port))
        slow.setblocking(False)
        slow.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
        await asyncio.sleep(0.1)
        parts = {f"language-{number}": Figures(1) for number in range(200)}
        for burst in range(12):
            for number in range(100):
                start_ms = NOW_MS + (100 * burst + number) * 60_000
                world.append(PULSE, Pulse("aurora", 60, start_ms, 0, False, 0, Figures(1), parts, {}))
            for _ in range(100):
                assert (await quick.next("window"))[1] is not None
        loop = asyncio.get_running_loop()
        received = 0
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(30):
                while chunk := await loop.sock_recv(slow, 2**20):
                    received += len(chunk)
        slow.close()
        assert received < 12 * 100 * 20_000
        world.say("aurora", NOW_MS, post_id="last")
        assert (await quick.next("post"))[1]["id"] == "last"


async def test_nothing_is_read_while_nobody_watches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.02)
    fetches = 0
    fetch = world.log.fetch

    async def counted(*arguments: Any) -> Any:
        nonlocal fetches
        fetches += 1
        return await fetch(*arguments)

    monkeypatch.setattr(world.log, "fetch", counted)
    live_hub = hub.Hub()
    running = live.Live(world, live_hub, linger_s=0.1)
    assert fetches == 0
    joined = running.join(None, [])
    assert not isinstance(joined, hub.Full)
    await asyncio.sleep(0.05)
    assert fetches > 0
    running.leave(joined[0])
    await asyncio.sleep(0.3)
    fetches = 0
    world.say("aurora", NOW_MS)
    await asyncio.sleep(0.3)
    assert fetches == 0
    await running.stop()
    await running.stop()


async def test_stopping_the_server_sends_readers_away_at_once(world: World) -> None:
    async with Serving(world) as served, Reader(served) as reader:
        await reader.next("hello")
        async with asyncio.timeout(30):
            await served.stop()
        assert (await reader.next("end"))[0] == "end"
