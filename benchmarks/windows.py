"""What `pulse` costs at scale: posts a second, many windows closed at once, and recovery. `make bench-windows`.

Each is measured alone in a process that keeps to one core: the real agent on the real engine and log, 1,000 tasks with
windows of three sizes. Rates are by processor time of all threads, so that other load on the machine counts less.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from heartbeat import topics
from heartbeat.agents.pulse import PulseAgent
from heartbeat.agents.pulse_part import PulseTables
from heartbeat.clock import SystemClock
from heartbeat.codec import Codec
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.engine.runner import Context, Engine
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.health import HealthBoard
from heartbeat.records import BEFORE_TIME_MS, Heartbeat, Scored
from heartbeat.settings import Settings
from heartbeat.station import COLLECT_AFTER, SWITCH_INTERVAL_S
from heartbeat.topics import partition_of
from heartbeat.windows.ids import Layout, WindowId
from heartbeat.windows.state import WindowState

TASKS: Final = 1_000
PARTITIONS: Final = 4
SIZES_S: Final = (10, 60, 900)
LANGS: Final = ("en", "en", "en", "de", "es", "fr", "pt", "ja")
SOURCES: Final = ("bluesky", "bluesky", "reddit", "x")
RATE: Final = 10_000
"""Posts a second, in event time."""
BATCH_POSTS: Final[int] = Settings.model_fields["batch_posts"].default
AN_HOUR_S: Final = 3_600
_ROWS_A_UNIT: Final = 5_000


def task_name(number: int) -> str:
    """Names as long as people give them."""
    return f"task number {number}"


class CoreClock:
    """Goes on with the processor time of this process: what falls due each second is then as much on a busy machine."""

    def __init__(self) -> None:
        self._began_ms = SystemClock().now_ms()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._began_ms + time.process_time_ns() // 1_000_000


class Bench:
    """The agent `pulse` alone, on a log in a folder."""

    def __init__(self, folder: Path) -> None:
        self.clock = CoreClock()
        self.log = SqliteLog.open(folder / "log.db", clock=self.clock)
        self.board = HealthBoard(self.clock)
        self.agent = PulseAgent(
            PulseTables.in_memory(),
            self.clock,
            partitions=PARTITIONS,
            layout=Layout(SIZES_S),
            publish_ms=1_000,
            lateness_ms=900_000,
            longest_wait_ms=86_400_000,
        )
        context = Context(log=self.log, codec=Codec(self.log), clock=self.clock, board=self.board, app_id="bench")
        self.engine = Engine([self.agent.spec(max_messages=BATCH_POSTS)], context)
        self.engine.prepare(PARTITIONS)
        self.runner = self.engine.agents["pulse"]
        self._codec = Codec(self.log)  # of its own: the agent then reads every message from its bytes

    async def promise(self, watermark_ms: int, *, tasks: bool = False) -> None:
        """A heartbeat of every origin partition, in every partition."""
        names = [task_name(number) for number in range(TASKS)] if tasks else None
        await self.log.write(
            UnitWrite(
                [
                    Append(
                        topics.SENTIMENT.name,
                        partition,
                        b"bench",
                        self._codec.encode(Heartbeat("bench", origin, watermark_ms, True, tasks=names)),
                    )
                    for partition in range(PARTITIONS)
                    for origin in range(PARTITIONS)
                ]
            )
        )

    async def posts(self, posts: list[Scored]) -> None:
        """Scored posts, each in its task's partition."""
        encode = self._codec.encode
        appends = [
            Append(topics.SENTIMENT.name, partition_of(post.task, PARTITIONS), post.id.encode(), encode(post))
            for post in posts
        ]
        await self.log.write(UnitWrite(appends))

    async def work(self) -> None:
        """Until everything has been read and nothing is due."""
        self.engine.start(self.engine.everything(), lambda error: os._exit(1))
        while self.runner.lag() or any(self.agent.part(number).pending for number in range(PARTITIONS)):
            await asyncio.sleep(0.02)
        self.engine.pause()
        await self.engine.drain()


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """In a folder that goes away."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Bench(Path(temporary))
        try:
            yield made
        finally:
            made.log.close()


def scored(dice: random.Random, number: int, task: str, time_ms: int) -> Scored:
    """A post's score."""
    pos, neg = dice.random() / 2, dice.random() / 2
    label = "positive" if pos > neg else "negative"
    return Scored(
        str(number), dice.choice(SOURCES), "bench", task, "add", 0, time_ms, dice.choice(LANGS), 0.9,
        pos, 1 - pos - neg, neg, label, None, "sentiment/1.0.0", content="what was said " * 8,
    )  # fmt: skip


class Held:
    """Notes how long the event loop is held up: how late a timer of a millisecond comes.

    By the clock, and by the processor time that the loop's thread spent meanwhile: the clock also counts what other
    threads and processes take from it.
    """

    def __init__(self) -> None:
        self.by_clock: list[float] = []
        self.by_thread: list[float] = []

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            began, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self.by_clock.append((time.perf_counter() - began) * 1000 - 1)
            self.by_thread.append((time.thread_time() - cpu) * 1000)

    def __str__(self) -> str:
        most = sorted(self.by_clock)[int(len(self.by_clock) * 0.999)]
        own, clock = max(self.by_thread), max(self.by_clock)
        return f"held up for {own:.0f} ms of its own ({clock:.0f} by the clock, 99.9 % within {most:.0f})"


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    """Print where the event loop's time goes."""
    profile = cProfile.Profile()
    if wanted:
        profile.enable()
    yield
    if wanted:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(28)


