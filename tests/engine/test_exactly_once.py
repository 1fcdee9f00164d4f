"""Every post counted once, whatever fails, in whatever order partitions are read: against an oracle in plain Python.

A test plays a script of actions against the driver, then lets everything run to its end and compares: the tables in
memory, the tables as a new start recovers them, what each topic holds, and the dead letters.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat import topics
from heartbeat.engine.commits import Commits
from heartbeat.engine.log import UnitWrite
from heartbeat.engine.tables import TableMisuse
from heartbeat.engine.unit import Unit
from heartbeat.errors import LogUnavailable, Retry, StaleUnit
from heartbeat.records import Pulse, Scored
from heartbeat.testing.driver import Driver
from heartbeat.testing.memory_log import MemoryLog
from tests.engine.chain import Chain, oracle, post

POSTS = 120


class Action(NamedTuple):
    """One thing that happens; `a` and `b` choose where and how much."""

    kind: Literal["step", "drain", "hold", "release", "fail", "fail after the fact", "fault", "crash", "tick"]
    a: int
    b: int


KINDS = ("drain", "hold", "release", "fail", "fail", "fail after the fact", "fault", "fault", "crash", "tick")
Kind = st.sampled_from(["step"] * 12 + list(KINDS))
Script = st.lists(st.builds(Action, Kind, st.integers(0, 10_000), st.integers(0, 10_000)), max_size=120)


class Play:
    """A driver, the faults that wait for their message, and the script's progress."""

    def __init__(self, partitions: int, *, checked: bool = True, in_place: bool = False) -> None:
        self.armed: defaultdict[tuple[str, int], list[Callable[[], Exception]]] = defaultdict(list)
        self.faulted: set[tuple[str, int]] = set()
        self.chain = Chain(partitions, fault=self.fault, max_messages=8, tick=True, in_place=in_place)
        self.driver = Driver(self.chain, partitions=partitions, checked=checked)

    @property
    def log(self) -> MemoryLog:
        assert isinstance(self.driver.log, MemoryLog)
        return self.driver.log

    def fault(self, agent: str, number: int) -> None:
        if waiting := self.armed.get((agent, number)):
            self.faulted.add((agent, number))
            raise waiting.pop()()

    async def start(self) -> None:
        await self.driver.start()
        for number in range(POSTS):
            await self.driver.send(topics.INGEST, post(number), key=str(number))

    async def act(self, action: Action) -> None:
        """Do it; an error that only a restart can mend leads to one."""
        driver = self.driver
        try:
            match action.kind:
                case "step":
                    place = driver.places()[action.a % len(driver.places())]
                    await driver.step(*place, limit=1 + action.b % 8)
                case "drain":
                    place = driver.places()[action.a % len(driver.places())]
                    for _ in range(20):
                        await driver.step(*place)
                case "hold":
                    self.log.hold()
                case "release":
                    self.log.release(None if action.a % 2 else 1 + action.b % 3)
                case "fail":
                    self.log.fail_next(LogUnavailable("injected"))
                case "fail after the fact":
                    self.log.fail_next([LogUnavailable, OSError][action.a % 2]("injected"), after_the_fact=True)
                case "fault":
                    kinds: list[Callable[[], Exception]] = [
                        lambda: Retry("injected"),
                        lambda: RuntimeError("injected"),
                        lambda: LogUnavailable("injected"),
                    ]
                    self.armed[["relay", "count"][action.a % 2], action.b % POSTS].append(kinds[action.a % 3])
                case "crash":
                    driver.crash(durable=action.b % (self.log.held + 1))
                    await driver.start()
                case "tick":
                    self.log.release()
                    await driver.advance(1)
        except StaleUnit:
            await self.again()

    async def again(self) -> None:
        """What a worker does that has to be started again."""
        await self.driver.restart()

    async def finish(self) -> None:
        """Nothing goes wrong any more: work to the end, and stop."""
        self.armed.clear()
        self.log.forgive()
        self.log.release()
        for _ in range(20):
            try:
                await self.driver.run_until_idle()
                break
            except StaleUnit:
                await self.again()

    async def verify(self) -> None:
        driver, partitions = self.driver, self.driver.partitions
        letters = [(letter.headers["agent"], letter) for letter in await driver.dead_letters()]
        dead: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for agent, letter in letters:
            value = driver.codec.decode(letter.value)
            assert isinstance(value, Scored | type(post(0)))
            dead[agent][int(value.id)] += 1
        assert all(count == 1 for counts in dead.values() for count in counts.values()), "thrown out twice"
        assert {(agent, number) for agent in dead for number in dead[agent]} <= self.faulted, "thrown out for nothing"

        relayed = [n for n in range(POSTS) if n not in dead["relay"]]
        found = Counter(int(value.id) for value in await driver.values(topics.SENTIMENT) if isinstance(value, Scored))
        assert found == Counter(relayed), "topic sentiment: lost or doubled"
        times: dict[str, int] = {}
        for partition in range(partitions):
            times |= self.chain.seen.part(partition).get_many([str(number) for number in range(POSTS)])
        assert times == {str(number): 1 for number in relayed}, "table seen"

        want = oracle([number for number in relayed if number not in dead["count"]])
        self.compare(want)
        last: dict[str, list[int]] = {}
        ticks: defaultdict[int, list[int]] = defaultdict(list)
        for message in await driver.read(topics.PULSE):
            value = message.value
            assert isinstance(value, Pulse)
            if value.task == "ticks":
                ticks[message.partition].append(value.revision)
                continue
            assert value.overall.scored > last.get(value.task, [0])[0], "topic pulse: repeats or goes back"
            last[value.task] = [value.overall.scored, value.overall.pos_e6]
        assert last == want, "topic pulse"
        for partition, numbers in ticks.items():
            assert numbers == list(range(1, len(numbers) + 1)), "ticks: lost or doubled"
            assert self.chain.counts.part(partition).get("ticks") == [len(numbers), 0]
        await driver.restart()
        self.compare(want)

    def compare(self, want: dict[str, list[int]]) -> None:
        assert {task: row for task, row in self.chain.counts.items() if task != "ticks"} == want, "table counts"


