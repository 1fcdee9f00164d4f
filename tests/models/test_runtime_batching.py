"""The micro-batcher: whatever arrives in whatever pattern, everybody gets exactly their own answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.errors import Retry
from heartbeat.models.batching import Limits, MicroBatcher, Rows

POISON = 13


class Poisoned(Exception):
    pass


@dataclass
class Model:
    """Answers an item with itself; takes some steps of the loop for each turn, and chokes on a poisonous item."""

    steps: int = 1
    gate: asyncio.Event | None = None
    turns: list[list[list[tuple[int, int]]]] = field(default_factory=list)
    running: int = 0

    async def infer(self, groups: Sequence[Sequence[tuple[int, int]]]) -> list[Rows]:
        assert not self.running, "two turns at the same time"
        self.running += 1
        try:
            self.turns.append([list(group) for group in groups])
            for _ in range(self.steps):
                await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if any(length == POISON for group in groups for _, length in group):
                raise Poisoned
            return [np.array(group, np.float32).reshape(len(group), 2) for group in groups]
        finally:
            self.running -= 1

    def batcher(self, limits: Limits | None = None) -> MicroBatcher[tuple[int, int]]:
        return MicroBatcher(self.infer, length=lambda item: item[1], columns=2, limits=limits)


@dataclass(frozen=True)
class Caller:
    after: int
    lengths: tuple[int, ...]
    gives_up_after: int | None


callers = st.builds(
    Caller,
    after=st.integers(0, 12),
    lengths=st.lists(st.integers(1, 20), max_size=9).map(tuple),
    gives_up_after=st.none() | st.integers(0, 15),
)
limits = st.builds(
    Limits,
    max_cells=st.integers(1, 120),
    max_padding=st.integers(0, 40),
    full_items=st.integers(1, 12),
    max_items=st.integers(1, 6),
    linger_s=st.sampled_from([0.0, 0.0, 0.0005]),
    max_requests=st.integers(1, 4),
)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@given(arrivals=st.lists(callers, min_size=1, max_size=12), bounds=limits, pace=st.integers(0, 4))
@settings(max_examples=250, deadline=None)
def test_everybody_gets_their_own_answers(arrivals: list[Caller], bounds: Limits, pace: int) -> None:
    model = Model(steps=pace)

    async def call(number: int, caller: Caller, batcher: MicroBatcher[tuple[int, int]]) -> None:
        await steps(caller.after)
        items = [(number * 100 + place, length) for place, length in enumerate(caller.lengths)]
        asking = asyncio.ensure_future(batcher.ask(items))
        if caller.gives_up_after is not None:
            await steps(caller.gives_up_after)
            if asking.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await asking
                return
        if POISON in caller.lengths:
            with pytest.raises(Poisoned):
                await asking
        else:
            assert (await asking).tolist() == [list(item) for item in items]

    async def main() -> None:
        batcher = model.batcher(bounds)
        async with asyncio.timeout(20):
            await asyncio.gather(*(call(number, caller, batcher) for number, caller in enumerate(arrivals)))
            await batcher.close()

    asyncio.run(main())
    for turn in model.turns:
        for group in turn:
            longest = max(length for _, length in group)
            assert len(group) == 1 or len(group) * longest <= bounds.max_cells
            assert len(group) == 1 or len(group) * longest - sum(length for _, length in group) <= bounds.max_padding
        assert sum(map(len, turn)) < bounds.full_items + bounds.max_items
        assert len({number // 100 for group in turn for number, _ in group}) <= bounds.max_requests


async def test_requests_that_wait_are_merged_and_sorted_by_length() -> None:
    model = Model(gate=asyncio.Event())
    batcher = model.batcher(Limits(max_padding=3))
    first = asyncio.create_task(batcher.ask([(0, 5)]))
    await steps(5)
    others = [asyncio.create_task(batcher.ask([(n, n), (n + 100, 10 - n)])) for n in (1, 2, 3)]
    await steps(5)
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(first, *others)
    assert model.turns == [
        [[(0, 5)]],
        [[(1, 1), (2, 2), (3, 3)], [(103, 7), (102, 8), (101, 9)]],
    ]


async def test_a_full_turn_leaves_the_rest_for_the_next() -> None:
    model = Model(gate=asyncio.Event())
    batcher = model.batcher(Limits(full_items=4, max_items=3))
    asked = [asyncio.create_task(batcher.ask([(n, 1)] * 3)) for n in range(5)]
    await steps(10)
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(*asked)
    assert [sum(map(len, turn)) for turn in model.turns] == [6, 6, 3]


async def test_a_long_request_takes_several_turns_and_lets_others_between() -> None:
    model = Model()
    batcher = model.batcher(Limits(max_items=2, full_items=2))
    long = asyncio.create_task(batcher.ask([(n, 1) for n in range(6)]))
    short = asyncio.create_task(batcher.ask([(100, 1), (101, 1)]))
    order = [asyncio.create_task(_done(task, name)) for task, name in ((long, "long"), (short, "short"))]
    finished = [await each for each in asyncio.as_completed(order)]
    assert finished == ["short", "long"]
    assert (await long)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


async def _done(task: asyncio.Task[Rows], name: str) -> str:
    await task
    return name


async def test_the_queue_is_bounded_and_first_come_first_served() -> None:
    model = Model(gate=asyncio.Event())
    batcher = model.batcher(Limits(max_requests=2))
    asked = [asyncio.create_task(batcher.ask([(n, 1)])) for n in range(6)]
    await steps(20)
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(*asked)
    # Without a bound all six would have been one turn.
    assert [[number for group in turn for number, _ in group] for turn in model.turns] == [[0, 1], [2, 3], [4, 5]]


async def test_a_caller_that_gives_up_while_its_turn_runs_disturbs_nobody() -> None:
    model = Model(gate=asyncio.Event())
    batcher = model.batcher()
    gives_up, stays = asyncio.create_task(batcher.ask([(1, 1)])), asyncio.create_task(batcher.ask([(2, 2)]))
    await steps(5)
    assert len(model.turns) == 1
    gives_up.cancel()
    assert model.gate is not None
    model.gate.set()
    assert (await stays).tolist() == [[2, 2]]
    assert gives_up.cancelled()


async def test_who_fails_fails_alone() -> None:
    model = Model()
    batcher = model.batcher()
    bad, good = asyncio.create_task(batcher.ask([(1, POISON)])), asyncio.create_task(batcher.ask([(2, 2)]))
    assert (await good).tolist() == [[2, 2]]
    with pytest.raises(Poisoned):
        await bad
    assert len(model.turns) == 3, "once together, then each alone"


async def test_a_lone_request_waits_no_longer_than_the_linger() -> None:
    model = Model()
    batcher = model.batcher(Limits(linger_s=0.05))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await batcher.ask([(1, 1)])
    assert 0.05 <= loop.time() - began + 0.001 < 5


async def test_a_request_that_lingers_is_joined_by_company() -> None:
    model = Model()
    batcher = model.batcher(Limits(linger_s=20, full_items=3))
    async with asyncio.timeout(15):  # a full turn waits for no deadline
        first = asyncio.create_task(batcher.ask([(1, 1)]))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.ask([(2, 1), (3, 1)]))
    assert len(model.turns) == 1


async def test_closing_answers_what_was_taken_in_and_refuses_the_rest() -> None:
    model = Model(gate=asyncio.Event())
    batcher = model.batcher(Limits(max_requests=2, full_items=1))
    asked = [asyncio.create_task(batcher.ask([(n, 1)])) for n in range(3)]
    await steps(5)
    closing = asyncio.create_task(batcher.close())
    await steps(5)
    assert not closing.done()
    assert model.gate is not None
    model.gate.set()
    await closing
    assert [(await task).tolist() for task in asked[:2]] == [[[0, 1]], [[1, 1]]]
    with pytest.raises(Retry):
        await asked[2]
    with pytest.raises(Retry):
        await batcher.ask([(9, 9)])


async def test_closing_ends_a_linger() -> None:
    batcher = Model().batcher(Limits(linger_s=60))
    asked = asyncio.create_task(batcher.ask([(1, 1)]))
    await steps(3)
    async with asyncio.timeout(30):
        await batcher.close()
    assert (await asked).tolist() == [[1, 1]]


async def test_nothing_asked_is_nothing_answered() -> None:
    model = Model()
    rows = await model.batcher().ask([])
    assert rows.shape == (0, 2) and rows.dtype == np.float32 and not model.turns


def test_one_loop_after_the_other() -> None:
    model = Model()
    batcher = model.batcher(Limits(max_requests=1, linger_s=0.001))

    async def ask() -> list[list[list[float]]]:
        return [rows.tolist() for rows in await asyncio.gather(batcher.ask([(1, 2)]), batcher.ask([(3, 4)]))]

    async def given_up() -> None:
        model.gate = asyncio.Event()
        tasks = [asyncio.create_task(batcher.ask([(5, 6)])) for _ in range(3)]
        await steps(10)
        assert not any(task.done() for task in tasks)

    assert asyncio.run(ask()) == [[[1, 2]], [[3, 4]]]
    asyncio.run(given_up())  # its loop ends while a turn runs and others wait
    model.gate = None
    assert asyncio.run(ask()) == [[[1, 2]], [[3, 4]]]
