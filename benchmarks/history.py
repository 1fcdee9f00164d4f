"""How long charts take from a history of a year: windows of 15 minutes of a hundred tasks. `make bench-history`.

The file is made with the real schema, in SQL. Hours and days of some tasks are added up by the history's own upkeep,
which is timed; the others get copies of theirs, so that the file is as large as a real one. Times are of the calling
thread's processor and of the wall clock, the best and the middle of some runs; cold is the first run after the pages of
the file were dropped from the system's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from aiohttp.test_utils import TestClient, TestServer

from heartbeat.clock import SystemClock
from heartbeat.health import HealthBoard
from heartbeat.settings import Settings
from heartbeat.sinks import history_file
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rollup import DAY_MS, day_of
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary
from heartbeat.tasks import Task, parse
from heartbeat.web.api import Api

STEP_MS = 900_000
LANGS = ("en", "de", "fr", "es", "pt", "tr", "it", "nl", "pl", "ja")
SOURCES = ("x", "reddit", "bluesky")
POOL = 499
ADDED_UP = 4
PARTS = "lang, source, '{}'"


def figures(dice: random.Random) -> list[int]:
    """Figures of a window's part."""
    labels = [dice.randrange(40) for _ in range(4)]
    scored = sum(labels)
    return [scored, dice.randrange(4), *labels, *(dice.randrange(scored * 1_000_000 + 1) for _ in range(3))]


