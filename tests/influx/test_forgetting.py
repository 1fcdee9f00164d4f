"""What the history forgets is forgotten in InfluxDB, and nothing brings it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heartbeat import topics
from heartbeat.agents.history import specs
from heartbeat.agents.influx import NAME, InfluxAgent
from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.log import TP
from heartbeat.errors import InfluxError
from heartbeat.health import HealthBoard
from heartbeat.records import Scored
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history import History
from heartbeat.sinks.history_forgetting import Stored, Window
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_forgetting import InfluxForgetting
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from tests.cli.commands import Done, run
from tests.influx.server import ORG, Influxd
from tests.influx.test_kill import environment as settings_of
from tests.proof.processes import finish, replay
from tests.sinks.model import T0, pulse, scored

START = T0 // 60_000 * 60_000
HERE = TP("pulse", 0)


@dataclass
class Scene:
    """The agent beside history, and what forgets."""

    driver: Driver
    history: History
    sink: InfluxSink
    forgetting: InfluxForgetting

    async def publish(self, posts: list[Scored], *, handled: bool = True) -> None:
        """A closed minute of each task, and its posts."""
        await self.history.store_posts(("sentiment", 0), [(at, T0, post) for at, post in enumerate(posts)])
        for task in sorted({post.task for post in posts}):
            window = pulse(60, START, [post for post in posts if post.task == task], task=task)
            await self.driver.send(topics.PULSE, window._replace(revision=1, final=True), key=task, partition=0)
        while handled and self.driver.busy():
            await self.driver.run_until_idle()

    async def done(self, work: Awaitable[Any]) -> Any:
        """While a worker goes on."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for place in self.driver.busy():
                await self.driver.step(*place)
            await self.driver.tick()
            await asyncio.sleep(0.01)
        return task.result()

    async def forget(self, post: Scored) -> None:
        """A post that the stream does not remember."""
        stored = [Stored(post.task, post.time_ms, post.source, post.id)]
        windows = history_forgetting.windows_of(self.history.path, stored)
        await self.history.perform(lambda tables: history_forgetting.take_out(tables, stored))
        await self.done(self.forgetting.forget_posts([(post.source, post.id)], windows))

    async def later(self) -> None:
        """Whatever was to be written again has been."""
        for _ in range(4):
            await self.driver.advance(60)


