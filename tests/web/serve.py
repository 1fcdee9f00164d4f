"""`python -m tests.web.serve [--port N] [--tasks N]`: the pages over a small world that talks, for looking at them."""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web

from heartbeat.clock import SystemClock
from heartbeat.feeds.base import FeedState
from heartbeat.settings import Settings
from heartbeat.web import FeedInfo, install
from tests.web.world import World, some_tasks

NAMES = ["aurora", "tram", "coffee", *(f"task-{number:02d}" for number in range(4, 30))]


def make_world(tasks: int, minutes: float, rate: float, *, replay: bool = True) -> World:
    """A world with a past."""
    clock = SystemClock()
    world = World(clock, some_tasks(*NAMES[:tasks]), Settings.model_validate({}))
    now_ms = clock.now_ms()
    past_ms = now_ms - round(minutes * 60_000)
    while past_ms < now_ms:
        until_ms = min(past_ms + 60_000, now_ms)
        world.live_through(past_ms, until_ms, rate)
        past_ms = until_ms
    if replay:
        begin_ms = 1_709_290_800_000
        for second in range(0, 7_200, 7):
            world.say("replay", begin_ms + second * 1000, label=world.mood(1, begin_ms + second * 1000))
        world.close("replay", 2**62)
        world.publish()
        world.feed_infos["replay:5d1f"] = FeedInfo("replay:5d1f", False, ["replay"], FeedState.ENDED, 2**62, 1029)
    world.report()
    return world


async def talk(world: World, rate: float) -> None:
    """Let time go by."""
    before_ms = world.clock.now_ms()
    while True:
        await asyncio.sleep(1.0)
        now_ms = world.clock.now_ms()
        world.live_through(before_ms, now_ms, rate)
        world.report()
        before_ms = now_ms


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=18066)
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--rate", type=float, default=1.0)
    args = parser.parse_args()
    world = make_world(args.tasks, args.minutes, args.rate)
    app = web.Application()
    install(app, world)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", args.port).start()
    print(f"http://127.0.0.1:{args.port}/", flush=True)
    await talk(world, args.rate)


if __name__ == "__main__":
    asyncio.run(main())