async def play(partitions: int, script: list[Action], **options: bool) -> None:
    one = Play(partitions, **options)
    await one.start()
    for action in script:
        await one.act(action)
    await one.finish()
    await one.verify()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([1, 4, 12]), Script)
def test_every_post_counts_once_whatever_fails(partitions: int, script: list[Action]) -> None:
    asyncio.run(play(partitions, script))


def scripts(count: int, *kinds: str) -> list[list[Action]]:
    """Fixed scripts with plenty of these, for the controls."""
    out = []
    for seed in range(count):
        generator = random.Random(seed)
        choices = ["step"] * 6 + list(kinds)
        out.append(
            [
                Action(generator.choice(choices), generator.randrange(10_000), generator.randrange(10_000))  # type: ignore[arg-type]
                for _ in range(150)
            ]
        )
    return out


def noticed(count: int, *kinds: str, **options: bool) -> int:
    """In how many of so many scripts something is found to be wrong."""
    wrong = 0
    for script in scripts(count, *kinds):
        try:
            asyncio.run(play(4, script, **options))
        except (AssertionError, TableMisuse, KeyError):
            wrong += 1
    return wrong


ALL_KINDS = ("fault", "fault", "fault", "fail", "hold", "release", "tick")


def test_nothing_is_noticed_while_nothing_is_broken() -> None:
    assert noticed(10, *ALL_KINDS, "crash", "fail after the fact") == 0


def test_control_without_rolling_back_it_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unit, "rollback", lambda self: None)
    assert noticed(10, *ALL_KINDS) >= 9


def test_control_without_comparing_offsets_it_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryLog._commit

    def careless(self: MemoryLog, unit: UnitWrite) -> list[int]:
        steps = [step._replace(expected=self.committed(step.group, step.tp)) for step in unit.advances]
        return real(self, unit._replace(advances=steps))

    monkeypatch.setattr(MemoryLog, "_commit", careless)
    assert noticed(10, *ALL_KINDS) >= 9


def test_control_values_changed_in_place_would_be_noticed() -> None:
    assert noticed(10, *ALL_KINDS, in_place=True, checked=False) >= 9
    assert noticed(3, "tick", in_place=True, checked=True) == 3


def test_control_a_tick_whose_outcome_is_not_looked_up_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Commits, "_stored", lambda self, name: 0)
    assert noticed(10, "tick", "tick", "fail after the fact") >= 9
