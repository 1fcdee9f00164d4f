from __future__ import annotations

import pytest

from heartbeat import topics
from heartbeat.records import Pulse
from heartbeat.testing.driver import Driver
from heartbeat.testing.orders import drained_first, randomly
from tests.engine.chain import Chain, oracle, post


@pytest.mark.parametrize("partitions", [1, 4, 12])
async def test_the_chain_gives_what_the_oracle_says(partitions: int) -> None:
    chain = Chain(partitions)
    driver = Driver(chain, partitions=partitions)
    await driver.start()
    for number in range(300):
        await driver.send(topics.INGEST, post(number), key=str(number))
    await driver.run_until_idle(randomly(3), limit=7)
    assert dict(chain.counts.items()) == oracle(range(300))
    last = {value.task: value.overall for value in await driver.values(topics.PULSE) if isinstance(value, Pulse)}
    assert {task: [figures.scored, figures.pos_e6] for task, figures in last.items()} == oracle(range(300))


async def test_one_partition_can_be_drained_before_the_others() -> None:
    chain = Chain(4)
    driver = Driver(chain, partitions=4)
    await driver.start()
    for number in range(100):
        await driver.send(topics.INGEST, post(number), key=str(number), partition=number % 4)
    await driver.step("relay", 2)
    order = drained_first(2)
    while driver.lag("relay", 2):
        await driver.step(*order(driver.busy()))
    assert [driver.lag("relay", partition) for partition in range(4)] == [25, 25, 0, 25]


async def test_a_restart_recovers_from_the_log() -> None:
    chain = Chain(4)
    driver = Driver(chain, partitions=4)
    await driver.start()
    for number in range(200):
        await driver.send(topics.INGEST, post(number), key=str(number))
    for _ in range(5):
        for place in driver.busy()[:3]:
            await driver.step(*place, limit=9)
        await driver.restart()
    await driver.run_until_idle()
    await driver.restart()
    assert dict(chain.counts.items()) == oracle(range(200))
