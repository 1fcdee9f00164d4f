"""The agents `history-posts` and `history-windows` on the engine's own pipelines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heartbeat import topics
from heartbeat.agents.history import WAIT_S, specs
from heartbeat.errors import HistoryError
from heartbeat.records import Heartbeat
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.topics import HOUR_MS
from tests.sinks.model import T0, in_all_files, late, pulse, scored


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0)


@pytest.fixture
async def history(tmp_path: Path, clock: FakeClock) -> AsyncIterator[History]:
    history = History(tmp_path / "history.db", clock=clock)
    history.start()
    yield history
    history.close()


async def send_all(driver: Driver) -> None:
    """Five posts, of which one is taken back late, one came late, and heartbeats between them."""
    posts = [scored(f"{at}", time_ms=T0 + at) for at in range(5)]
    for post in posts:
        await driver.send(topics.SENTIMENT, post, key="t", partition=1)
        await driver.send(topics.SENTIMENT, Heartbeat("demo", 0, T0, True), key="t", partition=1)
    await driver.send(topics.PULSE, pulse(10, T0, posts[:4]), key="t", partition=1)
    gone = posts[0]._replace(op="retract", content=None)
    await driver.send(topics.SENTIMENT, gone, key="t", partition=1)
    await driver.send(topics.PULSE, late(gone), key="t", partition=1)
    await driver.send(topics.PULSE, late(posts[4]), key="t", partition=1)


def check(history: History) -> None:
    with HistoryReader(history.path) as reader:
        assert [(row.id, row.late) for row in reader.posts()] == [("1", False), ("2", False), ("3", False), ("4", True)]
        assert [(row.total, row.revision) for row in reader.windows(size_s=10)] == [(3, 2)]


@pytest.mark.parametrize("limit", [1, 3, None])
async def test_batches_of_any_size_reach_the_file_once(history: History, clock: FakeClock, limit: int | None) -> None:
    driver = Driver(lambda: specs(history), partitions=2, clock=clock)
    await driver.start()
    await send_all(driver)
    await driver.run_until_idle(limit=limit)
    check(history)
    assert not await driver.dead_letters()


@pytest.mark.parametrize("durable", [0, 1, 2])
async def test_what_the_log_forgot_having_read_is_not_counted_again(
    history: History, clock: FakeClock, durable: int
) -> None:
    """The log falls behind the file whenever its unit is not durable: the same messages come again."""
    driver = Driver(lambda: specs(history), partitions=2, clock=clock)
    await driver.start()
    await send_all(driver)
    assert isinstance(driver.log, MemoryLog)
    for _ in range(6):
        driver.log.hold()
        for agent in ("history-posts", "history-windows"):
            await driver.step(agent, 1, limit=2, settle=False)
        driver.crash(durable=durable)
        await driver.restart()
        if durable == 0:
            assert driver.lag("history-windows", 1) == 3  # nothing that was read has become so in the log
    await driver.run_until_idle()
    check(history)


async def test_an_unusable_file_is_waited_for(
    history: History, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(lambda: specs(history), partitions=2, clock=clock)
    await driver.start()
    await send_all(driver)

    async def broken(*_: object) -> None:
        raise HistoryError("the history is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(history, "store_posts", broken)
        for _ in range(30):
            await driver.step("history-posts", 1)
    assert not await driver.dead_letters()
    assert driver.lag("history-posts", 1) > 0
    await driver.advance(WAIT_S + 1)
    await driver.run_until_idle()
    check(history)


async def test_ticks_erase_texts(history: History, clock: FakeClock, tmp_path: Path) -> None:
    driver = Driver(lambda: specs(history), partitions=2, clock=clock)
    await driver.start()
    await driver.send(topics.SENTIMENT, scored("1", content="SECRET"), key="t")
    await driver.run_until_idle()
    assert in_all_files(tmp_path, b"SECRET")
    await driver.advance(25 * HOUR_MS / 1000)
    await driver.tick()
    assert not in_all_files(tmp_path, b"SECRET")


async def test_what_feeds_have_not_heard_is_kept_as_its_widest(history: History, clock: FakeClock) -> None:
    driver = Driver(lambda: specs(history), partitions=2, clock=clock)
    await driver.start()
    beats = [(T0, T0 + 5_000), (T0, T0 + 9_000), (T0, T0 + 7_000), (T0 + 20_000, T0 + 30_000), (None, None)]
    for at, span in enumerate(beats):
        beat = Heartbeat("demo" if at else "other", 0, T0, True, True, None, *span)
        await driver.send(topics.SENTIMENT, beat, key="demo", partition=at % 2)
    await driver.run_until_idle()
    with HistoryReader(history.path) as reader:
        assert reader.unheard(["demo"], T0, T0 + 60_000) == [(T0, T0 + 9_000), (T0 + 20_000, T0 + 30_000)]
        assert reader.unheard(["demo", "other"], T0 + 25_000, T0 + 26_000) == [(T0 + 20_000, T0 + 30_000)]
        assert reader.unheard(["demo"], T0 + 9_000, T0 + 20_000) == reader.unheard(["no one"], T0, T0 + 60_000) == []
    day_ms = 86_400_000
    for _ in range(50):
        await history.maintain(T0 + 500 * day_ms)
    with HistoryReader(history.path) as reader:
        assert reader.unheard(["demo"], T0, T0 + 60_000) == []
