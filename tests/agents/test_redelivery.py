"""Agents that fail at posts, are mended, and get their dead letters back: as if nothing had happened."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.letters import LetterId, letters
from heartbeat.engine.log import addressee
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.log_calls import replay_letters
from heartbeat.records import END_OF_TIME_MS, Figures, Late, Post, Pulse, Scored
from heartbeat.testing import oracle
from heartbeat.testing.driver import Driver
from heartbeat.testing.orders import randomly
from heartbeat.topics import GROUPS
from tests.agents.world import SIZES, START_MS, World, judge

STREAM = ("language", "sentiment", "pulse")


@dataclass
class Kept:
    """An agent that keeps the newest of each task's post, as the history does."""

    posts: dict[tuple[str, str, str], Scored] = field(default_factory=dict)

    async def __call__(self, batch: Batch[Any], emit: Emit) -> None:
        for event in batch:
            value = event.value
            if isinstance(value, Scored):
                key = value.task, value.source, value.id
                self.posts.pop(key, None)
                if value.op == "add":
                    self.posts[key] = value


class Breaking:
    """A world whose agents fail at some posts, until it is mended."""

    def __init__(self, log: SqliteLog, world: World, poison: dict[str, set[str]]) -> None:
        self.log, self.world, self.poison, self.broken = log, world, poison, True
        self.kept = Kept()
        world.driver = Driver(self._build, partitions=2, clock=world.clock, log=log, app_id=GROUPS)

    def _build(self) -> list[AgentSpec]:
        history = AgentSpec("history-posts", topics.SENTIMENT, self.kept)
        return [self._failing(spec) for spec in (*self.world._build(), history)]

    def _failing(self, spec: AgentSpec) -> AgentSpec:
        async def handler(batch: Batch[Any], emit: Emit) -> None:
            if self.broken and any(getattr(event.value, "id", None) in self.poison[spec.name] for event in batch):
                raise ValueError("a bug")
            await spec.handler(batch, emit)

        return replace(spec, handler=handler)

    async def letters(self) -> list[LetterId]:
        return [one.id for partition in range(2) async for one in letters(self.log, partition, 0)]

    async def replay(self, ids: Sequence[LetterId]) -> list[dict[str, Any]]:
        return await replayed(self.log, self.world, ids)


async def replayed(log: SqliteLog, world: World, ids: Sequence[LetterId]) -> list[dict[str, Any]]:
    request = {"letters": [str(each) for each in ids]}
    parts = [part async for part in replay_letters(log, world.clock, request)]
    return [outcome for part in parts for outcome in part["outcomes"]]


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_in_the_end_it_is_as_if_nothing_had_happened(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder), random.Random(seed)))


async def check(folder: Path, dice: random.Random) -> None:
    world = World(partitions=2)
    log = SqliteLog.open(folder / "log.db", clock=world.clock)
    try:
        ids = [str(number) for number in range(30)]
        poison = {name: set(dice.sample(ids, 3)) for name in (*STREAM, "history-posts")}
        breaking = Breaking(log, world, poison)
        await world.start()
        await world.beat("demo", START_MS - 1, tasks=("a", "b"))
        posts = delivered(dice, ids)
        for at, post in enumerate(posts):
            await world.post(post)
            if at % 7 == 0:
                await world.driver.run_until_idle(randomly(dice.randrange(99)))
        await world.driver.run_until_idle()
        failed = await breaking.letters()
        assert failed
        if dice.random() < 0.5:  # too early: they fail again, and that is no reason to stop the agent
            await breaking.replay(failed)
            await world.driver.run_until_idle()
            assert not any(runner.breaker.is_open for runner in world.driver.engine.agents.values())
        breaking.broken = False
        for _ in range(6):  # what one agent passes on now may be what another has failed at
            found = await breaking.letters()
            dice.shuffle(found)
            outcomes = await breaking.replay([*found, *found[:3]])
            assert len(outcomes) == len(found)
            await world.driver.run_until_idle(randomly(dice.randrange(99)))
        assert not any(outcome["replayed"] for outcome in await breaking.replay(await breaking.letters()))
        await world.beat("demo", END_OF_TIME_MS)
        await world.settle()

        expected = oracle.counted(posts, judge)
        scored = [record for record in await world.driver.records(topics.SENTIMENT) if not addressee(record.headers)]
        reader = oracle.Reader(
            [world.driver.codec.decode(record.value) for record in scored], await world.driver.values(topics.PULSE)
        )
        assert sorted(reader.in_time()) == sorted(expected)
        assert reader.windows() == oracle.windows(expected, SIZES)
        assert breaking.kept.posts == {(post.task, post.source, post.id): post for post in reader.standing.values()}
    finally:
        log.close()


