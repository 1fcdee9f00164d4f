"""Places learn of everything that was forgotten, and learn it again, whatever fails or is killed when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.errors import InfluxError
from heartbeat.health import HealthBoard, State
from heartbeat.sinks import history_untold
from heartbeat.sinks.history import History
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_untold import WHOLE_TASK
from heartbeat.sinks.telling import Telling
from heartbeat.testing.clock import FakeClock
from tests.sinks.model import T0

WINDOWS = [Window("t", 60, 0), Window("t", 60, 60_000), Window("u", 900, 0), Window("t", WHOLE_TASK, 10_000_000)]
ACTIONS = st.one_of(
    st.tuples(st.just("owe"), st.integers(0, 3)),
    st.tuples(st.just("release"), st.just(0)),
    st.tuples(st.just("step"), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 30)),
    st.tuples(st.just("overlap"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(1, 3)),
    st.tuples(st.just("advance"), st.sampled_from([1, 6, 60, -3600])),
)


class Somewhere:
    """A place that notes when it was told of what, and fails as often as it is said to."""

    name = "somewhere"
    again_after_ms = (5_000, 55_000)
    waits_for = ""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.fails = self.interrupted = 0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.told: dict[Window, list[int]] = {}

    async def forget_windows(self, windows: Sequence[Window]) -> None:
        await self._hear(windows)

    async def forget_task(self, task: str, before_ms: int) -> None:
        await self._hear([Window(task, WHOLE_TASK, before_ms)])

    async def _hear(self, windows: Sequence[Window]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise InfluxError("it is away")
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            self.interrupted += 1
            await meanwhile()
        for window in windows:
            self.told.setdefault(window, []).append(self._clock.now_ms())
        await asyncio.sleep(0)


class World:
    """Lives of a process, one after another, over one history."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(T0)
        self.board = HealthBoard(self.clock)
        self.place = Somewhere(self.clock)
        self.history = History(folder / "history.db", clock=self.clock)
        self.history.start()
        self.jumped = False
        self.held: list[Window] = []
        self.owed: set[Window] = set()
        self.begin()

    def begin(self) -> None:
        """A new life: what the last one held back is held back no more."""
        self.telling = Telling(self.history, [self.place], self.clock, self.board)
        self.held.clear()

    async def owe(self, window: Window) -> None:
        """From now on, whatever it was told before does not count."""
        await self.telling.owe([window])
        self.place.told.pop(window, None)
        self.held.append(window)
        self.owed.add(window)

    async def step(self) -> bool:
        """Nobody is told of what is held."""
        before = {window: list(times) for window, times in self.place.told.items()}
        left = await self.telling.step()
        assert all(self.place.told.get(window) == before.get(window) for window in self.held)
        return left

    async def act(self, what: str, number: int) -> None:
        if what == "owe":
            await self.owe(WINDOWS[number])
        elif what == "release":
            self.telling.release(self.held)
            self.held.clear()
        elif what == "step":
            await self.step()
        elif what == "kill":
            step = asyncio.ensure_future(self.telling.step())
            for _ in range(number):
                await asyncio.sleep(0)
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
            self.begin()
        elif what == "overlap":
            window, before = WINDOWS[number], self.place.interrupted
            self.place.meanwhile = lambda: self.owe(window)
            await self.telling.step()
            if self.place.interrupted > before:  # what it was told then is from before
                self.place.told.pop(window, None)
            self.place.meanwhile = None
        elif what == "fail":
            self.place.fails = number
        else:
            self.clock.advance(number)
            self.jumped |= number < 0

    async def finish(self) -> None:
        """Everything goes well from now on."""
        self.place.fails = 0
        self.telling.release(self.held)
        self.held.clear()
        assert await self.tell_all() == []
        for window in self.owed:
            first, *others = self.place.told[window]
            second = next(at for at in others if at >= first + 5_000 or self.jumped)
            assert any(at >= second + 55_000 or self.jumped for at in others), self.place.told
        assert await self.history.perform(history_untold.read) == []

    async def tell_all(self) -> list[Any]:
        for _ in range(200):
            if not await self.step():
                break
            self.clock.advance(1)
        return await self.telling.told(0)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=14))
def test_a_place_learns_everything_three_times_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    async def play() -> None:
        world = World(tmp_path_factory.mktemp("history"))
        try:
            for what, number in actions:
                await world.act(what, number)
            await world.finish()
        finally:
            world.history.close()

    asyncio.run(play())


async def test_health_says_while_a_place_cannot_be_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.owe(WINDOWS[0])
    await world.owe(WINDOWS[3])
    assert await world.telling.told(0) == [], "what nobody has released is not waited for"
    await world.act("release", 0)
    world.place.fails = 1
    await world.step()
    status = world.board.get("forgetting/somewhere")
    assert status is not None and status.state is State.WAITING and "it is away" in status.why
    assert [str(one) for one in await world.telling.told(0)] == ["somewhere (1 task and 1 window): it is away"]
    await world.step()
    status = world.board.get("forgetting/somewhere")
    assert status is not None and status.state is State.OK
    assert await world.telling.told(0) == []
    world.history.close()


async def test_whoever_waits_is_not_kept_by_a_place_that_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.owe(WINDOWS[0])
    await world.act("release", 0)
    world.place.fails = 1
    running = asyncio.ensure_future(world.telling.run())
    (pending,) = await world.telling.told(600)
    assert pending.why == "it is away"
    assert await world.telling.told(600) == [], "it is tried again by itself"
    running.cancel()
    world.history.close()


async def test_where_there_is_nobody_to_tell_nothing_is_noted(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", clock=FakeClock(T0))
    history.start()
    telling = Telling(history, [], FakeClock(T0), HealthBoard(FakeClock(T0)))
    assert await telling.owe(WINDOWS) == ()
    assert await history.perform(history_untold.read) == [] and await telling.told(600) == []
    history.close()
