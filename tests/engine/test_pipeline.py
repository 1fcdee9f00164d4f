from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.deadletters import reason_of
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.engine.tables import TableMisuse
from heartbeat.errors import LogUnavailable, Retry, StaleUnit
from heartbeat.health import State
from heartbeat.records import Heartbeat, Post, Scored
from heartbeat.testing.driver import Driver
from heartbeat.testing.memory_log import MemoryLog
from tests.engine.chain import Chain, post

Work = Callable[[Batch[Post], Emit], Awaitable[None]]


def agents(work: Work, **options: Any) -> Callable[[], Sequence[AgentSpec]]:
    return lambda: [AgentSpec("agent", topics.INGEST, work, **options)]


async def driver(build: Callable[[], Sequence[AgentSpec]], posts: int = 0, partitions: int = 1) -> Driver:
    out = Driver(build, partitions=partitions)
    await out.start()
    for number in range(posts):
        await out.send(topics.INGEST, post(number), key=str(number), partition=number % partitions)
    return out


def memory(of: Driver) -> MemoryLog:
    assert isinstance(of.log, MemoryLog)
    return of.log


def state(of: Driver) -> State:
    status = of.board.get("agent/agent") or of.board.get("agent/relay")
    return status.state if status else State.OK


async def test_the_bad_message_alone_goes_to_dead_letters() -> None:
    handled: list[int] = []

    async def work(batch: Batch[Post], emit: Emit) -> None:
        numbers = [int(event.value.id) for event in batch]
        if 5 in numbers:
            raise KeyError("what the post says")
        for event in batch:
            emit(topics.LANGUAGE, event.value, key=event.key or "", partition=0)
        handled.extend(numbers)

    run = await driver(agents(work), posts=16)
    run.clock.advance(3)
    await run.run_until_idle()
    assert handled == [n for n in range(16) if n != 5]
    [letter] = await run.dead_letters()
    assert letter.key == b"5"
    assert letter.value == run.codec.encode(post(5))
    line = letter.headers.pop("reason")
    assert line.startswith("KeyError at test_pipeline.py:") and "post says" not in line
    assert letter.headers == {
        "topic": "ingest",
        "partition": "0",
        "offset": "5",
        "agent": "agent",
        "error": "KeyError",
        "at_ms": str(run.clock.now_ms()),
    }
    stats = run.agent("agent").stats
    assert (stats.messages, stats.dead_letters, stats.inflight) == (16, 1, 0)


async def test_what_cannot_be_decoded_is_thrown_out_without_asking_the_handler() -> None:
    calls: list[int] = []

    async def work(batch: Batch[Post], emit: Emit) -> None:
        calls.append(len(batch))

    run = await driver(agents(work), posts=4)
    rubbish = [b"", b"rubbish", b"\x00\x00\x00\x00\x63body", run.codec.encode(post(1))[:-3]]
    for raw in rubbish:
        await run.send(topics.INGEST, raw, key="x", partition=0)
    await run.log.write(UnitWrite([Append("ingest", 0, b"\xff\xfe", run.codec.encode(post(9)))]))
    await run.log.write(UnitWrite([Append("ingest", 0, b"none", None)]))
    await run.send(topics.INGEST, post(4), key="4", partition=0)
    await run.run_until_idle()
    assert calls == [4, 1]
    letters = await run.dead_letters()
    assert [letter.value for letter in letters] == [*rubbish, run.codec.encode(post(9)), None]
    assert {letter.headers["error"] for letter in letters} == {"UndecodableRecord"}
    assert state(run) is State.OK


async def test_retry_gives_the_same_batch_again_and_only_this_partition_waits() -> None:
    seen: list[tuple[int, list[str]]] = []
    busy = True

    async def work(batch: Batch[Post], emit: Emit) -> None:
        seen.append((batch.partition, [event.value.id for event in batch]))
        if batch.partition == 0 and busy:
            raise Retry("the other side is busy", after_s=7.5)

    run = await driver(agents(work), posts=8, partitions=2)
    assert not await run.step("agent", 0)
    assert await run.step("agent", 1)
    status = run.board.get("agent/agent")
    assert status is not None and (status.state, status.why) == (State.WAITING, "the other side is busy")
    run.clock.advance(7.4)
    assert not await run.step("agent", 0)
    assert len(seen) == 2
    run.clock.advance(0.2)
    busy = False
    assert await run.step("agent", 0)
    assert seen[0] == seen[2] == (0, ["0", "2", "4", "6"])
    assert state(run) is State.OK
    assert not await run.dead_letters()


