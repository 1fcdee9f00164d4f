"""The agent that gives closed windows their insights: what it writes, what it waits for, and that twice is once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from heartbeat import topics
from heartbeat.agents.insight_points import SETTLE_MS, InsightPoints
from heartbeat.engine.agent import Batch, Event
from heartbeat.engine.log import TP
from heartbeat.errors import HistoryError, Retry
from heartbeat.records import Figures, Heartbeat, Late, Pulse
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.insight_fields import InsightFields, Window
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from tests.sinks.model import late, open_history, scored

STEP = 60_000
NOW = 1_760_000_040_000 // STEP * STEP
FEEDS = {"a": ["demo"], "b": ["demo"]}
PARTITION = TP("pulse", 0)


def window(task: str, at: int, posts: int, *, revision: int = 1) -> Pulse:
    figures = Figures(posts, 0, posts, 0, 0, 0, 900_000 * posts, 100_000 * posts, 0)
    return Pulse(task, 60, NOW + at * STEP, revision, revision > 0, 0, figures, {}, {})


class Scene:
    """A history, the agent that reads it, and what it has written."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(NOW + 2 * STEP)
        self.history: History = open_history(folder)
        self.reader = HistoryReader(folder / "history.db")
        self.written: list[tuple[int, Mapping[Window, Mapping[str, float]]]] = []
        self.slept: list[float] = []
        self.offset = self.passed = self.said = self.stored = 0
        self.refuses: set[str] = set()
        self.agent = InsightPoints(
            lambda: InsightFields(self.reader, FEEDS),
            self.write,
            self.clock,
            read=self.read,
            unheard=self.unheard,
            sleep=self.sleep,
        )

    async def write(self, partition: int, found: Mapping[Window, Mapping[str, float]]) -> Mapping[Window, str]:
        self.written.append((partition, found))
        return {window: "too old" for window in found if window[0] in self.refuses}

    def read(self, tp: TP) -> int:
        return self.passed

    def unheard(self) -> Callable[[], int]:
        end = self.said
        return lambda: max(end - self.stored, 0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def batch(self, *records: Pulse | Late, age_ms: int = 60_000) -> Batch[Pulse | Late]:
        first, self.offset = self.offset, self.offset + len(records)
        made_ms = self.clock.now_ms() - age_ms
        return Batch(PARTITION, [Event(first + at, made_ms, None, record) for at, record in enumerate(records)])

    async def store(self, batch: Batch[Pulse | Late]) -> None:
        await self.history.store_windows(batch.tp, [(event.offset, event.value) for event in batch])

    async def handle(self, batch: Batch[Pulse | Late]) -> Any:
        await self.agent(batch, lambda *args, **more: pytest.fail("it emits nothing"))
        return self.written[-1][1] if self.written else None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.reader.close()
    made.history.close()


def past(posts: int = 10) -> list[Pulse]:
    return [window(task, at, posts) for at in range(-40, 0) for task in FEEDS]


async def test_closed_windows_get_their_fields_and_open_ones_none(scene: Scene) -> None:
    await scene.store(scene.batch(*past()))
    batch = scene.batch(window("a", 0, 90), window("b", 0, 10), window("a", 1, 5, revision=0), late(scored("1")))
    await scene.store(batch)
    found = await scene.handle(batch)
    assert [(window[0], window[2]) for window in found] == [("a", NOW), ("b", NOW)]
    assert found["a", 60, NOW]["voice_share"] == 0.9 and found["a", 60, NOW]["change_prev"] == 8.0
    assert found["a", 60, NOW]["spike_z"] > 7 and found["b", 60, NOW]["spike_z"] == 0
    assert scene.slept == []


async def test_a_batch_without_closed_windows_costs_nothing(scene: Scene) -> None:
    assert await scene.handle(scene.batch(window("a", 0, 5, revision=0), age_ms=0)) is None
    assert scene.slept == []


async def test_a_young_window_waits_for_those_of_other_tasks(scene: Scene) -> None:
    batch = scene.batch(*past(), window("a", 0, 5), age_ms=1_500)
    await scene.store(batch)
    await scene.handle(batch)
    assert scene.slept == [(SETTLE_MS - 1_500) / 1000]
    ahead = scene.batch(window("a", 1, 5), age_ms=-3_600_000)
    await scene.store(ahead)
    await scene.handle(ahead)
    assert len(scene.slept) == 1, "a clock that jumped back keeps nobody waiting"


async def test_it_waits_for_the_history(scene: Scene) -> None:
    await scene.store(scene.batch(*past()))
    batch = scene.batch(window("a", 0, 90), window("b", 0, 10))
    with pytest.raises(Retry, match="waits for the history"):
        await scene.handle(batch)
    assert scene.written == []
    await scene.store(batch)
    assert await scene.handle(batch)


async def test_it_waits_for_what_feeds_have_said_of_times_that_they_missed(scene: Scene) -> None:
    batch = scene.batch(*past(), window("a", 0, 90), window("b", 0, 10))
    await scene.store(batch)
    scene.said = 1
    with pytest.raises(Retry, match="what feeds have missed"):
        await scene.handle(batch)
    too_early = InsightFields(scene.reader, FEEDS).of([("a", 60, NOW)])["a", 60, NOW]
    assert {"spike_z", "change_prev"} <= too_early.keys()
    scene.said = 3  # what is said later is of later windows
    missed = Heartbeat("demo", 0, NOW, True, True, None, NOW, NOW + STEP)
    await scene.history.store_posts(("sentiment", 0), [], [missed])
    scene.stored = 1
    found = await scene.handle(batch)
    assert not {"spike_z", "change_prev"} & found["a", 60, NOW].keys(), "the window was not heard"


async def test_it_does_not_wait_for_a_history_that_passes_a_message_over(scene: Scene) -> None:
    """As it does where the message is given back to this agent alone: its file never says that it is there."""
    await scene.store(scene.batch(*past(), window("a", 0, 90), window("b", 0, 10)))
    batch = scene.batch(window("a", 0, 90))
    with pytest.raises(Retry, match="waits for the history"):
        await scene.handle(batch)
    scene.passed = scene.offset
    assert await scene.handle(batch)


async def test_again_is_the_same_and_a_correction_is_told(scene: Scene) -> None:
    await scene.store(scene.batch(*past()))
    batch = scene.batch(window("a", 0, 90), window("b", 0, 10))
    await scene.store(batch)
    first = await scene.handle(batch)
    await scene.store(later := scene.batch(window("a", 1, 700)))
    assert await scene.handle(batch) == first
    await scene.handle(later)
    corrected = scene.batch(window("a", 0, 30, revision=2))
    await scene.store(corrected)
    after = await scene.handle(corrected)
    assert after["a", 60, NOW]["voice_share"] == 0.75


async def test_trouble_with_the_history_is_no_fault_of_the_messages(tmp_path: Path, scene: Scene) -> None:
    def broken() -> InsightFields:
        raise HistoryError("it is damaged")

    agent = InsightPoints(broken, scene.write, scene.clock)
    with pytest.raises(Retry, match="it is damaged"):
        await agent(scene.batch(window("a", 0, 5)), lambda *args, **more: None)


async def test_what_is_refused_goes_to_dead_letters_with_the_reason(scene: Scene) -> None:
    newest = [window("a", 0, 90), window("b", 0, 10)]
    await scene.store(scene.batch(*past(), *newest))
    scene.passed, scene.refuses = 10**6, {"b"}
    driver = Driver(lambda: [scene.agent.spec()], partitions=1, clock=scene.clock)
    await driver.start()
    for record in newest:
        await driver.send(topics.PULSE, record, key="w")
    scene.clock.advance(SETTLE_MS / 1000)
    await driver.run_until_idle()
    [letter] = await driver.dead_letters()
    assert driver.codec.decode(letter.value) == newest[1]
    assert (letter.headers["agent"], letter.headers["reason"]) == (
        "insight-points",
        "too old (fields of insights were refused)",
    )


async def test_partitions_take_turns(scene: Scene) -> None:
    batch = scene.batch(*past(), window("a", 0, 5))
    await scene.store(batch)
    await asyncio.gather(*(scene.handle(batch) for _ in range(4)))
    assert len(scene.written) == 4 and all(each == scene.written[0] for each in scene.written)
