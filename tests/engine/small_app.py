"""The app that tests start as a real worker: `faust -A tests.engine.small_app worker`.

What it does beside the chain is said by variables: SMALL_DB (the log's file), SMALL_THROTTLE (seconds that handlers
sleep, at most), SMALL_SLEEPER (seconds that a third agent's handler sleeps), SMALL_PLAIN (a plain Faust agent, table,
timer and page beside ours), SMALL_RESUBSCRIBE (subscriptions change while it works), SMALL_BUG (an error in the engine
itself), SMALL_WEB (a port).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from pathlib import Path
from typing import Any

from mode import Service

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.engine import faults
from heartbeat.engine.agent import Batch, Emit
from heartbeat.engine.faust import HeartbeatApp
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.engine.ownership import own
from heartbeat.engine.pipeline import Pipeline, Turn
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Post
from heartbeat.testing.faults import VARIABLE, parse
from heartbeat.topics import Topic
from tests.engine.chain import Chain, post

_env = os.environ.get
PARTITIONS = 4
THROTTLE_S = float(_env("SMALL_THROTTLE", "0"))
SLOW = Topic("slow")
if _env(VARIABLE):
    faults.install(parse(_env(VARIABLE, "")))


def open_log() -> SqliteLog:
    path = Path(_env("SMALL_DB", ""))
    own(path.parent)
    return SqliteLog.open(path, clock=SystemClock())


class Throttled(Chain):
    """Sleeps a little after each batch, so that a kill hits the middle of the work."""

    def __call__(self) -> Any:
        def slowed(handler: Any) -> Any:
            async def handle(batch: Any, emit: Emit) -> None:
                await handler(batch, emit)
                await asyncio.sleep(random.random() * THROTTLE_S)

            return handle

        specs = super().__call__()
        return [dataclasses.replace(spec, handler=slowed(spec.handler), tick_s=0.05) for spec in specs]


app = HeartbeatApp(
    "small",
    open_log=open_log,
    partitions=PARTITIONS,
    web_port=int(_env("SMALL_WEB", "0")),
    topics=[*topics.ALL, SLOW],
)
chain = Throttled(PARTITIONS, max_messages=64, tick=True)
for spec in chain():
    app.add_agent(spec)


class Noted(Service):
    """Says when it starts and stops."""

    async def on_start(self) -> None:
        print(f"## service started, ready: {app.ready}", flush=True)

    async def on_stop(self) -> None:
        print(f"## service stopped, agents paused: {not app.ready}", flush=True)


app.add_service(Noted)


@app.on_recovered
def recovered() -> None:
    print(f"## recovered {len(chain.counts)} rows", flush=True)


if _env("SMALL_SLEEPER"):

    @app.batch_agent(SLOW, max_messages=10)
    async def sleeper(batch: Batch[Post], emit: Emit) -> None:
        """Sleeps."""
        print("## sleeping", flush=True)
        await asyncio.sleep(float(_env("SMALL_SLEEPER", "0")))
        emit(topics.LANGUAGE, batch.events[0].value, key="k", partition=batch.partition)

    @app.task
    async def fill() -> None:
        value = app.engine.context.codec.encode(post(1))
        await app.record_log.write(UnitWrite([Append("slow", 0, b"k", value)]))


if _env("SMALL_PLAIN"):
    plain_in = app.topic("sentiment", key_type=str, value_serializer="raw")
    plain_out = app.topic("plain-out", key_type=str, value_serializer="json")
    plain_table = app.Table("plain", default=int)
    seen = {"messages": 0, "ticks": 0}

    @app.agent(plain_in)
    async def watcher(stream: Any) -> None:
        """Counts what passes in `sentiment`, which `count` reads too."""
        async for event in stream.events():
            plain_table[event.key] += 1
            seen["messages"] += 1
            await plain_out.send(key=event.key, value={"n": plain_table[event.key]})

    @app.timer(0.1)
    async def timer() -> None:
        seen["ticks"] += 1

    @app.page("/plain")
    async def page(self: Any, request: Any) -> Any:
        return self.json({**seen, "table": sum(plain_table.values()), "ready": app.ready})


if _env("SMALL_RESUBSCRIBE"):

    @app.task
    async def resubscribe() -> None:
        for _ in range(int(_env("SMALL_RESUBSCRIBE", "0"))):
            await asyncio.sleep(0.3)
            if not app.rebalancing:
                await app.consumer.subscribe(await app.topics._update_indices())
        while app.rebalancing:
            await asyncio.sleep(0.05)
        print("## resubscribed", flush=True)


if _env("SMALL_BUG"):

    async def broken(self: Pipeline) -> Turn:
        raise KeyError("a bug in the engine")

    Pipeline._attempt = broken  # type: ignore[method-assign]