async def test_waits_without_a_time_of_their_own_grow_and_begin_anew_after_success() -> None:
    fail = True

    async def work(batch: Batch[Post], emit: Emit) -> None:
        if fail:
            raise Retry("busy")

    run = await driver(agents(work, max_messages=1, backoff_s=1.0), posts=2)

    async def wait_s() -> float:
        began = run.clock.now_ms()
        handled = run.agent("agent").stats.retries
        while run.agent("agent").stats.retries == handled:
            await run.step("agent", 0)
            run.clock.advance(0.01)
        return (run.clock.now_ms() - began) / 1000

    waits = [await wait_s() for _ in range(9)]
    assert waits[0] < 0.1  # the first attempt is at once
    assert all(0.74 * 2**n <= wait <= 1.27 * 2**n for n, wait in enumerate(waits[1:6]))
    assert 22 < waits[-1] <= 38
    fail = False
    run.clock.advance(60)
    await run.step("agent", 0)
    fail = True
    await run.step("agent", 0)
    assert await wait_s() < 1.3


async def test_the_breaker_keeps_a_bug_from_throwing_everything_out() -> None:
    broken = True

    async def work(batch: Batch[Post], emit: Emit) -> None:
        if broken:
            raise ZeroDivisionError

    run = await driver(agents(work), posts=400, partitions=2)
    for _ in range(3000):
        await run.step("agent", 0)
    assert len(await run.dead_letters()) == 19
    status = run.board.get("agent/agent")
    assert status is not None and status.state is State.FAILED
    assert "20 messages in a row" in status.why and "ZeroDivisionError" in status.why
    assert "offset 19 of ingest/0" in status.remedy
    assert not await run.step("agent", 1)  # the whole agent waits
    for _ in range(50):
        run.clock.advance(20)
        await run.step("agent", 0)
        await run.step("agent", 1)
    assert len(await run.dead_letters()) == 19
    broken = False
    run.clock.advance(300)
    await run.run_until_idle()
    for partition in (0, 1):
        while run.lag("agent", partition):
            run.clock.advance(1)
            await run.step("agent", partition)
    assert len(await run.dead_letters()) == 19
    assert state(run) is State.OK


async def test_a_restart_does_not_give_a_bug_twenty_more() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None:
        raise ZeroDivisionError

    run = await driver(agents(work), posts=100)
    for _ in range(5):
        for _ in range(200):
            await run.step("agent", 0)
        await run.restart()
    assert len(await run.dead_letters()) == 19


async def test_ticks_come_between_batches_under_load_and_are_units() -> None:
    running: list[str] = []
    ticks: list[tuple[int, int]] = []

    async def work(batch: Batch[Post], emit: Emit) -> None:
        assert not running
        running.append("batch")
        await asyncio.sleep(0)
        running.pop()

    async def tick(partition: int, now_ms: int, emit: Emit) -> None:
        assert not running
        ticks.append((partition, now_ms))
        emit(topics.LANGUAGE, Heartbeat("demo", partition, now_ms, True), key="demo", partition=partition)

    run = await driver(agents(work, tick=tick, tick_s=1.0, max_messages=1), posts=100)
    for _ in range(80):
        run.clock.advance(0.1)
        await run.step("agent", 0)
    assert 6 <= len(ticks) <= 8
    assert run.lag("agent", 0) < 100 - 60
    assert len(await run.read(topics.LANGUAGE)) == len(ticks)


async def test_a_tick_that_fails_is_undone_and_tried_again_while_batches_go_on() -> None:
    fail = True
    handled = 0

    async def work(batch: Batch[Post], emit: Emit) -> None:
        nonlocal handled
        handled += len(batch)

    async def tick(partition: int, now_ms: int, emit: Emit) -> None:
        emit(topics.LANGUAGE, Heartbeat("demo", partition, now_ms, True), key="demo", partition=partition)
        if fail:
            raise RuntimeError("a bug")

    run = await driver(agents(work, tick=tick, tick_s=1.0, max_messages=1), posts=300)
    states = []
    for _ in range(100):
        run.clock.advance(1)
        await run.step("agent", 0)
        states.append(state(run))
    assert states[2] is State.WAITING and states[-1] is State.FAILED
    assert handled > 80
    assert not await run.read(topics.LANGUAGE)
    fail = False
    run.clock.advance(30)
    await run.step("agent", 0)
    assert state(run) is State.OK
    assert len(await run.read(topics.LANGUAGE)) == 1