def delivered(dice: random.Random, ids: Sequence[str]) -> list[Post]:
    """Posts of two tasks with edits, deletions and duplicates."""
    out: list[Post] = []
    for at, each in enumerate(ids):
        tasks = dice.choice([["a"], ["b"], ["a", "b"]])
        first = Post(each, "s", "demo", tasks, "upsert", 0, f"text {each}", START_MS + at * 900, START_MS)
        out.append(first)
        fate = dice.random()
        if fate < 0.25:
            out.append(first._replace(content=f"edited {each}", rev=1))
        elif fate < 0.4:
            out.append(first._replace(content="", op="delete", tasks=[]))
        elif fate < 0.5:
            out.append(first)
    return out


async def test_others_that_read_the_topic_pass_over_it(tmp_path: Path) -> None:
    world = World(partitions=2)
    log = SqliteLog.open(tmp_path / "log.db", clock=world.clock)
    try:
        breaking = Breaking(log, world, {**dict.fromkeys(STREAM, set()), "history-posts": {"1"}})
        await world.start()
        await world.post(Post("1", "s", "demo", ["a"], "upsert", 0, "good", START_MS, START_MS))
        await world.driver.run_until_idle()
        (letter,) = await breaking.letters()
        breaking.broken = False
        (outcome,) = await breaking.replay([letter])
        assert outcome["replayed"] and outcome["to"].startswith("sentiment/")
        await world.driver.run_until_idle()
        assert list(breaking.kept.posts) == [("a", "s", "1")]
        await world.beat("demo", END_OF_TIME_MS, tasks=("a",))
        await world.settle()
        pulses = await world.driver.values(topics.PULSE)
        assert Counter(pulse.overall.scored + pulse.overall.unscored for pulse in pulses) == {1: len(pulses)}  # type: ignore[union-attr]
        (outcome,) = await breaking.replay([letter])
        assert not outcome["replayed"] and outcome["again"]
    finally:
        log.close()


async def test_what_has_been_overtaken_is_refused(tmp_path: Path) -> None:
    """A post's old score would come back, behind its deletion."""
    world = World(partitions=2)
    log = SqliteLog.open(tmp_path / "log.db", clock=world.clock)
    try:
        breaking = Breaking(log, world, {**dict.fromkeys(STREAM, set()), "history-posts": {"1"}})
        await world.start()
        post = Post("1", "s", "demo", ["a"], "upsert", 0, "good", START_MS, START_MS)
        await world.post(post)
        await world.driver.run_until_idle()
        (letter,) = await breaking.letters()
        breaking.broken = False
        await world.post(post._replace(op="delete", content="", tasks=[]))
        await world.driver.run_until_idle()
        (outcome,) = await breaking.replay([letter])
        assert not outcome["replayed"] and "something newer" in outcome["why"]
        assert not breaking.kept.posts
    finally:
        log.close()


async def test_a_sealed_window_does_not_come_back_with_a_post_that_was_retracted_since(tmp_path: Path) -> None:
    world = World(partitions=2)
    log = SqliteLog.open(tmp_path / "log.db", clock=world.clock)
    try:
        refused = True

        async def windows(batch: Batch[Any], emit: Emit) -> None:
            if refused and any(isinstance(event.value, Pulse) for event in batch):
                raise ValueError("a bug")

        world.driver = Driver(
            lambda: [AgentSpec("influx", topics.PULSE, windows)],
            partitions=2, clock=world.clock, log=log, app_id=GROUPS,
        )  # fmt: skip
        await world.start()
        for start_ms in (START_MS, START_MS + 10_000):
            window = Pulse("a", 10, start_ms, 1, True, 0, Figures(1), {}, {})
            await world.driver.send(topics.PULSE, window, key=f"a/10/{start_ms}", partition=0)
        await world.driver.run_until_idle()
        retracted = Late("1", "s", "demo", "a", "retract", 0, START_MS + 1, "en", 0.9)
        await world.driver.send(topics.PULSE, retracted, key="late/7", partition=0)
        await world.driver.run_until_idle()
        refused = False
        ids = [one.id async for one in letters(log, 0, 0)] + [one.id async for one in letters(log, 1, 0)]
        outcomes = await replayed(log, world, ids)
        assert sorted(outcome["replayed"] for outcome in outcomes) == [False, True]
        assert "something newer" in next(outcome["why"] for outcome in outcomes if not outcome["replayed"])
    finally:
        log.close()
