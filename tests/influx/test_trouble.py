"""Hanging, breaking, refusing, dying, landing late, in any order: in the end InfluxDB has the newest of everything."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

from heartbeat import topics
from heartbeat.agents.influx import NAME, InfluxAgent
from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.engine.agent import AgentSpec
from heartbeat.health import HealthBoard
from heartbeat.sinks import influx_client
from heartbeat.sinks.history import History
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace, opened
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from tests.influx.server import Influxd
from tests.influx.stand_in import StandIn
from tests.influx.test_agent import T1, window

PATIENT_S, HASTY_S = 60.0, 0.15
"""How long an answer is waited for: long enough on a busy machine too, but for where none comes."""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["work", "work", "break", "hang", "500", "429", "kill", "restart", "land"])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0])),
    ),
    min_size=5,
    max_size=25,
)


def hasty(place: InfluxPlace, *, timeout_s: float) -> InfluxDBClientAsync:
    """A client that gives up soon, whatever it was told."""
    return opened(place, timeout_s=HASTY_S)


class Run:
    """One example."""

    def __init__(self, stand_in: StandIn, folder: Path, batch: int) -> None:
        self.batch = batch
        self.stand_in, self.clock = stand_in, FakeClock(T1)
        self.history = History(folder / "history.db", clock=self.clock)
        self.sinks: list[InfluxSink] = []
        self.tables = InfluxTables.made()
        self.driver = Driver(self.build, partitions=1, clock=self.clock)
        self.newest: dict[int, int] = {}
        self.published = 0

    def build(self) -> list[AgentSpec]:
        self.tables = InfluxTables.made()
        sink = InfluxSink(self.stand_in.place, self.clock, HealthBoard(self.clock), timeout_s=PATIENT_S)
        self.sinks.append(sink)
        agent = InfluxAgent(
            sink, self.history, self.tables, self.clock, keep_ms=86_400_000, max_messages=self.batch, linger_s=0
        )
        return [agent.spec()]

    async def step(self, what: str, more: Any = None) -> None:
        if what == "publish":
            self.published += 1
            self.newest[more] = self.published
            record = window(self.published, start_ms=T1 + 10_000 * more)
            await self.driver.send(topics.PULSE, record, key="k", partition=0)
        elif what == "wait":
            await self.driver.advance(more)
        elif what == "restart":
            await self.driver.restart()
        elif what == "land":
            await self.stand_in.land()
        elif what == "kill":
            await self.kill()
        else:
            await self.work(what)

    async def work(self, how: str) -> None:
        """A turn of the agent while the server does this."""
        status = {"500": 500, "429": 429}.get(how)
        self.stand_in.answer = lambda *_: None if status is None else web.Response(status=status)
        self.stand_in.reset, self.stand_in.hang = how == "break", how == "hang"
        if self.stand_in.hang:
            await self.sinks[-1].close()  # and so the next request is made with a client of its own
            with mock.patch.object(influx_client, "opened", hasty):
                await self.driver.step(NAME, 0)
            await self.sinks[-1].close()
        else:
            await self.driver.step(NAME, 0)
        self.calm()

    async def kill(self) -> None:
        """Die with a request under way, if there is anything to do."""
        self.stand_in.hang = True
        before = len(self.stand_in.held)
        turn = asyncio.ensure_future(self.driver.step(NAME, 0))
        while len(self.stand_in.held) == before and not turn.done():
            await asyncio.sleep(0.005)
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        self.calm()
        await self.driver.restart()

    def calm(self) -> None:
        self.stand_in.reset = self.stand_in.hang = False
        self.stand_in.answer = lambda *_: None

    async def close(self) -> None:
        self.history.close()
        for sink in self.sinks:
            await sink.close()


@given(STEPS, st.sampled_from([1, 3]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_values_win(influxd: Influxd, steps: list[tuple[Any, ...]], batch: int) -> None:
    asyncio.run(check(influxd, steps, batch))


def test_a_batch_whose_connection_broke_is_in_doubt_in_the_middle_of_a_life_too(influxd: Influxd) -> None:
    before = [step for window in (0, 1, 2) for step in (("publish", window), ("work",), ("wait", 2.0))]
    broken = [("publish", 1), ("break",), ("publish", 1), ("wait", 1.0), ("work",), ("wait", 1.0), ("work",)]
    asyncio.run(check(influxd, [*before, *broken], 1))


async def check(server: Influxd, steps: list[tuple[Any, ...]], batch: int) -> None:
    server.ask(
        "POST",
        f"/api/v2/delete?org={server.place.org}&bucket={server.place.bucket}",
        {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"},
    )
    with tempfile.TemporaryDirectory() as folder:
        async with StandIn(server).serving() as stand_in:
            run = Run(stand_in, Path(folder), batch)
            run.history.start()
            try:
                await run.driver.start()
                for step in steps:
                    await run.step(*step)
                await run.driver.run_until_idle()
                await stand_in.land()
                for seconds in (1, 5, 1, 55, 5, 60):
                    await run.driver.advance(seconds)
                assert not len(run.tables.again.part(0))
                held = {row["time"]: row["total"] for row in server.rows() if row["by"] == "overall"}
                assert sorted(held.values()) == sorted(run.newest.values())
            finally:
                await run.close()
