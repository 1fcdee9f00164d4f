"""What feeds deliver and how it is worked off, drawn at random: posts, promises, order, failures."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from hypothesis import strategies as st

from heartbeat.agents.pulse import PulseAgent
from heartbeat.engine.agent import AgentSpec
from heartbeat.errors import LogUnavailable
from heartbeat.records import END_OF_TIME_MS, Post
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.testing.orders import Choose, drained_first, evenly, randomly
from tests.agents.world import START_MS, World, post

LANGUAGES = {"b": ("en", "de")}
SERVED = {"demo": ("a", "b"), "wire": ("b", "c"), "replay:1": ("again",)}
LONG_AGO_MS = START_MS - 10_000_000


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        disorder_s: how far a post may come after a newer one.
        hurry_ms: how far promises go beyond what can be promised.
        trouble: restarts, failing writes and handlers.
        order: in which places work: evenly, randomly, or one partition drained before the next.
        batch: the most messages of a batch.
        windows_a_unit: the most windows that a unit closes, seals or publishes.
    """

    seed: int
    partitions: int = 4
    posts: int = 25
    disorder_s: int = 100
    hurry_ms: int = 0
    trouble: bool = False
    order: str = "randomly"
    batch: int = 7
    windows_a_unit: int = 4000

    def hurried(self, hurry_ms: int) -> Plan:
        return replace(self, hurry_ms=hurry_ms)


PLANS = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    partitions=st.sampled_from([1, 4, 4, 12]),
    posts=st.integers(1, 30),
    disorder_s=st.sampled_from([0, 5, 100, 3700]),
    trouble=st.booleans(),
    order=st.sampled_from(["evenly", "randomly", "drained"]),
    batch=st.sampled_from([1, 2, 7, 512]),
    windows_a_unit=st.sampled_from([1, 3, 4000]),
)


class Beat(NamedTuple):
    """A feed's promise."""

    watermark_ms: int
    connected: bool


class Delivered(NamedTuple):
    """A post, and what its feed had promised before."""

    post: Post
    promised_ms: int


@dataclass
class Outcome:
    """A run that is over: everything has been worked off and every feed has ended."""

    world: World
    delivered: list[Delivered]

    @property
    def posts(self) -> list[Post]:
        return [post for post, _ in self.delivered]


def deliveries(plan: Plan, dice: random.Random) -> dict[str, list[Post | Beat]]:
    """What each feed delivers, in its order: posts with duplicates, edits and deletions, and promises between them.

    Both live feeds know some posts in common, so each of them delivers the newest revision of what it delivers.
    """
    posts: dict[str, list[Post]] = {feed: [] for feed in SERVED}
    for number in range(plan.posts):
        at_s, source = dice.randrange(4000), "x" if number % 3 else "reddit"
        newest, deleted = dice.choice([0, 0, 0, 1, 3]), dice.random() < 0.15
        for feed, served in SERVED.items():
            if feed != "replay:1" and dice.random() < 0.3:
                continue
            versions = []
            for rev in sorted({0, newest} if dice.random() < 0.8 else {newest}):
                tasks = [task for task in served if dice.random() < 0.75]
                versions.append(post(number, at_s, feed=feed, tasks=tasks, rev=rev, source=source))
            if deleted:
                versions.append(post(number, at_s, feed=feed, tasks=(), op="delete", text="", source=source))
            versions += [dice.choice(versions) for _ in range(dice.choice([0, 0, 1, 2]))]
            posts[feed] += versions
    out = {}
    for feed, its in posts.items():
        its.sort(key=lambda item: item.time_ms + dice.uniform(0, plan.disorder_s * 1000 + 1))
        out[feed] = _with_promises(its, plan, dice)
    return out


def _with_promises(posts: list[Post], plan: Plan, dice: random.Random) -> list[Post | Beat]:
    out: list[Post | Beat] = []
    connected = True
    for at, item in enumerate(posts):
        out.append(item)
        if dice.random() < (0.1 if plan.partitions == 12 else 0.4):  # each is multiplied by 12²
            least = min((later.time_ms for later in posts[at + 1 :]), default=item.time_ms)
            if dice.random() < 0.2:
                connected = not connected
            out.append(Beat(least - dice.choice([0, 0, 5000]) + plan.hurry_ms, connected))
    out.append(Beat(END_OF_TIME_MS, connected=dice.random() < 0.8))
    return out


def order_of(plan: Plan, dice: random.Random) -> Choose:
    if plan.order == "evenly":
        return evenly()
    if plan.order == "randomly":
        return randomly(plan.seed)
    partitions = list(range(plan.partitions))
    dice.shuffle(partitions)
    return drained_first(*partitions)


async def run(
    plan: Plan,
    pulse_type: Callable[..., PulseAgent] = PulseAgent,
    *,
    beside: Callable[[World], list[AgentSpec]] = lambda world: [],
) -> Outcome:
    """Deliver and work off, with ticks, a clock that jumps and all kinds of trouble, until everything is sealed."""
    dice = random.Random(plan.seed)
    world = World(
        partitions=plan.partitions,
        languages=LANGUAGES,
        windows_a_unit=plan.windows_a_unit,
        pulse_type=pulse_type,
        undone=random.Random(plan.seed) if plan.trouble else None,
        beside=beside,
    )
    await world.start()
    feeds = deliveries(plan, dice)
    outcome = Outcome(world, [])
    choose = order_of(plan, dice)
    promised = dict.fromkeys(feeds, LONG_AGO_MS)
    for feed in sorted(feeds):
        await world.beat(feed, LONG_AGO_MS, connected=dice.random() < 0.5, tasks=SERVED[feed])
    while feeds:
        feed = dice.choice(sorted(feeds))
        for item in feeds[feed][: dice.choice([1, 3, 10])]:
            if isinstance(item, Beat):
                promised[feed] = max(promised[feed], item.watermark_ms)
                await world.beat(feed, item.watermark_ms, connected=item.connected)
            else:
                outcome.delivered.append(Delivered(item, promised[feed]))
                await world.post(item)
            del feeds[feed][0]
        if not feeds[feed]:
            del feeds[feed]
        for _ in range(dice.randrange(6)):
            if busy := world.driver.busy():
                await world.driver.step(*choose(busy), limit=plan.batch)
        await _something_else(plan, world, dice)
    world.calm()
    limit = max(plan.batch, 7) if plan.partitions == 12 else plan.batch
    await world.driver.run_until_idle(choose, limit=limit)
    await world.settle()
    return outcome


async def _something_else(plan: Plan, world: World, dice: random.Random) -> None:
    chance, driver = dice.random(), world.driver
    if chance < 0.1:
        await driver.tick("pulse", dice.randrange(plan.partitions))
    elif chance < 0.2:
        await driver.advance(dice.choice([0.3, 2, 30, -20]))
    elif not plan.trouble or not isinstance(driver.log, MemoryLog):
        return
    elif chance < 0.3:
        driver.log.fail_next(LogUnavailable("the disk is full"))
        if busy := driver.busy():
            await driver.step(*dice.choice(busy), limit=plan.batch)
        driver.log.lose_held()  # and the failure, if nothing was written
    elif chance < 0.4:
        await driver.restart()
    elif chance < 0.5:
        driver.log.hold()
        for place in driver.busy():
            await driver.step(*place, limit=plan.batch)
        if dice.random() < 0.5:
            driver.log.release()
        else:
            driver.log.lose_held(durable=dice.randrange(driver.log.held + 1))
            await driver.restart()
