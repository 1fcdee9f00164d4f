"""Pipelines running by themselves, in real time: independence, backpressure, stopping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.codec import Codec
from heartbeat.engine import pipeline
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.log import TP, Append, UnitWrite
from heartbeat.engine.runner import Context, Engine
from heartbeat.engine.tables import MemoryTable, json_codec
from heartbeat.errors import LogUnavailable
from heartbeat.health import HealthBoard, State
from heartbeat.records import Post
from heartbeat.testing.memory_log import MemoryLog
from tests.engine.chain import Chain, oracle, post

Work = Callable[[Batch[Post], Emit], Awaitable[None]]
AT_ONCE_S, PATIENCE_S = 30.0, 90.0
"""What waits for messages waits longer by far than whoever does not, on a busy machine too."""


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_S", PATIENCE_S)


class Running:
    """An engine over a log in memory."""

    def __init__(self, specs: Sequence[AgentSpec], partitions: int = 2) -> None:
        self.log = MemoryLog(SystemClock())
        clock = SystemClock()
        self.board = HealthBoard(clock)
        self.codec = Codec(self.log)
        self.engine = Engine(specs, Context(self.log, self.codec, clock, self.board, "test"))
        self.engine.prepare(partitions)
        self.crashes: list[BaseException] = []

    async def send(self, *numbers: int, partition: int | None = None) -> None:
        count = self.log.partitions("ingest")
        await self.log.write(
            UnitWrite(
                [
                    Append("ingest", n % count if partition is None else partition, b"k", self.codec.encode(post(n)))
                    for n in numbers
                ]
            )
        )

    async def start(self) -> None:
        await self.engine.load(self.engine.everything())
        self.engine.start(self.engine.everything(), self.crashes.append)

    async def idle(self, *names: str, limit_s: float = AT_ONCE_S) -> None:
        until = time.monotonic() + limit_s
        while any(self.engine.agents[name].lag() for name in names):
            assert time.monotonic() < until, "not idle in time"
            await asyncio.sleep(0.005)

    async def stop(self, grace_s: float = PATIENCE_S) -> float:
        """How long it took."""
        began = time.monotonic()
        self.engine.pause()
        await self.engine.drain(grace_s)
        return time.monotonic() - began


def agent(work: Work, name: str = "agent", **options: object) -> AgentSpec:
    return AgentSpec(name, topics.INGEST, work, **options)  # type: ignore[arg-type]


async def test_the_chain_runs_by_itself() -> None:
    chain = Chain(2)
    run = Running(chain())
    await run.start()
    for at in range(0, 1000, 100):
        await run.send(*range(at, at + 100))
    await run.idle("relay", "count")
    await run.idle("count")
    assert await run.stop() < AT_ONCE_S
    assert dict(chain.counts.items()) == oracle(range(1000))
    assert not run.crashes
    assert run.engine.agents["relay"].stats.messages == 1000


async def test_a_slow_partition_or_agent_delays_no_other() -> None:
    quick: list[int] = []

    async def slow(batch: Batch[Post], emit: Emit) -> None:
        if batch.partition == 0:
            await asyncio.sleep(PATIENCE_S)
        quick.append(len(batch))

    handled: list[int] = []

    async def other(batch: Batch[Post], emit: Emit) -> None:
        handled.append(len(batch))

    run = Running([agent(slow, "slow"), agent(other, "other")])
    await run.send(*range(200))
    await run.start()
    await run.idle("other")
    assert (sum(quick), sum(handled)) == (100, 200)
    assert 0.1 <= await run.stop(0.1) < AT_ONCE_S  # the sleeping handler is undone after the grace
    assert run.log.committed("test-slow", TP("ingest", 0)) is None
    assert run.log.committed("test-slow", TP("ingest", 1)) == 100


async def test_idle_pipelines_stop_at_once_and_handlers_within_the_grace_finish() -> None:
    begun = asyncio.Event()

    async def work(batch: Batch[Post], emit: Emit) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        emit(topics.LANGUAGE, batch.events[0].value, key="k", partition=batch.partition)

    run = Running([agent(work)])
    await run.start()
    await asyncio.sleep(0.05)
    assert await run.stop() < AT_ONCE_S
    await run.send(*range(20), partition=0)
    await run.start()
    await begun.wait()
    assert run.log.end_offset(TP("language", 0)) == 0
    assert await run.stop() < AT_ONCE_S
    assert run.log.committed("test-agent", TP("ingest", 0)) == 20
    assert run.log.end_offset(TP("language", 0)) == 1


async def test_a_commit_is_never_cut_short_and_nothing_is_read_after_it() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None:
        pass

    run = Running([agent(work, max_inflight=1)], partitions=1)
    await run.send(*range(5))
    run.log.hold()
    await run.start()
    while not run.log.held:
        await asyncio.sleep(0.005)
    run.engine.pause()
    stopping = asyncio.ensure_future(run.engine.drain(0.05))
    await asyncio.sleep(0.3)
    assert not stopping.done()
    run.log.release()
    began = time.monotonic()
    await stopping
    assert time.monotonic() - began < AT_ONCE_S
    assert run.log.committed("test-agent", TP("ingest", 0)) == 5
    assert not run.crashes


async def test_stopping_while_the_last_unit_is_being_waited_for_does_not_wait_for_messages() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None:
        pass

    run = Running([agent(work, max_inflight=2)], partitions=1)
    await run.send(*range(5))
    run.log.hold()
    await run.start()
    while not run.log.held:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # nothing more to read: it waits for the commit before it waits for messages
    run.engine.pause()
    run.log.release()
    assert await run.stop() < AT_ONCE_S


async def test_a_commit_that_fails_while_stopping_is_undone() -> None:
    chain = Chain(1)
    run = Running(chain(), partitions=1)
    await run.send(*range(5))
    run.log.hold()
    await run.start()
    while not run.log.held:
        await asyncio.sleep(0.005)
    run.log.fail_next(LogUnavailable("the disk is full"))
    run.engine.pause()
    run.log.release()
    await run.stop()
    assert not chain.seen.part(0).get_many(["1"])
    assert not run.crashes
    await run.start()
    await run.idle("relay")
    await run.idle("count")
    await run.stop()
    assert dict(chain.counts.items()) == oracle(range(5))


async def test_units_in_flight_are_bounded() -> None:
    calls = 0

    async def work(batch: Batch[Post], emit: Emit) -> None:
        nonlocal calls
        calls += 1

    run = Running([agent(work, max_inflight=3, max_messages=1)], partitions=1)
    await run.send(*range(50))
    run.log.hold()
    await run.start()
    await asyncio.sleep(0.2)
    assert calls == 3 == run.engine.agents["agent"].stats.inflight
    run.log.release()
    await run.idle("agent")
    await run.stop()
    assert calls == 50


async def test_an_unknown_outcome_crashes_the_worker() -> None:
    run = Running(Chain(1)(), partitions=1)
    await run.send(1)
    run.log.fail_next(OSError("who knows"), after_the_fact=True)
    await run.start()
    while not run.crashes:
        await asyncio.sleep(0.005)
    assert "a restart goes on from there" in str(run.crashes[0])
    await run.stop()


async def test_a_full_disk_does_not_make_ticks_spin() -> None:
    ticks = 0

    async def work(batch: Batch[Post], emit: Emit) -> None:
        pass

    async def tick(partition: int, now_ms: int, emit: Emit) -> None:
        nonlocal ticks
        ticks += 1
        emit(topics.LANGUAGE, post(ticks), key="k", partition=partition)

    run = Running([agent(work, tick=tick, tick_s=0.01)], partitions=1)
    for _ in range(1000):
        run.log.fail_next(LogUnavailable("the disk is full"))
    await run.start()
    began = time.monotonic()
    while ticks < 3 or time.monotonic() - began < 1:
        await asyncio.sleep(0.05)
    assert ticks <= 10 * (time.monotonic() - began)  # without pauses there would be a hundred a second
    run.log.forgive()
    await run.stop()


def test_two_agents_of_one_name_are_refused() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None: ...

    with pytest.raises(ValueError, match="names of their own: agent"):
        Running([agent(work), agent(work)])


async def test_a_tick_that_has_more_to_do_comes_again_at_once_unless_messages_wait() -> None:
    done: list[str] = []

    async def work(batch: Batch[Post], emit: Emit) -> None:
        done.append(f"{len(batch)} messages")

    async def tick(partition: int, now_ms: int, emit: Emit) -> bool:
        done.append("tick")
        if len(done) == 3:
            await run.send(1, partition=0)
        return len(done) < 8

    run = Running([agent(work, tick=tick, tick_s=3600.0, linger_s=0.0)], partitions=1)
    await run.start()
    pipeline = run.engine.agents["agent"].pipeline(0)
    await pipeline.tick()
    while len(done) < 8:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    await run.stop()
    assert done == ["tick"] * 3 + ["1 messages"] + ["tick"] * 4


async def test_a_long_recovery_says_how_far_it_is() -> None:
    table = MemoryTable("counts", json_codec())

    async def work(batch: Batch[Post], emit: Emit) -> None:
        raise AssertionError("nothing is sent")

    run = Running([agent(work, tables=(table,))])
    rows = [Append(table.changelog.name, n % 2, b"%d" % n, b"1") for n in range(9_000)]
    await run.log.write(UnitWrite(rows))
    said: list[str] = []
    clock = iter(range(0, 1_000_000, 2))
    run.engine.context.timer = lambda: float(next(clock))
    loading = asyncio.ensure_future(run.engine.load(run.engine.everything()))
    while not loading.done():
        status = run.board.get("agent/agent")
        if status is not None and status.why not in said:
            assert status.state is State.WAITING
            said.append(status.why)
        await asyncio.sleep(0)
    assert await loading == 9_000
    assert said == [f"recovering counts: {done},000 of 9,000 rows" for done in (2, 4, 6, 8)]
    run.engine.context.timer = time.monotonic
    run.engine.start(run.engine.everything(), run.crashes.append)
    status = run.board.get("agent/agent")
    assert status is not None
    assert status.state is State.OK
    await run.stop()
