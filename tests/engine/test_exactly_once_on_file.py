"""The same as `test_exactly_once`, on the embedded log, with faults at its own points."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartbeat.engine import faults
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogError
from heartbeat.testing.faults import parse
from tests.engine.test_exactly_once import Action, Play

FAULTS = (
    "log.insert:fail:0.1",
    "log.begun:full:0.1,log.commit:fail:0.05",
    "log.committed:lie:0.1",
    "log.report:lie:0.03",
    "log.state:fail:0.05,log.fetch:fail:0.05",
)


@pytest.fixture(autouse=True)
def no_faults_left() -> Iterator[None]:
    yield
    faults.install(None)


class OnFile(Play):
    """Crashes open the file anew."""

    def __init__(self, path: Path, partitions: int) -> None:
        super().__init__(partitions)
        self.path = path
        self.driver.log = self.open()

    def open(self) -> SqliteLog:
        return SqliteLog.open(self.path, clock=self.driver.clock)

    async def again(self) -> None:
        """A new start, as often as it takes."""
        assert isinstance(self.driver.log, SqliteLog)
        self.driver.crash()
        self.driver.log.close()
        while True:
            log = self.open()
            try:
                await self.driver.restart(log)
                return
            except LogError:  # a fault while starting: the worker would exit, and be started again
                log.close()

    async def go(self, script: list[Action], injected: str, seed: int) -> None:
        await self.start()
        faults.install(parse(f"{injected},seed={seed}"))
        for action in script:
            try:
                if action.kind == "crash":
                    await self.again()
                elif action.kind == "tick":
                    await self.driver.advance(1)
                else:
                    await self.act(action)
            except LogError:
                await self.again()
        faults.install(None)
        self.armed.clear()
        await self.driver.run_until_idle()
        await self.verify()
        assert isinstance(self.driver.log, SqliteLog)
        self.driver.log.close()


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("injected", FAULTS)
def test_every_post_counts_once(tmp_path: Path, injected: str, partitions: int) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    kinds = ["step"] * 8 + ["drain", "fault", "crash", "tick"]
    script = [Action(dice.choice(kinds), dice.randrange(10_000), dice.randrange(10_000)) for _ in range(100)]  # type: ignore[arg-type]
    asyncio.run(OnFile(tmp_path / "log.db", partitions).go(script, injected, seed))