def fill(path: Path, tasks: int, days: int, until_ms: int) -> int:
    """Make the file; gives how many windows it holds."""
    dice = random.Random(7)
    connection = history_file.open_for_writing(path)
    with closing(connection):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TEMP TABLE pool (k INTEGER PRIMARY KEY, f1, f2, f3, f4, f5, f6, f7, f8, f9, lang, source)"
        )
        for k in range(POOL):
            by_lang = {lang: figures(dice) for lang in LANGS}
            overall = [sum(column) for column in zip(*by_lang.values(), strict=True)]
            third = [[value // 3 for value in overall] for _ in SOURCES[1:]]
            rest = [value - 2 * (value // 3) for value in overall]
            by_source = dict(zip(SOURCES, [rest, *third], strict=True))
            row = (k, *overall, orjson.dumps(by_lang).decode(), orjson.dumps(by_source).decode())
            connection.execute(f"INSERT INTO pool VALUES ({', '.join('?' * 12)})", row)
        for number in range(tasks):
            task = connection.execute("INSERT INTO names (name) VALUES (?)", (f"task-{number}",)).lastrowid
            span = (until_ms - days * DAY_MS, until_ms, STEP_MS, task, POOL)
            moments = (
                "WITH RECURSIVE at (ms) AS (SELECT ?1 UNION ALL SELECT ms + ?3 FROM at WHERE ms + ?3 < ?2) "
                "SELECT ?4, 900, ms, {} FROM at JOIN pool ON k = (ms / ?3 * 31 + ?4 * 7) % ?5"
            )
            connection.execute(
                f"INSERT INTO windows {moments.format('1, 1, ms, f1, f2, f3, f4, f5, f6, f7, f8, f9')}", span
            )
            connection.execute(f"INSERT INTO parts {moments.format(PARTS)}", span)
            if number < ADDED_UP:
                connection.execute(
                    "INSERT INTO stale SELECT DISTINCT task, start_ms - start_ms % 86400000, 0 FROM windows"
                    " WHERE task = ? AND size_s = 900",
                    (task,),
                )
        count: int = connection.execute("SELECT count(*) FROM windows").fetchone()[0]
        connection.execute("COMMIT")
    return count


class Source:
    """The history as the pages read it."""

    def __init__(self, reader: HistoryReader) -> None:
        self._reader = reader

    async def tasks(self) -> Sequence[Summary]:
        return await asyncio.to_thread(
            lambda: [span for task in self._reader.tasks() if (span := self._reader.summary(task))]
        )

    async def windows(self, task: str, size_s: int, from_ms: int, to_ms: int, by: By) -> Sequence[FiguresRow]:
        return await asyncio.to_thread(
            lambda: list(self._reader.figures(task, size_s, from_ms=from_ms, to_ms=to_ms, by=by))
        )

    async def posts(self, task: str, limit: int) -> Sequence[PostRow]:
        return []


class Sources:
    """What the API asks, for the history alone."""

    def __init__(self, reader: HistoryReader, tasks: Sequence[str]) -> None:
        self.settings = Settings.model_validate({})
        self.clock = SystemClock()
        self.health = HealthBoard(self.clock)
        self.history = Source(reader)
        self._tasks = [Task(name, name, parse(name), ("demo",)) for name in tasks]

    def tasks(self) -> Sequence[Task]:
        return self._tasks

    def open_windows(self, task: str, size_s: int) -> Sequence[Any]:
        return ()


async def timed(what: str, work: Callable[[], Awaitable[str]], drop: Callable[[], None], runs: int) -> None:
    """Measure and print a line."""
    drop()
    begun = time.perf_counter()
    told = await work()
    cold = time.perf_counter() - begun
    walls, cpus = [], []
    for _ in range(runs):
        begun, busy = time.perf_counter(), time.process_time()
        await work()
        walls.append(time.perf_counter() - begun)
        cpus.append(time.process_time() - busy)
    print(
        f"{what:58} {told:>16} {1000 * cold:8.1f} {1000 * min(walls):8.1f} {1000 * statistics.median(walls):8.1f}"
        f" {1000 * statistics.median(cpus):8.1f}",
        flush=True,
    )


async def measure(path: Path, tasks: int, days: int, until_ms: int, runs: int) -> None:
    """Charts through the reader and through HTTP."""
    from aiohttp import web

    def drop() -> None:
        for file in (path, path.with_name(path.name + "-wal")):
            if file.exists():
                handle = os.open(file, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)

    name = f"task-{min(ADDED_UP, tasks) - 1}"
    print(f"{'':58} {'':>16} {'cold':>8} {'best':>8} {'median':>8} {'CPU':>8}   ms")
    with HistoryReader(path) as reader:
        month, whole = until_ms - 30 * DAY_MS, until_ms - days * DAY_MS

        def read(size_s: int, from_ms: int, by: By) -> Callable[[], Awaitable[str]]:
            async def work() -> str:
                rows = list(reader.figures(name, size_s, from_ms=from_ms, to_ms=until_ms, by=by))
                return f"{len(rows)} rows"

            return work

        for what, size_s, from_ms, by in (
            ("reader: 30 days of 15 min", 900, month, "all"),
            ("reader: 30 days of 15 min, by language", 900, month, "lang"),
            ("reader: 30 days of 15 min, by source", 900, month, "source"),
            ("reader: 30 days of hours, by language", 3_600, month, "lang"),
            ("reader: a year of hours", 3_600, whole, "all"),
            ("reader: a year of days, by language", 86_400, whole, "lang"),
        ):
            await timed(what, read(size_s, from_ms, by), drop, runs)  # type: ignore[arg-type]

        sources = Sources(reader, [name])
        api = Api(sources)  # type: ignore[arg-type]
        app = web.Application()
        app.router.add_get("/api/windows", api.windows)
        app.router.add_get("/api/tasks", api.tasks)
        async with TestClient(TestServer(app)) as client:

            def get(url: str) -> Callable[[], Awaitable[str]]:
                told: list[str] = []

                async def work() -> str:
                    async with client.get(url) as answer:
                        body = await answer.read()
                        assert answer.status == 200, body
                    if not told:  # once: reading it is not the server's work
                        found = orjson.loads(body)
                        told.append(
                            f"{len(found['windows'])} × {found['size']} s"
                            if "windows" in found
                            else f"{len(found['tasks'])} tasks"
                        )
                    return told[0]

                return work

            for span, from_ms in (("30 days", month), ("a year", whole)):
                for by in ("all", "lang", "source"):
                    url = f"/api/windows?task={name}&size=auto&by={by}&from={from_ms}&to={until_ms}"
                    await timed(f"HTTP: {span}, size=auto, by={by}", get(url), drop, runs)
            await timed(
                "HTTP: 30 days, size=900, by=lang",
                get(f"/api/windows?task={name}&size=900&by=lang&from={month}&to={until_ms}"),
                drop,
                runs,
            )
            await timed("HTTP: /api/tasks", get("/api/tasks"), drop, max(runs // 4, 1))


async def add_up(path: Path) -> tuple[int, float, float]:
    """Let the upkeep do what is due; gives the number of steps, their seconds in all, and the longest."""
    history = History(path, clock=SystemClock(), history_days=100_000)
    history.start()
    steps, longest, begun = 0, 0.0, time.perf_counter()
    while True:
        at = time.perf_counter()
        more = await history.maintain(SystemClock().now_ms())
        longest = max(longest, time.perf_counter() - at)
        steps += 1
        if not more:
            break
    history.close()
    spent = time.perf_counter() - begun
    with closing(history_file.open_for_writing(path)) as connection:
        columns = (
            "revision, final, stored_ms, scored, unscored, positive, neutral, negative, mixed, pos_e6, neu_e6, neg_e6"
        )
        for table, copied in (("rolled", columns), ("rolled_parts", "lang, source")):
            connection.execute(
                f"INSERT INTO {table} SELECT id, size_s, start_ms, {copied} FROM names JOIN {table} ON task = 1"
                f" WHERE id NOT IN (SELECT DISTINCT task FROM {table})"
            )
    return steps, spent, longest


def main() -> None:
    """Make the file, or use one that is there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a folder for the file, used again by the next run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        path = folder / history_file.NAME
        until_ms = day_of(SystemClock().now_ms())
        if path.exists():
            with HistoryReader(path) as reader:
                span = reader.summary("task-0")
            assert span is not None
            until_ms = span.to_ms
        else:
            begun = time.perf_counter()
            count = fill(path, given.tasks, given.days, until_ms)
            print(f"{count:,} windows of {given.tasks} tasks, made in {time.perf_counter() - begun:.0f} s")
        steps, seconds, longest = asyncio.run(add_up(path))
        print(f"upkeep: {steps:,} steps, {seconds:.0f} s in all, {1000 * longest:.0f} ms the longest")
        print(f"the file: {path.stat().st_size / 1e6:,.0f} MB\n")
        asyncio.run(measure(path, given.tasks, given.days, until_ms, given.runs))


if __name__ == "__main__":
    main()
