"""A handler that sets a message aside: the letter comes with its unit, and the breaker does not mind."""

from __future__ import annotations

import pytest

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit, Event
from heartbeat.engine.deadletters import set_aside
from heartbeat.errors import InfluxError, LogUnavailable
from heartbeat.records import Heartbeat
from heartbeat.testing.driver import Driver
from heartbeat.testing.memory_log import MemoryLog


async def aside(batch: Batch[Heartbeat], emit: Emit) -> None:
    for event in batch:
        set_aside(event, InfluxError("refused"), at_ms=7)


async def test_letters_come_with_the_unit_and_do_not_count_for_the_breaker() -> None:
    driver = Driver(lambda: [AgentSpec("picky", topics.PULSE, aside)], partitions=1)
    await driver.start()
    beats = [Heartbeat("demo", 0, number, True) for number in range(50)]
    for beat in beats:
        await driver.send(topics.PULSE, beat, key="k")
    assert isinstance(driver.log, MemoryLog)
    driver.log.fail_next(LogUnavailable("the disk is full"))
    await driver.step("picky", 0)
    assert not await driver.dead_letters()
    await driver.run_until_idle(limit=1)
    letters = await driver.dead_letters()
    assert [driver.codec.decode(letter.value) for letter in letters] == beats
    assert [letter.headers["offset"] for letter in letters] == [str(number) for number in range(50)]
    assert {(letter.key, letter.headers["agent"], letter.headers["reason"]) for letter in letters} == {
        (b"k", "picky", "refused")
    }
    runner = driver.agent("picky")
    assert runner.stats.dead_letters == 50 and not runner.breaker.is_open


def test_only_a_handler_can() -> None:
    with pytest.raises(RuntimeError, match="only a handler"):
        set_aside(Event(0, 0, None, Heartbeat("demo", 0, 0, True)), InfluxError("refused"), at_ms=0)
