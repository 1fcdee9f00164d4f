"""Measured alone in a process: a replay through all agents, history included. `python -m benchmarks.ours FILE DIR`."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

from heartbeat.app import station as make_station
from heartbeat.replays import Replay
from heartbeat.services import running
from heartbeat.settings import load


async def main(file: Path) -> None:
    """Replay, and say how long it took."""
    station = make_station(load())
    async with running(station, lambda error: os._exit(1)) as (log, engine, feeds):
        replay = await Replay.prepare(station, log, feeds, [file], task="bench", speed=None)
        began, cpu, posts = time.perf_counter(), time.process_time(), 0
        async for progress in replay.run():
            posts = progress.posts
            rss = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 2**20
            line = {"at_s": round(time.perf_counter() - began, 1), "posts": posts, "rss_mb": rss}
            print(json.dumps(line), flush=True)
        seconds = time.perf_counter() - began
        stats = {
            name: {
                "batches": agent.stats.batches,
                "messages": agent.stats.messages,
                "handler_s": round(agent.stats.handler_s, 2),
                "commit_s": round(agent.stats.commit_s, 2),
            }
            for name, agent in engine.agents.items()
        }
    result = {"posts": posts, "seconds": seconds, "cpu_s": time.process_time() - cpu, "agents": stats}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    os.environ["HEARTBEAT_DATA_DIR"] = sys.argv[2]
    asyncio.run(main(Path(sys.argv[1])))
