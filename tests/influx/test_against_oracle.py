"""Any order, edits, deletions, restarts, failing writes: what a real InfluxDB holds is what the oracle says."""

from __future__ import annotations

import asyncio
import tempfile
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.agents.history import specs
from heartbeat.agents.influx import InfluxAgent
from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.engine.agent import AgentSpec
from heartbeat.health import HealthBoard
from heartbeat.sinks.history import History
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.testing import oracle
from tests.agents.plans import LANGUAGES, PLANS, Plan, run
from tests.agents.world import LATENESS_MS, SIZES, World, judge
from tests.influx.held import held_by
from tests.influx.server import ORG, Influxd

KEEP_MS = 86_400_000 + LATENESS_MS
numbers = count()


class Beside:
    """The agents of history and InfluxDB beside those of the stream."""

    def __init__(self, place: InfluxPlace, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.history: History | None = None
        self.sink: InfluxSink | None = None
        self.tables = InfluxTables.made()

    def __call__(self, world: World) -> list[AgentSpec]:
        if self.history is None or self.sink is None:
            self.history = History(self.folder / "history.db", clock=world.clock)
            self.history.start()
            self.sink = InfluxSink(self.place, world.clock, HealthBoard(world.clock))
        self.tables = InfluxTables.made()
        influx = InfluxAgent(self.sink, self.history, self.tables, world.clock, keep_ms=KEEP_MS, history_wait_s=0)
        return [*specs(self.history), influx.spec()]

    async def close(self) -> None:
        if self.history is not None and self.sink is not None:
            self.history.close()
            await self.sink.close()


@given(PLANS, st.sampled_from([0, 60_000, LATENESS_MS + 60_001, 1_000_000]))
@settings(max_examples=25, deadline=None)
def test_influxdb_holds_what_the_oracle_says(shared: Influxd, plan: Plan, hurry_ms: int) -> None:
    asyncio.run(check(shared, plan.hurried(hurry_ms)))


async def check(server: Influxd, plan: Plan) -> None:
    bucket = f"example-{next(numbers)}"
    org = server.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    made = server.ask("POST", "/api/v2/buckets", {"orgID": org, "name": bucket, "retentionRules": []})
    place = InfluxPlace(server.url, ORG, bucket, server.place.token)
    with tempfile.TemporaryDirectory() as folder:
        beside = Beside(place, Path(folder))
        try:
            outcome = await run(plan, beside=beside)
            for _ in range(5):
                await outcome.world.driver.advance(60)
                await outcome.world.driver.run_until_idle()
            reader = await outcome.world.reader()
            in_time = list(reader.in_time())
            if not reader.late:
                assert sorted(in_time) == sorted(oracle.counted(outcome.posts, judge, LANGUAGES))
            assert held_by(server, bucket) == oracle.windows(in_time, SIZES)
            assert all(not len(beside.tables.again.part(number)) for number in range(plan.partitions))
        finally:
            await beside.close()
            server.ask("DELETE", f"/api/v2/buckets/{made['id']}")
