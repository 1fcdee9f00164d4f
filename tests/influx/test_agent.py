"""The agent on the engine's own pipelines: offsets, dead letters, corrections, and requests that land late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from heartbeat import topics
from heartbeat.agents.history import specs
from heartbeat.agents.influx import NAME, InfluxAgent
from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.log import ONLY_FOR, TP, Append, UnitWrite
from heartbeat.errors import LogUnavailable
from heartbeat.health import HealthBoard, State
from heartbeat.records import Pulse
from heartbeat.sinks.history import History
from heartbeat.sinks.influx import PART, InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from heartbeat.testing.memory_log import MemoryLog
from tests.influx.server import BUCKET, ORG, Influxd
from tests.influx.stand_in import StandIn
from tests.sinks.model import T0, late, pulse, scored

T1 = T0 // 900_000 * 900_000
KEEP_MS = 86_400_000
TIMEOUT_S = 1.5
EVERYTHING = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"}


@dataclass
class Bench:
    """The agent beside history, over a log in memory."""

    driver: Driver
    sink: InfluxSink
    history: History
    tables: InfluxTables
    board: HealthBoard

    async def publish(self, *records: Any) -> None:
        for record in records:
            await self.driver.send(topics.PULSE, record, key="k", partition=0)

    async def run(self) -> None:
        await self.driver.run_until_idle()

    async def again(self) -> list[Any]:
        return sorted(dict(self.tables.again.part(0).items()))


async def bench(place: InfluxPlace, folder: Path) -> Bench:
    clock = FakeClock(T1)
    history = History(folder / "history.db", clock=clock)
    history.start()
    board = HealthBoard(clock)
    sink = InfluxSink(place, clock, board, timeout_s=TIMEOUT_S)
    made: Bench

    def build() -> list[AgentSpec]:
        tables = InfluxTables.made()
        made.tables = tables

        def read(tp: TP) -> int:
            return made.driver.log.committed("test-history-windows", tp) or 0

        agent = InfluxAgent(sink, history, tables, clock, keep_ms=KEEP_MS, read=read, history_wait_s=0)
        return [*specs(history), agent.spec()]

    made = Bench(Driver(build, partitions=1, clock=clock), sink, history, InfluxTables.made(), board)
    await made.driver.start()
    return made


@pytest.fixture
async def stand_in(influxd: Influxd) -> AsyncIterator[StandIn]:
    async with StandIn(influxd).serving() as serving:
        yield serving


@pytest.fixture
async def here(stand_in: StandIn, tmp_path: Path) -> AsyncIterator[Bench]:
    made = await bench(stand_in.place, tmp_path)
    yield made
    made.history.close()
    await made.sink.close()


def window(posts: int, revision: int = 0, start_ms: int = T1) -> Pulse:
    return pulse(10, start_ms, [scored(str(number)) for number in range(posts)], revision=revision)


def totals(server: Influxd, by: str = "overall") -> list[int]:
    return [row["total"] for row in sorted(server.rows(), key=lambda row: str(row["time"])) if row.get("by") == by]


async def calm(here: Bench) -> None:
    """Past the beginning of a life: nothing is in doubt any more."""
    for _ in range(4):
        await here.driver.advance(60)
    assert not await here.again()


async def test_only_the_newest_record_of_a_window_is_sent(here: Bench, stand_in: StandIn, influxd: Influxd) -> None:
    await here.publish(window(1), window(2), window(3), window(4, start_ms=T1 + 10_000))
    await here.run()
    assert totals(influxd) == [3, 4]
    assert sum(body.count(b"by=overall") for body in stand_in.requests) == 2


async def test_the_offset_stays_until_influxdb_has_the_points(here: Bench, stand_in: StandIn, influxd: Influxd) -> None:
    stand_in.answer = lambda *_: web.Response(status=500)
    await here.publish(window(1))
    for _ in range(5):
        await here.driver.advance(60)
        await here.driver.step(NAME, 0)
    assert here.driver.lag(NAME, 0) == 1 and influxd.rows() == []
    assert here.driver.agent(NAME).stats.retries == 5
    stand_in.answer = lambda *_: None
    await here.run()
    assert here.driver.lag(NAME, 0) == 0 and totals(influxd) == [1]


async def test_a_refused_point_goes_to_dead_letters_with_its_place_and_reason(here: Bench, influxd: Influxd) -> None:
    influxd.write(f'pulse,task=other late="text" {T1}')
    await here.publish(window(1), window(2, start_ms=T1 + 10_000))
    await here.run()
    letters = await here.driver.dead_letters()
    assert [letter.headers["offset"] for letter in letters] == ["0", "1"]
    headers = letters[0].headers
    assert (headers["topic"], headers["partition"], headers["agent"]) == ("pulse", "0", NAME)
    assert "already exists as type string" in headers["reason"]
    assert f"points refused: pulse,by=overall,key=all,size=10s,task=t at {T1}" in headers["reason"]
    assert here.driver.codec.decode(letters[0].value) == window(1)
    assert here.driver.agent(NAME).stats.dead_letters == 2
    assert totals(influxd, "lang") == [1, 2] and here.driver.lag(NAME, 0) == 0


async def test_more_refused_points_than_the_breaker_allows_do_not_stop_the_sink(here: Bench, influxd: Influxd) -> None:
    influxd.write(f'pulse,task=other late="text" {T1}')
    await here.publish(*(window(1, start_ms=T1 + 10_000 * number) for number in range(60)))
    await here.run()
    assert len(await here.driver.dead_letters()) == 60 and not here.driver.agent(NAME).breaker.is_open


async def test_a_late_retraction_corrects_sealed_windows(here: Bench, influxd: Influxd) -> None:
    posts = [scored("1"), scored("2", lang="de", source="y", time_ms=T0 + 1)]
    await here.publish(*(pulse(size_s, T0 // (1000 * size_s) * 1000 * size_s, posts) for size_s in (10, 60)))
    await here.run()
    await here.publish(late(posts[1]._replace(op="retract")))
    await here.driver.step(NAME, 0)
    assert totals(influxd) == [2, 2] and here.driver.lag(NAME, 0) == 1, "history has not stored it yet"
    await here.run()
    assert totals(influxd) == [1, 1]
    rows = {(row["by"], row["key"], row["size"]): row for row in influxd.rows()}
    gone = rows["lang", "de", "10s"], rows["source", "y", "1m"]
    assert all((row["total"], row["pos_e6"], row["pos"], row["revision"]) == (0, 0, 0.0, 2) for row in gone)
    assert rows["overall", "all", "10s"]["revision"] == 2
    await here.publish(late(posts[0]._replace(op="retract")))
    await here.run()
    assert set(totals(influxd)) == set(totals(influxd, "lang")) == set(totals(influxd, "source")) == {0}
    assert {row["revision"] for row in influxd.rows() if row["by"] == "overall"} == {3}
    overall = next(row for row in influxd.rows() if row["by"] == "overall")
    assert overall["model:fast/1"] == 0


async def test_a_window_and_its_correction_in_one_batch(here: Bench, influxd: Influxd) -> None:
    posts = [scored("1"), scored("2", lang="de")]
    await here.publish(pulse(10, T0, posts)._replace(late=7), late(posts[1]._replace(op="retract")))
    await here.run()
    rows = {(row["by"], row["key"]): row for row in influxd.rows()}
    assert rows["overall", "all"]["total"] == 1 and rows["overall", "all"]["late"] == 7
    assert rows["lang", "de"]["total"] == 0 and rows["lang", "en"]["total"] == 1


async def test_a_window_that_is_still_open_keeps_its_newest_values(here: Bench, influxd: Influxd) -> None:
    """A post that its feed called late may be retracted while its windows are still open: it is in none of them."""
    posts, own = [scored("1"), scored("2")], scored("3")
    await here.publish(pulse(10, T0, posts[:1], revision=0), late(own), late(own._replace(op="retract")))
    await here.publish(pulse(10, T0, posts))
    await here.driver.step("history-windows", 0, limit=3)
    await here.driver.step(NAME, 0)
    await here.run()
    assert totals(influxd) == [2]


async def test_a_retraction_that_is_given_back_does_not_wait_for_a_history_that_is_passed_over(
    here: Bench, influxd: Influxd
) -> None:
    posts = [scored("1"), scored("2")]
    gone = late(posts[1]._replace(op="retract"))
    await here.publish(pulse(10, T0, posts), gone)
    await here.run()
    influxd.ask("POST", f"/api/v2/delete?org={ORG}&bucket={BUCKET}", EVERYTHING)
    value = here.driver.codec.encode(gone)
    await here.driver.log.write(UnitWrite([Append("pulse", 0, b"k", value, ((ONLY_FOR, NAME.encode()),))]))
    for _ in range(20):
        await here.driver.step("history-windows", 0)
        await here.driver.step(NAME, 0)
        await here.driver.advance(1, tick=False)
    assert here.driver.lag(NAME, 0) == 0
    assert totals(influxd) == [1]


async def test_what_history_does_not_know_is_left_alone(here: Bench, influxd: Influxd, tmp_path: Path) -> None:
    posts = [scored("1"), scored("2")]
    await here.publish(pulse(10, T0, posts))
    await here.run()
    here.history.close()
    for file in tmp_path.glob("history.db*"):
        file.unlink()
    here.history.start()
    await here.publish(late(posts[1]._replace(op="retract")))
    await here.run()
    assert totals(influxd) == [2]


async def test_a_request_that_hung_and_lands_late_is_written_over(
    here: Bench, stand_in: StandIn, influxd: Influxd
) -> None:
    await here.publish(window(1))
    await here.run()
    await calm(here)
    stand_in.hang = True
    await here.publish(window(2))
    await here.driver.step(NAME, 0)
    stand_in.hang = False
    await here.publish(window(3))
    await here.run()
    assert totals(influxd) == [3] and len(await here.again()) == 1
    await stand_in.land()
    assert totals(influxd) == [2], "the request of before has overwritten what is newer"
    await here.driver.advance(5)
    assert totals(influxd) == [3]
    await here.publish(window(4))
    await here.run()
    stand_in.held.append((stand_in_path(stand_in), next(body for body in stand_in.requests if b"total=3i" in body)))
    await stand_in.land()
    assert totals(influxd) == [3]
    await here.driver.advance(5)
    await here.driver.advance(55)
    assert totals(influxd) == [4] and not await here.again()


def stand_in_path(stand_in: StandIn) -> str:
    place = stand_in.place
    return f"/api/v2/write?org={place.org}&bucket={place.bucket}&precision=ms"


@pytest.mark.parametrize("connection", ["hang", "reset"])
async def test_what_was_under_way_when_we_were_killed_counts_as_unknown(
    here: Bench, stand_in: StandIn, influxd: Influxd, connection: str
) -> None:
    await here.publish(window(1))
    await here.run()
    await calm(here)
    setattr(stand_in, connection, True)
    await here.publish(window(2))
    await here.driver.step(NAME, 0)
    setattr(stand_in, connection, False)
    await here.driver.restart()
    await here.run()
    await here.publish(window(3))
    await here.run()
    assert len(await here.again()) == 1
    await stand_in.land()
    assert totals(influxd) == [2]
    await here.driver.advance(5)
    assert totals(influxd) == [3]


async def test_rows_outlive_a_restart_and_are_written_twice_more(here: Bench, stand_in: StandIn) -> None:
    await here.publish(window(1))
    await here.run()
    await here.driver.restart()
    assert len(await here.again()) == 1
    before = len(stand_in.requests)
    await here.driver.advance(1)
    await here.driver.advance(4.5)
    await here.driver.advance(0.5)
    await here.driver.advance(54.5)
    assert len(stand_in.requests) == before + 2 and await here.again()
    await here.driver.advance(0.5)
    assert len(stand_in.requests) == before + 3 and not await here.again()


async def test_a_tick_that_hangs_begins_again(here: Bench, stand_in: StandIn, influxd: Influxd) -> None:
    await here.publish(window(1))
    await here.run()
    stand_in.hang = True
    await here.driver.advance(5)
    assert here.driver.agent(NAME).stats.failed_ticks == 0
    stand_in.hang = False
    status = here.board.get(PART)
    assert status is not None and status.state is State.WAITING
    await here.driver.advance(2)
    await here.publish(window(2))
    await here.run()
    await stand_in.land()
    assert totals(influxd) == [1]
    await here.driver.advance(5)
    assert totals(influxd) == [2]
    await here.driver.advance(55)
    assert not await here.again()


async def test_a_commit_that_fails_leaves_nothing_undone(here: Bench, influxd: Influxd) -> None:
    log = here.driver.log
    assert isinstance(log, MemoryLog)
    await here.publish(window(1))
    log.fail_next(LogUnavailable("the disk is full"))
    await here.driver.step(NAME, 0)
    assert here.driver.lag(NAME, 0) == 1 and totals(influxd) == [1] and not await here.again()
    await here.run()
    assert here.driver.lag(NAME, 0) == 0 and totals(influxd) == [1] and len(await here.again()) == 1


async def test_rows_of_names_go_when_a_window_can_change_no_more(here: Bench) -> None:
    await here.publish(window(1))
    await here.run()
    part = here.tables.written.part(0)
    assert part.get_many([("t", 10, T1)])["t", 10, T1].names == (("en",), ("x",), ("fast/1",))
    await here.driver.advance(2 * KEEP_MS / 1000 - 20)
    assert part.get_many([("t", 10, T1)])
    await here.driver.advance(30)
    assert not part.get_many([("t", 10, T1)])


async def test_a_clock_that_jumps_back_holds_nothing_up(here: Bench, stand_in: StandIn) -> None:
    await here.publish(window(1))
    await here.run()
    await here.driver.advance(-86_400)
    await here.driver.advance(5)
    await here.driver.advance(60)
    assert not await here.again()


async def test_a_handler_that_is_cut_short_counts_as_unknown(here: Bench, stand_in: StandIn) -> None:
    await calm(here)
    for number in range(1100):
        await here.publish(window(1, start_ms=T1 + 10_000 * number))
    await here.run()
    await calm(here)
    stand_in.hang = True
    await here.publish(window(2))
    turn = asyncio.ensure_future(here.driver.step(NAME, 0))
    while not stand_in.held:
        await asyncio.sleep(0.01)
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    stand_in.hang = False
    await here.run()
    assert await here.again() == [("t", 10, T1)]