@pytest.fixture
async def scene(influxd: Influxd, tmp_path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock(T0)
    history = History(tmp_path / "history.db", clock=clock)
    history.start()
    sink, tables = InfluxSink(influxd.place, clock, HealthBoard(clock)), InfluxTables.made()
    agent = InfluxAgent(sink, history, tables, clock, keep_ms=86_400_000, history_wait_s=0)

    def build() -> list[AgentSpec]:
        return [*specs(history), agent.spec()]

    driver = Driver(build, partitions=1, clock=clock)
    await driver.start()

    def waits() -> Callable[[], int]:
        end = driver.log.end_offset(HERE)
        return lambda: max(end - (driver.log.committed(f"test-{NAME}", HERE) or 0), 0)

    forgetting = InfluxForgetting(
        sink, history.path, feeds={"t": ["demo"], "other": ["demo"]},
        waits=waits,
        amend=lambda task, change: agent.amend(0, change),
    )  # fmt: skip
    yield Scene(driver, history, sink, forgetting)
    history.close()
    await sink.close()


def posts() -> list[Scored]:
    return [scored("1"), scored("2", lang="de", source="y"), scored("3", task="other", lang="de")]


def totals(server: Influxd) -> dict[tuple[str, str, str], int]:
    return {(row["task"], row["by"], row["key"]): row["total"] for row in server.rows()}


OTHER = {("other", "overall", "all"): 1, ("other", "lang", "de"): 1, ("other", "source", "x"): 1}
LEFT = {("t", "overall", "all"): 1, ("t", "lang", "en"): 1, ("t", "source", "x"): 1}


async def test_a_task_is_gone_for_good_and_others_stay(scene: Scene, influxd: Influxd) -> None:
    await scene.forgetting.check()
    await scene.publish(posts())
    assert len(totals(influxd)) == 8
    await scene.done(scene.forgetting.forget_task("t"))
    assert totals(influxd) == OTHER
    await scene.later()
    assert totals(influxd) == OTHER, "windows of a life's first messages are written again, but not these"


async def test_a_language_and_a_source_go_with_their_post(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts())
    await scene.forget(posts()[1])
    assert totals(influxd) == {**OTHER, **LEFT}
    share = [row.get("voice_share") for row in influxd.rows() if row["task"] == "t" and row["by"] == "overall"]
    assert share == [0.5], "insights stand beside the figures, and are there again"
    await scene.later()
    assert totals(influxd) == {**OTHER, **LEFT}
    assert sum(row["by"] == "overall" for row in influxd.rows()) == 2


async def test_a_window_that_has_become_empty_is_gone(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts())
    await scene.forget(posts()[2])
    await scene.later()
    assert {task for task, _, _ in totals(influxd)} == {"t"}


async def test_what_the_agent_has_not_written_yet_comes_first(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts(), handled=False)
    await scene.driver.step("history-windows", 0)
    await scene.forget(posts()[1])
    assert totals(influxd) == {**OTHER, **LEFT}


async def test_a_window_that_the_history_does_not_keep_any_more_stays(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts())
    gone = "DELETE FROM windows WHERE task = (SELECT id FROM names WHERE name = 't')"
    await scene.history.perform(lambda tables: tables.connection.execute(gone))
    await scene.forget(posts()[1])
    assert totals(influxd)["t", "overall", "all"] == 2, "its other posts would be gone, too"


async def test_a_server_that_goes_away_meanwhile_is_told_of(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts(), handled=False)
    await scene.driver.step("history-windows", 0)
    influxd.ask("DELETE", f"/api/v2/buckets/{bucket_id(influxd)}")
    with pytest.raises(InfluxError, match="InfluxDB cannot be told.*not found"):
        await scene.done(scene.forgetting.forget_posts([], [Window("t", 60, START)]))


def bucket_id(server: Influxd) -> str:
    buckets = server.ask("GET", f"/api/v2/buckets?org={ORG}&name={server.place.bucket}")["buckets"]
    return str(buckets[0]["id"])


def kept(data: Path) -> list[str]:
    done = run("export", "posts", "--format", "jsonl", "--data-dir", str(data))
    return sorted(json.loads(line)["id"] for line in done.out.splitlines())


def test_the_command_forgets_nothing_unless_influxdb_can_be_told(influxd: Influxd, tmp_path: Path) -> None:
    said = ["a wonderful day, I love it", "ein wunderbarer Tag, den wir alle sehr genossen haben", "what a bad film"]
    lines = [{"id": f"p{at}", "source": "x", "content": text, "time": START} for at, text in enumerate(said)]
    (tmp_path / "posts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    data, here = tmp_path / "data", settings_of(influxd)
    code, errors = finish(replay(tmp_path / "posts.jsonl", data, **here))
    assert code == 0, errors
    influxd.write(f"pulse,task=other total=1i {START}")
    before = totals_of_all(influxd)
    assert before["proof", "overall"] == 9 and before["proof", "lang"] == 9

    def forget(*words: str, **env: str) -> Done:
        settings = {"HEARTBEAT_SENTIMENT_MODEL": "sentiment-fast", **here, **env}
        return run("forget", *words, "--yes", "--data-dir", str(data), **settings)

    one = "--source", "x", "--id", "p1"
    away, wrong = {"HEARTBEAT_INFLUX_URL": "http://127.0.0.1:9"}, {"HEARTBEAT_INFLUX_TOKEN": "wrong"}
    for done in (forget(*one, **away), forget("--task", "proof", **wrong)):
        assert done.code == 1 and "nothing has been forgotten yet: InfluxDB cannot be told" in done.err, done
    assert kept(data) == ["p0", "p1", "p2"] and totals_of_all(influxd) == before
    done = forget(*one)
    assert done.code == 0, done.err
    assert totals_of_all(influxd) == {**before, ("proof", "overall"): 6, ("proof", "lang"): 6, ("proof", "source"): 6}
    assert not [row for row in influxd.rows() if row.get("key") == "de"]
    done = forget("--task", "proof")
    assert done.code == 0, done.err
    assert kept(data) == [] and {row["task"] for row in influxd.rows()} == {"other"}


def totals_of_all(server: Influxd) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for row in server.rows():
        place = row["task"], row.get("by", "")
        sums[place] = sums.get(place, 0) + row["total"]
    return sums
