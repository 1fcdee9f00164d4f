"""Events a second through the feed `bluesky`, for a query that one post in a hundred matches. `make bench-bluesky`.

A host in a process of its own sends a made-up day as fast as it is taken. What is measured is the feed alone: reading,
parsing, matching, and writing what matches into the log, in one process without agents.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.codec import Codec
from heartbeat.engine.log import UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.feeds.bluesky import BlueskyFeed
from heartbeat.feeds.cursors import Standing, standing
from heartbeat.feeds.jetstream_place import Place
from heartbeat.feeds.jetstream_socket import V2_PATH
from heartbeat.feeds.runner import FeedRunner
from heartbeat.health import HealthBoard
from heartbeat.settings import load
from heartbeat.tasks import Task, parse
from heartbeat.testing.jetstream_story import KEYWORD

STEP_US = 25_000


@contextmanager
def host(begin_us: int, events: int, deletions: int) -> Iterator[str]:
    """A host; gives its address without a path."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "heartbeat.testing.jetstream", "--port", str(port), "--begin-us", str(begin_us)]
    command += ["--events", str(events), "--deletions", str(deletions)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


async def measured(url: str, begin_us: int, events: int, folder: Path, knows: bool) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and messages written, for all events."""
    clock = SystemClock()
    log = SqliteLog.open(folder / "log.db", clock=clock)
    for topic in topics.ALL:
        log.create_topic(topic, 4)
    await log.write(UnitWrite([Standing("bluesky", Place(begin_us).cursor()).append(4)]))
    feed = BlueskyFeed([url], clock, grace_ms=5000)
    feed.knows_authors = knows
    runner = FeedRunner(
        feed,
        [Task("bench", "bench", parse(KEYWORD), ("bluesky",))],
        log=log,
        codec=Codec(log),
        clock=clock,
        health=HealthBoard(clock),
        settings=load(),
    )
    last_us = begin_us + (events - 1) * STEP_US
    running = asyncio.create_task(runner.run())
    began = cpu = 0.0
    while (Place.read(standing(log, "bluesky").cursor).us or 0) < last_us:
        await asyncio.sleep(0.02)
        if not began and runner.info().posts:
            began, cpu = time.perf_counter(), time.process_time()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    runner.stop()
    await running
    matched = runner.info().matched
    log.close()
    return seconds, cpu_s, matched


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    given = parser.parse_args()
    logging.disable()
    print("                                     events/s   µs CPU an event   messages written")
    cases = [
        ("v1", "/subscribe", 10, True),
        ("v2", V2_PATH, 10, True),
        ("v1, 40 % deletions", "/subscribe", 400, True),
        ("v1, 40 % deletions, all passed on", "/subscribe", 400, False),
    ]
    for name, path, deletions, knows in cases:
        begin_us = time.time_ns() // 1000 - given.events * STEP_US - 60_000_000
        with host(begin_us, given.events, deletions) as url, tempfile.TemporaryDirectory() as folder:
            seconds, cpu_s, written = asyncio.run(measured(url + path, begin_us, given.events, Path(folder), knows))
        rate, cpu_us = given.events / seconds, cpu_s / given.events * 1e6
        print(f"{name:34} {rate:10,.0f} {cpu_us:17.1f} {written:18,}", flush=True)


if __name__ == "__main__":
    main()
