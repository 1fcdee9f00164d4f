"""The live stream over a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from heartbeat.engine.log import Append, UnitWrite
from heartbeat.errors import LogUnavailable
from heartbeat.records import Heartbeat, Scored
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import SENTIMENT, partition_of
from heartbeat.web import LogTail
from heartbeat.web.sources import LiveRecord
from tests.web.world import World, some_tasks

NOW_MS = 1_740_000_000_000


@pytest.fixture
def world() -> World:
    return World(FakeClock(NOW_MS), some_tasks("aurora", "tram"), Settings.model_validate({}), partitions=1)


async def take(stream: AsyncIterator[LiveRecord], until: str) -> list[Scored]:
    """Scored records up to the one with this id."""
    taken: list[Scored] = []
    async with asyncio.timeout(30):
        async for record in stream:
            if isinstance(record, Scored):
                taken.append(record)
                if record.id == until:
                    break
    return taken


async def test_it_begins_at_the_end_when_called_not_when_read(world: World) -> None:
    world.say("aurora", NOW_MS, post_id="before")
    stream = world.tail()
    world.say("aurora", NOW_MS, post_id="after")
    assert [record.id for record in await take(stream, "after")] == ["after"]


async def test_in_a_flood_the_newest_of_each_task_and_every_retraction_come(world: World) -> None:
    stream = world.tail()
    quiet = world.say("tram", NOW_MS, post_id="quiet")
    flood = [world.say("aurora", NOW_MS, post_id=f"{number}") for number in range(3000)]
    world.take_back(quiet)
    world.take_back(flood[7])
    world.say("aurora", NOW_MS, post_id="last")
    taken = await take(stream, "last")
    retracted = [record.id for record in taken if record.op == "retract"]
    added = [record.id for record in taken if record.op == "add"]
    assert retracted == ["quiet", "7"]
    assert added == ["quiet", *(str(number) for number in range(2989, 3000)), "last"]


async def test_long_names_are_read_right(world: World) -> None:
    stream = world.tail()
    long = "é" * 5000
    world.say("aurora", NOW_MS, post_id=long, source="s" * 200, feed="f" * 300)
    for number in range(100):
        world.say("tram", NOW_MS, post_id=f"{number}")
    world.say("tram", NOW_MS, post_id="last")
    assert long in [record.id for record in await take(stream, "last")]


async def test_heartbeats_and_rubbish_are_passed_over(world: World) -> None:
    stream = world.tail()
    partition = partition_of("aurora", world.partitions)
    beat = world.codec.encode(Heartbeat("demo", 0, NOW_MS, True))
    whole = world.codec.encode(world.say("tram", NOW_MS)._replace(task="somebody else's"))
    world.say("aurora", NOW_MS, post_id="whole")
    for rubbish in (b"", b"\x00", b"not avro at all", whole[:5], whole[:20], whole + b"x", beat, None):
        world.log.write(UnitWrite([Append(SENTIMENT.name, partition, b"k", rubbish) for _ in range(20)]))
    world.say("aurora", NOW_MS, post_id="last")
    assert [record.id for record in await take(stream, "last")] == ["p1", "whole", "last"]


async def test_of_heartbeats_those_come_that_tell_of_what_was_missed(world: World) -> None:
    stream = world.tail()
    for beat in (Heartbeat("demo", 0, NOW_MS, True), Heartbeat("demo", 0, NOW_MS, True, True, None, 5, 7)):
        world.append(SENTIMENT, beat, key="demo")
    async with asyncio.timeout(5):
        assert await anext(stream) == beat


async def test_a_log_that_cannot_be_read_now_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = world.log.fetch
    failures = [LogUnavailable("the disk is away")]

    async def failing(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return await fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.log, "fetch", failing)
    stream = world.tail()
    world.say("aurora", NOW_MS, post_id="last")
    assert [record.id for record in await take(stream, "last")] == ["last"]


async def test_a_failure_that_nobody_foresaw_ends_the_stream(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: object) -> object:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.log, "fetch", broken)
    with pytest.raises(RuntimeError):
        await take(world.tail(), "never")


async def test_a_group_for_each_topic(world: World) -> None:
    world.say("aurora", NOW_MS, post_id="old")
    tail = LogTail(world.log, world.codec, history_group={"pulse": "windows", "sentiment": "posts"})
    stream = tail()
    world.say("aurora", NOW_MS, post_id="new")
    assert [record.id for record in await take(stream, "new")] == ["new"]
