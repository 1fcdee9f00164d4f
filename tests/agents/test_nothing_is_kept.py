"""An hour of many tasks, few of which are active: what is kept is what is open, at any size of the past."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from heartbeat import topics
from heartbeat.agents.scored import scored_table
from heartbeat.engine import superseding
from heartbeat.engine.log import TP, Append, UnitWrite
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Heartbeat, Pulse
from heartbeat.testing.clock import FakeClock
from tests.agents.world import HORIZON_MS, LATENESS_MS, START_MS, World, post

TASKS: Final = tuple(f"task {number}" for number in range(1000))
ACTIVE: Final = TASKS[::20]
SIZES: Final = (10, 60, 900)
BLOCK_MS: Final = 900_000
STEP_S: Final = 60
TABLES: Final = ("windows", "watermarks", "served", "progress")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock(START_MS // BLOCK_MS * BLOCK_MS)
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    made = World(sizes=SIZES, clock=clock, log=log)
    await made.start()
    yield made
    log.close()


class Hour:
    """Sends what a feed would, and lets the log forget as a worker does; nobody reads `pulse`."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.driver.log, SqliteLog)
        self.world, self.log, self.dice = world, world.driver.log, random.Random(1)
        self.log.register_group("a sink that is away", topics.PULSE.name)
        after_ms = topics.PULSE.superseded_ms
        assert after_ms is not None
        self.retention = Retention(
            self.log, world.clock, content_ms=600_000, superseded_ms={topics.PULSE.name: after_ms}
        )
        self.sent: list[int] = []

    async def send(self, posts: int, *, tasks: tuple[str, ...] | None = None) -> None:
        """So many posts of the last minute, for active tasks, and a heartbeat behind them."""
        world, encode = self.world, self.world.driver.codec.encode
        appends = []
        for _ in range(posts):
            number, at_ms = len(self.sent), world.clock.now_ms() - self.dice.randrange(STEP_S * 1000)
            self.sent.append(at_ms)
            said = post(number, (at_ms - START_MS) / 1000, tasks=[self.dice.choice(ACTIVE)])
            key = topics.post_key(said.source, said.id)
            appends.append(Append("ingest", topics.partition_of(key, world.partitions), key.encode(), encode(said)))
        for partition in range(world.partitions):
            beat = Heartbeat("demo", partition, world.clock.now_ms() - STEP_S * 1000, True, True, tasks)
            appends.append(Append("ingest", partition, b"demo", encode(beat)))
        await self.log.write(UnitWrite(appends))
        await world.driver.run_until_idle()

    async def pass_by(self, seconds: int) -> None:
        """With ticks once a second at the end, since windows are published once a second."""
        await self.world.driver.advance(seconds - 2, tick=False)
        for _ in range(2):
            await self.world.driver.advance(1)
            await self.world.driver.run_until_idle()
        await self.retention.run_once()

    def rows(self) -> dict[str, int]:
        return {
            name: sum(self.log.count_latest(TP(f"{name}-changelog", p)) for p in range(self.world.partitions))
            for name in TABLES
        }

    def in_memory(self) -> int:
        return sum(len(self.world.tables.windows.part(p)) for p in range(self.world.partitions))

    def scored(self) -> int:
        store = self.log.state(scored_table().name)
        return sum(store.count(p) for p in range(self.world.partitions))


async def test_what_is_kept_is_what_is_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = Hour(world)
    await hour.send(0, tasks=TASKS)
    most = 0
    for _ in range(60):
        await hour.pass_by(STEP_S)
        await hour.send(40)
        # (a window may wait for its block's end, the lateness, and the feed, which is a minute behind)
        since_ms = (world.clock.now_ms() - LATENESS_MS - 2 * STEP_S * 1000) // BLOCK_MS * BLOCK_MS
        recent = sum(at_ms >= since_ms for at_ms in hour.sent)
        assert hour.in_memory() == hour.rows()["windows"] <= len(SIZES) * recent
        most = max(most, hour.in_memory())
    assert len(hour.sent) == hour.scored() == 2400
    assert most > 300

    # Everybody falls silent: windows close and seal, and nothing is left of them.
    for _ in range(BLOCK_MS // 60_000 + LATENESS_MS // 60_000 + 3):
        await hour.pass_by(STEP_S)
        await hour.send(0)
    assert hour.in_memory() == 0
    rows = hour.rows()
    assert rows["windows"] == 0
    assert rows["watermarks"] == world.partitions**2
    assert rows["served"] == world.partitions**2
    assert rows["progress"] <= len(TASKS) + world.partitions
    assert all(not world.pulse.part(p).schedule.tasks() for p in range(world.partitions))

    # Of what nobody has read there is one record of each window, and the first one.
    monkeypatch.setattr(superseding, "SHARE", 0.0)
    await hour.pass_by(STEP_S)
    published = [value for value in await world.pulses() if isinstance(value, Pulse)]
    windows = {value[:3] for value in published}
    assert len(windows) <= len(published) <= len(windows) + world.partitions
    assert all(value.final for size in SIZES for value in _newest(published, size))
    assert sum(value.overall.scored + value.overall.unscored for value in _newest(published, 10)) == 2400

    # A day later nothing is remembered of the posts, and of texts there has been nothing for long.
    world.clock.advance(HORIZON_MS / 1000)
    for _ in range(8):
        await world.driver.tick("sentiment")
    assert hour.scored() == 0
    await hour.pass_by(STEP_S)
    sizes = hour.log.sizes()
    assert sizes["sentiment"] == sizes["language"] == sizes["ingest"] == 0


def _newest(published: list[Pulse], size_s: int) -> list[Pulse]:
    return list({value[:3]: value for value in published if value.size_s == size_s}.values())
