"""The stream's agents as a state machine: anything may happen at any time, and the oracle has to agree in the end.

Events are those of a worker's life: feeds deliver out of order, twice, edited, deleted, late; come, go and are told
other tasks; the clock jumps; units fail or are lost; the worker stops and starts with other sizes; the log forgets.
What is heard of `sentiment` and `pulse` is collected as it comes, since the log forgets what has been replaced.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartbeat import topics
from heartbeat.engine.log import TP
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogUnavailable
from heartbeat.records import END_OF_TIME_MS, Late, Post, Pulse, Record
from heartbeat.testing import oracle
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.topics import Topic
from tests.agents.plans import LANGUAGES
from tests.agents.world import LATENESS_MS, START_MS, World, judge

T = TypeVar("T")

MEMORY: Final = "/dev/shm"
PARTITIONS: Final = 3
SIZES: Final = ((10, 60), (10, 60), (10, 30, 60), (10,), (20, 60), (10, 60, 120))
"""What a worker may be started with. Whatever is told of a window, of any size, has to be whole."""
WHOLE_MS: Final = 120_000
"""The least common multiple of all of them."""
MOST: Final = 16
"""Posts; from 10 on those of feeds that were away."""
FEEDS: Final = ("demo", "wire", "replay:1")
TASKS: Final = {"demo": ("a", "b"), "wire": ("b", "c"), "replay:1": ("again",)}
HEARD: Final = (topics.SENTIMENT, topics.PULSE)
SETTINGS: Final = settings(deadline=None, suppress_health_check=list(HealthCheck))

feeds = st.sampled_from(FEEDS)
live = st.sampled_from(["demo", "wire"])
numbers = st.integers(0, 9)
ages_s = st.sampled_from([0, 1, 4, 12, 50, 110, 170, 250, 350, 500])
"""From just now to beyond the allowed lateness, which is 120 s."""
deliveries = st.tuples(numbers, ages_s, st.sampled_from([0, 0, 0, 1, 2, -1]), st.integers(0, 3))


class Version(NamedTuple):
    """A revision of a post, the same from whichever feed it comes."""

    number: int
    rev: int
    time_ms: int


class StreamMachine(RuleBasedStateMachine):
    """See the top of the module; `on_file` runs it on the embedded log."""

    on_file = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.world = World(partitions=PARTITIONS, languages=LANGUAGES, sizes=SIZES[0])
        if self.on_file:
            self.world.driver.log = self.opened()
        self.sizes_since_ms = dict.fromkeys(SIZES[0], 0)
        self.versions: dict[tuple[str, int], dict[int, Version]] = defaultdict(dict)
        self.delivered: list[Post] = []
        self.may_be_late: set[tuple[str, str, str, str]] = set()
        self.serves = dict(TASKS)
        self.left: set[str] = set()
        self.promised = dict.fromkeys(FEEDS, START_MS - 10_000_000)
        self.connected = dict.fromkeys(FEEDS, True)
        self.sealed_ms: dict[str, int] = {}
        self.heard: dict[TP, list[Record]] = {TP(t.name, p): [] for t in HEARD for p in range(PARTITIONS)}
        self.read_to = dict.fromkeys(self.heard, 0)
        self.told: dict[tuple[str, int, int], Pulse] = {}
        self.started = False

    def opened(self) -> SqliteLog:
        return SqliteLog.open(self.folder / "log.db", clock=self.world.clock)

    def do(self, work: Awaitable[T]) -> T:
        async def call() -> T:
            return await work

        return self.runner.run(call())

    def teardown(self) -> None:
        try:
            if self.started:
                self.finish()
        finally:
            if isinstance(self.world.driver.log, SqliteLog):
                self.world.driver.log.close()
            self.runner.close()
            shutil.rmtree(self.folder)

    # -- what may happen ------------------------------------------------------------------------------------------

    @initialize(windows_a_unit=st.sampled_from([1, 3, 1000]), seed=st.integers(0, 2**32) | st.none())
    def start(self, windows_a_unit: int, seed: int | None) -> None:
        self.world.windows_a_unit = windows_a_unit
        self.world.undone = None if seed is None else random.Random(seed)
        self.do(self.world.start())
        self.started = True
        for feed in FEEDS:
            self.beat(feed)

    @rule(feed=feeds, batch=st.lists(deliveries, min_size=1, max_size=5))
    def deliver(self, feed: str, batch: list[tuple[int, int, int, int]]) -> None:
        """New posts of any age, copies, edits (whose time may be another), and older revisions."""
        for delivery in batch:
            self.deliver_one(feed, *delivery)

    @rule(feed=feeds, number=numbers)
    def delete(self, feed: str, number: int) -> None:
        """Before or after the post itself."""
        self.send(feed, Version(number, 0, self.world.clock.now_ms()), [], op="delete")

    @rule(feed=feeds, behind_s=st.sampled_from([0, 5, 5, 60]), connected=st.sampled_from([True, True, True, False]))
    def promise(self, feed: str, behind_s: int, connected: bool) -> None:
        """A heartbeat."""
        self.say(feed, behind_s, connected)

    @rule(
        seconds=st.sampled_from([15, 70, 300, 600]),
        away=st.sampled_from([None, "demo", "wire"]),
        steps=st.sampled_from([0, 10, None, None]),
        seed=st.integers(0, 2**16),
    )
    def time_goes_on(self, seconds: int, away: str | None, steps: int | None, seed: int) -> None:
        """As it does most of the time: feeds promise to be where the clock is, but one that is away."""
        self.do(self.world.driver.advance(seconds))
        for feed in FEEDS:
            self.say(feed, 5, feed != away)
        if steps is None:
            self.do(self.world.driver.run_until_idle())
        else:
            self.step(steps, 512, seed)

    @precondition(lambda self: not all(self.connected.values()))
    @rule(
        where=st.sampled_from([0.1, 0.5, 0.9]),
        number=st.integers(10, MOST - 1),
        tasks=st.integers(1, 3),
        drained=st.booleans(),
    )
    def come_back(self, where: float, number: int, tasks: int, drained: bool) -> None:
        """Those that were away deliver what was said meanwhile, however long ago: nobody may have sealed it."""
        if drained:
            self.do(self.world.driver.run_until_idle())
        for feed in FEEDS:
            if not self.connected[feed]:
                gone_ms = self.world.clock.now_ms() - self.promised[feed]
                self.deliver_one(feed, number, round(gone_ms / 1000 * where), 1, tasks)
                self.say(feed, 5, True)

    @rule(feed=live, tasks=st.sampled_from([("a", "b"), ("b", "c"), ("a", "b", "c"), ("a",), ()]))
    def serve(self, feed: str, tasks: tuple[str, ...]) -> None:
        """A feed is given other tasks."""
        self.left |= set(self.serves[feed]).difference(tasks)
        self.serves[feed] = tasks
        self.beat(feed)

    @rule(steps=st.integers(1, 12), limit=st.sampled_from([1, 2, 7, 512]), seed=st.integers(0, 2**16))
    def work(self, steps: int, limit: int, seed: int) -> None:
        """Some steps, anywhere."""
        self.step(steps, limit, seed)

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def tick(self, partition: int) -> None:
        self.do(self.world.driver.tick("pulse", partition))

    @rule(seconds=st.sampled_from([0.3, 2, 15, 70, 200, -20]))
    def time_passes(self, seconds: float) -> None:
        """Or jumps back."""
        self.do(self.world.driver.advance(seconds))

    @rule()
    def catch_up(self) -> None:
        self.do(self.world.driver.run_until_idle())

    @rule(sizes=st.sampled_from(SIZES))
    def start_again(self, sizes: Sequence[int]) -> None:
        self.restart(sizes)

    def restart(self, sizes: Sequence[int]) -> None:
        """The worker starts again on what the log holds, perhaps with windows of other sizes.

        One that is new counts at the latest from the next border on that lies behind all posts and promises.
        """
        said = [self.world.clock.now_ms(), *self.promised.values(), *(post.time_ms for post in self.delivered)]
        border_ms = (max(said) // WHOLE_MS + 1) * WHOLE_MS
        self.sizes_since_ms = {size_s: self.sizes_since_ms.get(size_s, border_ms) for size_s in sizes}
        self.world.sizes = sizes
        log = self.world.driver.log
        if isinstance(log, SqliteLog):
            log.close()
            self.do(self.world.driver.restart(self.opened()))
        else:
            self.do(self.world.driver.restart())

    @rule(
        feed=live,
        number=numbers,
        age_s=st.sampled_from([0, 12, 50]),
        sizes=st.sampled_from(SIZES),
        then=st.sampled_from(["delete", "edit", "another"]),
        meanwhile=st.sampled_from([0, 0, 15, 70]),
    )
    def change_the_sizes(
        self, feed: str, number: int, age_s: int, sizes: Sequence[int], then: str, meanwhile: int
    ) -> None:
        """A post is counted, then the sizes change, then the post does."""
        self.deliver_one(feed, number, age_s, 1, 3)
        self.do(self.world.driver.run_until_idle())
        self.restart(sizes)
        if meanwhile:
            self.time_goes_on(meanwhile, None, None, 0)
        if then == "delete":
            self.delete(feed, number)
        else:
            self.deliver_one(feed, (number + (then == "another")) % 10, age_s + meanwhile, 1, 3)

    @precondition(lambda self: not self.on_file)
    @rule(durable=st.integers(0, 3), crashes=st.booleans())
    def lose(self, durable: int, crashes: bool) -> None:
        """Units are on their way when the worker is killed: the first of them are durable. Or a write fails."""
        driver = self.world.driver
        assert isinstance(driver.log, MemoryLog)
        if crashes:
            driver.log.hold()
            for place in driver.busy():
                self.do(driver.step(*place))
            driver.log.lose_held(durable)
            self.do(driver.restart())
        elif busy := driver.busy():
            driver.log.fail_next(LogUnavailable("the disk is full"))
            self.do(driver.step(*busy[durable % len(busy)]))
            driver.log.forgive()

    @rule()
    def forget(self) -> None:
        """The log's upkeep: what is old and read goes, what has been replaced goes."""
        self.listen()
        log = self.world.driver.log
        if isinstance(log, MemoryLog):
            log.compact(topics.PULSE.name)
            return
        assert isinstance(log, SqliteLog)
        assert topics.PULSE.superseded_ms is not None
        after = {topics.PULSE.name: topics.PULSE.superseded_ms}
        self.do(Retention(log, self.world.clock, content_ms=300_000, superseded_ms=after).run_once())

    # -- how it happens -------------------------------------------------------------------------------------------

    def deliver_one(self, feed: str, number: int, age_s: int, step: int, tasks: int) -> None:
        known = self.versions[_scope(feed), number]
        newest = max(known, default=0)
        rev = newest + step if step > 0 else 0 if step < 0 else newest
        version = known.get(rev)
        if version is None:
            version = known[rev] = Version(number, rev, self.world.clock.now_ms() - age_s * 1000)
        wanted = [task for at, task in enumerate(self.serves[feed]) if tasks & (1 << at)]
        self.send(feed, version, wanted)

    def send(self, feed: str, version: Version, tasks: Sequence[str], *, op: Any = "upsert") -> None:
        number, rev, time_ms = version
        source = "x" if number % 3 else "reddit"
        content = "" if op == "delete" else f"post {number} revision {rev}"
        post = Post(str(number), source, feed, list(tasks), op, rev, content, time_ms, time_ms)
        self.delivered.append(post)
        for task in {"a", "b", "c", "again"}:
            if any(
                self.sealed_ms.get(task, 0) >= known.time_ms // 10_000 * 10_000 + 10_000 + LATENESS_MS
                for known in self.versions[_scope(feed), number].values()
            ):
                self.may_be_late.add((task, _scope(feed), source, str(number)))
        self.do(self.world.post(post))

    def step(self, steps: int, limit: int, seed: int) -> None:
        dice, driver = random.Random(seed), self.world.driver
        for _ in range(steps):
            if busy := driver.busy():
                self.do(driver.step(*dice.choice(busy), limit=limit))

    def say(self, feed: str, behind_s: int, connected: bool) -> None:
        """A feed that is away promises nothing new."""
        self.connected[feed] = connected
        if connected:
            self.promised[feed] = max(self.promised[feed], self.world.clock.now_ms() - behind_s * 1000)
        self.beat(feed)

    def beat(self, feed: str) -> None:
        """Say how far a feed is, and what it serves."""
        tasks, watermark_ms = self.serves[feed], self.promised[feed]
        self.do(self.world.beat(feed, watermark_ms, tasks=tasks, connected=self.connected[feed]))
        for task in {"a", "b", "c", "again"}:
            serving = [self.promised[by] for by in FEEDS if task in self.serves[by]]
            self.sealed_ms[task] = max(self.sealed_ms.get(task, 0), min(serving, default=0))

    def listen(self) -> None:
        """Hear what is new, and that every window is told of in order: interims, closed once, then corrections."""
        driver = self.world.driver
        for tp, heard in self.heard.items():
            for record in self.do(driver.log.fetch(tp, self.read_to[tp], 10**6, 0)):
                value = driver.codec.decode(record.value)
                heard.append(value)
                self.read_to[tp] = record.offset + 1
                if isinstance(value, Pulse):
                    before = self.told.get(value[:3])
                    revision = 0 if before is None else before.revision
                    assert value.revision == (revision + 1 if value.final else 0)
                    assert value.final or before is None or not before.final
                    self.told[value[:3]] = value

    @invariant()
    def nothing_is_thrown_out_and_windows_are_told_in_order(self) -> None:
        if self.started:
            self.listen()

    # -- the end --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Every feed delivers the newest of what it has delivered, and ends; then all figures have to be right."""
        world = self.world
        world.calm()
        for feed in FEEDS:
            for number in range(MOST):
                known = self.versions[_scope(feed), number]
                mine = [p.rev for p in self.delivered if (p.feed, p.id, p.op) == (feed, str(number), "upsert")]
                if mine and max(mine) < max(known):
                    self.send(feed, known[max(known)], self.serves[feed][:1])
        self.do(world.driver.run_until_idle())
        for feed in FEEDS:
            self.promised[feed], self.connected[feed] = END_OF_TIME_MS, True
            self.beat(feed)
        self.do(world.settle())
        for _ in range(60):  # tasks that no feed serves are sealed by the clock
            self.do(world.driver.advance(15))
        self.do(world.settle())
        self.forget()
        assert not self.do(world.driver.dead_letters())
        self.check_nothing_is_kept()
        self.check_figures(self.all_heard(topics.PULSE))
        self.check_figures(self.do(world.driver.values(topics.PULSE)))  # what a reader finds that has been away

    def all_heard(self, topic: Topic) -> list[Record]:
        return [value for tp, heard in self.heard.items() if tp.topic == topic.name for value in heard]

    def check_nothing_is_kept(self) -> None:
        world = self.world
        for partition in range(PARTITIONS):
            part = world.pulse.part(partition)
            assert not len(world.tables.windows.part(partition))
            assert not part.schedule.tasks()
            assert not part.pending
            assert not world.driver.log.count_latest(TP("windows-changelog", partition))
            assert all(not feed.feed.startswith("replay:") for feed in part.watermarks.progress())
        assert all(pulse.final for pulse in self.told.values())

    def since_ms(self, size_s: int) -> int:
        """From when on a size of the newest worker has to count."""
        return self.sizes_since_ms.get(size_s, END_OF_TIME_MS)

    def check_figures(self, published: Sequence[Record]) -> None:
        """Each post is in its windows or among the late, where it may be late at all; nothing else is anywhere."""
        reader = oracle.Reader(self.all_heard(topics.SENTIMENT), published)
        in_time = list(reader.in_time())
        late = [key[:4] for key in reader.standing if key in reader.late]
        expected = oracle.counted(self.delivered, judge, LANGUAGES)
        assert sorted([*late, *(tuple(post[:4]) for post in in_time)]) == sorted(tuple(post[:4]) for post in expected)
        assert {key for key in late if key[0] not in self.left} <= self.may_be_late
        assert all(post in expected for post in in_time)
        held, whole = reader.windows(), oracle.windows(in_time, sorted({size_s for sizes in SIZES for size_s in sizes}))
        assert held == {window: whole.get(window) for window in held}
        missing = whole.keys() - held.keys()
        assert not [window for window in missing if window.start_ms >= self.since_ms(window.size_s)]
        counted = sum(1 for value in published if isinstance(value, Late) and value.op == "add")
        assert counted >= len(late)


class FileStreamMachine(StreamMachine):
    """The same on the embedded log, whose retention is real."""

    on_file = True


def _scope(feed: str) -> str:
    return feed if feed.startswith("replay:") else "live"