async def test_a_full_disk_is_waited_for() -> None:
    chain = Chain(1)
    run = await driver(chain, posts=50)
    for _ in range(6):
        memory(run).fail_next(LogUnavailable("the disk is full"))
    assert not await run.step("relay", 0)
    status = run.board.get("agent/relay")
    assert status is not None and (status.state, "the disk is full" in status.why) == (State.WAITING, True)
    await run.run_until_idle()
    assert state(run) is State.OK
    assert run.agent("relay").stats.rewinds == 6
    ids = [value.id for value in await run.values(topics.SENTIMENT) if isinstance(value, Scored)]
    assert sorted(map(int, ids)) == list(range(50))
    assert set(chain.seen.part(0).get_many([str(n) for n in range(50)]).values()) == {1}


async def test_units_behind_one_that_fails_are_undone_with_it() -> None:
    chain = Chain(1, max_messages=10, max_inflight=3)
    run = await driver(chain, posts=30)
    log = memory(run)
    log.hold()
    await run.step("relay", 0)
    await run.step("relay", 0)
    assert log.held == 2
    log.fail_next(LogUnavailable("no"))
    log.release()
    assert not await run.step("relay", 0)
    assert run.agent("relay").stats.inflight == 0
    assert run.lag("relay", 0) == 30
    assert not chain.seen.part(0).get_many(["1", "11"])
    await run.run_until_idle()
    assert len(await run.values(topics.SENTIMENT)) == 30


async def test_an_error_reported_after_the_fact_needs_a_restart() -> None:
    chain = Chain(1)
    run = await driver(chain, posts=50)
    memory(run).fail_next(OSError("who knows"), after_the_fact=True)
    with pytest.raises(StaleUnit, match="a restart goes on from there"):
        await run.step("relay", 0)
    await run.restart()
    await run.run_until_idle()
    assert len(await run.values(topics.SENTIMENT)) == 50


async def test_so_does_one_about_a_tick() -> None:
    chain = Chain(1, tick=True)
    run = await driver(chain)
    memory(run).fail_next(LogUnavailable("no"))
    await run.tick("count")
    await run.tick("count")
    assert len(await run.values(topics.PULSE)) == 1
    memory(run).fail_next(LogUnavailable("no, or so it seems"), after_the_fact=True)
    with pytest.raises(StaleUnit, match="a tick's unit became durable"):
        await run.tick("count")
    await run.restart()
    await run.tick("count")
    assert chain.counts.part(0).get("ticks") == [3, 0]


async def test_another_reader_of_the_partition_is_noticed() -> None:
    run = await driver(Chain(1), posts=50)
    other = Driver(Chain(1), partitions=1, log=run.log)
    await other.start()
    await other.step("relay", 0, limit=5)
    with pytest.raises(StaleUnit):
        await run.step("relay", 0, limit=7)


async def test_gaps_and_a_new_group_on_an_old_topic() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None:
        seen.extend(event.offset for event in batch)

    seen: list[int] = []
    run = await driver(agents(work), posts=20)
    memory(run).trim(run.agent("agent").pipeline(0).tp, 7)
    await run.restart()
    await run.run_until_idle()
    assert seen == list(range(7, 20))
    await run.restart()
    await run.run_until_idle()
    assert seen == list(range(7, 20))


async def test_misuse_of_a_table_reaches_the_test_instead_of_dead_letters() -> None:
    chain = Chain(1)

    async def work(batch: Batch[Post], emit: Emit) -> None:
        chain.counts.part(0)["x"] = [1]

    run = await driver(lambda: [*chain(), AgentSpec("thief", topics.INGEST, work)], posts=1)
    with pytest.raises(TableMisuse, match="written by count, not by thief"):
        await run.step("thief", 0)


async def test_a_cancellation_inside_a_handler_is_not_the_messages_fault() -> None:
    async def work(batch: Batch[Post], emit: Emit) -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task

    run = await driver(agents(work), posts=1)
    assert not await run.step("agent", 0)
    assert state(run) is State.WAITING
    assert not await run.dead_letters()


def test_a_reason_never_quotes_a_value() -> None:
    try:
        int("a secret")
    except ValueError as error:
        assert "secret" not in reason_of(error)
    assert reason_of(Retry("our own texts are safe")) == "our own texts are safe"
