"""Points a second into a real InfluxDB, and what the sink costs the pipeline at full speed. `make bench-influx`.

The pipeline is measured with and without the sink in turns, each run alone in a process. InfluxDB itself runs beside it
on the same machine, so posts a second show what both cost together; processor time is the pipeline's own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import posts
from benchmarks.pipeline import measured
from heartbeat.clock import SystemClock
from heartbeat.health import HealthBoard
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_lines import window_lines
from tests.influx.server import BUCKET, ORG, TOKEN, Influxd

WINDOWS = 20_000
PARTS = Figures(90, 10, 30, 40, 15, 5, 41_234_567, 33_456_789, 15_308_644)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if not os.environ.get("INFLUXD"):
        raise SystemExit("name an influxd: INFLUXD=$(make influxd) make bench-influx")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        server = Influxd(folder / "influxd")
        server.start()
        try:
            server.set_up()
            asyncio.run(alone(server))
            origin = posts.write(folder / "posts.jsonl", given.posts)
            print(f"{given.posts:,} {origin}, {given.rounds} rounds of each in turns")
            pipeline(server, folder, given.rounds)
        finally:
            server.stop()


async def alone(server: Influxd) -> None:
    """Lines and requests alone."""
    langs = {lang: PARTS for lang in ("en", "de", "fr", "es", "pt", "ja", "tr", "ar")}
    sources = {source: PARTS for source in ("bluesky", "reddit", "x")}
    start_ms = SystemClock().now_ms() // 10_000 * 10_000 - WINDOWS * 10_000
    windows = [
        Pulse("alone", 10, start_ms + 10_000 * number, 1, True, 0, PARTS, langs, sources, {"sentiment/1.0.0": 90})
        for number in range(WINDOWS)
    ]
    began = time.process_time()
    lines = [line for window in windows for line in window_lines(window)]
    rendering_s = time.process_time() - began
    sink = InfluxSink(server.place, SystemClock(), HealthBoard(SystemClock()))
    wall, cpu = time.perf_counter(), time.process_time()
    assert not await sink.lane("0").write(lines)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    await sink.close()
    count = len(lines)
    print(f"lines     {rendering_s / count * 1e6:6.1f} µs CPU a point")
    print(f"requests  {cpu_s / count * 1e6:6.1f} µs CPU a point, {count / wall_s:,.0f} points/s ({count:,} points)")


def pipeline(server: Influxd, folder: Path, rounds: int) -> None:
    """The whole pipeline without the sink and with it."""
    results: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    settings = {
        "HEARTBEAT_INFLUX_URL": server.url,
        "HEARTBEAT_INFLUX_ORG": ORG,
        "HEARTBEAT_INFLUX_BUCKET": BUCKET,
        "HEARTBEAT_INFLUX_TOKEN": TOKEN,
    }
    for number in range(rounds):
        for name in ("without", "with") if number % 2 == 0 else ("with", "without"):
            for key, value in settings.items():
                if name == "with":
                    os.environ[key] = value
                else:
                    os.environ.pop(key, None)
            results[name].append(measured("benchmarks.ours", folder / "posts.jsonl", folder / f"{name}{number}", 600))
    for name, runs in results.items():
        rate = statistics.median(run["posts"] / run["seconds"] for run in runs)
        cpu = statistics.median(run["cpu_s"] / run["posts"] * 1e6 for run in runs)
        print(f"{name:8} {rate:8,.0f} posts/s  {cpu:6.0f} µs CPU a post")
    stats = results["with"][-1]["agents"]["influx"]
    written = sum(1 for row in server.rows() if row["task"] == "bench")
    print(f"the sink's last run: {stats}; {written:,} points in the bucket")


if __name__ == "__main__":
    main()