async def measure_posts(profile: bool, share: float) -> None:
    """Posts a second through `pulse`, all of them waiting: units grow to what is asked for."""
    count = round(200_000 * share / RATE) * RATE
    dice = random.Random(1)
    async with bench() as made:
        start_ms = made.clock.now_ms() // 900_000 * 900_000
        await made.promise(BEFORE_TIME_MS, tasks=True)
        for second in range(count // RATE):
            times = sorted(start_ms + second * 1000 + dice.randrange(1000) for _ in range(RATE))
            await made.posts(
                [scored(dice, second * RATE + at, task_name(dice.randrange(TASKS)), t) for at, t in enumerate(times)]
            )
            await made.promise(start_ms + second * 1000 - 5000)
        ready()
        held = Held()
        watching = asyncio.ensure_future(held.watch())
        began, cpu = time.perf_counter(), time.process_time()
        with profiled(profile):
            await made.work()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        watching.cancel()
        stats = made.runner.stats
        print(
            f"posts      {count / cpu:9,.0f} a second of one core ({count / seconds:,.0f} by the wall clock; "
            f"{count:,} posts, {TASKS:,} tasks, {len(SIZES_S)} sizes; "
            f"units of {stats.messages / stats.batches:,.0f} messages; "
            f"event loop {held})"
        )


async def measure_closing(profile: bool, share: float) -> None:
    """So many windows become due with one heartbeat."""
    dice = random.Random(1)
    async with bench() as made:
        start_ms = made.clock.now_ms() // 900_000 * 900_000
        await made.promise(BEFORE_TIME_MS, tasks=True)
        each = round(100_000 * share) // TASKS
        for at in range(each):
            await made.posts(
                [scored(dice, at * TASKS + n, task_name(n), start_ms + at * 10_000 + 5_000) for n in range(TASKS)]
            )
        await made.work()
        count = sum(
            len(made.agent.part(p).schedule.windows(task_name(n))) for n in range(TASKS) for p in range(PARTITIONS)
        )
        await made.promise(start_ms + AN_HOUR_S * 250)
        ready()
        held = Held()
        watching = asyncio.ensure_future(held.watch())
        await asyncio.sleep(0.05)
        before = made.runner.stats.emitted
        began, cpu = time.perf_counter(), time.process_time()
        with profiled(profile):
            await made.work()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        watching.cancel()
        print(
            f"closing    event loop {held} ({count:,} windows closed at once in {seconds:.1f} s, "
            f"{cpu:.1f} s of one core, {made.runner.stats.emitted - before:,} messages)"
        )


async def measure_recovery(profile: bool, share: float) -> None:
    """Recovery of so many rows of the table `windows`."""
    rows = round(1_000_000 * share)
    with tempfile.TemporaryDirectory() as temporary:
        made = Bench(Path(temporary))
        start_ms = made.clock.now_ms() // 900_000 * 900_000
        figures = (9, 1, 4, 3, 2, 0, 4_123_456, 3_234_567, 1_641_977)
        parts = {lang: figures for lang in ("en", "de", "es")}
        sources = {source: figures for source in ("bluesky", "reddit")}
        row = WindowState(
            figures, parts, sources, {"sentiment/1.0.0": 9}, 1, True, start_ms, start_ms, False
        ).to_bytes()
        name = made.agent._tables.windows.changelog.name  # type: ignore[attr-defined]
        for first in range(0, rows, _ROWS_A_UNIT):
            keys = [
                (
                    task_name(number % TASKS),
                    WindowId(task_name(number % TASKS), 10, start_ms + number // TASKS * 10_000),
                )
                for number in range(first, first + _ROWS_A_UNIT)
            ]
            await made.log.write(
                UnitWrite([Append(name, partition_of(task, PARTITIONS), key.to_bytes(), row) for task, key in keys])
            )
        made.log.close()
        made = Bench(Path(temporary))
        ready()
        began, cpu = time.perf_counter(), time.process_time()
        with profiled(profile):
            found = await made.engine.load(made.engine.everything())
            loaded = time.process_time() - cpu
            for partition in range(PARTITIONS):
                made.agent.part(partition)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        made.log.close()
        print(
            f"recovery   {found / cpu:9,.0f} rows a second of one core ({found:,} rows of {len(row)} bytes in "
            f"{seconds:.1f} s, {cpu:.1f} s of one core, of which {loaded:.1f} reading)"
        )


def ready() -> None:
    """As a worker is when it has started."""
    gc.collect()
    gc.freeze()


MEASURES = {"posts": measure_posts, "closing": measure_closing, "recovery": measure_recovery}


def main() -> None:
    """Measure what is named, or everything, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measure", nargs="*", choices=[*MEASURES, []], help="by default all")
    parser.add_argument("--profile", action="store_true", help="say where the event loop's time goes")
    parser.add_argument("--share", type=float, default=1.0, help="of the amounts, for a busy machine (0.1 to 1)")
    given = parser.parse_args()
    names = given.measure or list(MEASURES)
    if len(names) > 1:
        for name in names:
            share = ["--share", str(given.share)]
            subprocess.run([sys.executable, "-m", "benchmarks.windows", name, *share], check=True, timeout=600)
        return
    if names[0] == "posts":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)
    asyncio.run(MEASURES[names[0]](given.profile, given.share))


if __name__ == "__main__":
    main()
