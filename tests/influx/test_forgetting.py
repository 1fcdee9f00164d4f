"""What the history forgets is forgotten in InfluxDB, and nothing brings it back."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heartbeat import topics
from heartbeat.agents.history import WINDOWS, specs
from heartbeat.agents.influx import NAME, InfluxAgent
from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.log import TP
from heartbeat.health import HealthBoard, State
from heartbeat.records import Scored
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history import History
from heartbeat.sinks.history_forgetting import Stored, Window
from heartbeat.sinks.history_untold import WHOLE_TASK
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.sinks.influx_forgetting import InfluxForgetting
from heartbeat.sinks.telling import Pending, Telling
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from tests.cli.commands import Done, environment, run
from tests.influx.held import milliseconds
from tests.influx.server import ORG, Influxd
from tests.influx.stand_in import StandIn
from tests.influx.test_kill import environment as settings_of
from tests.proof.processes import finish, kill, listens, replay, worker
from tests.sinks.model import T0, pulse, scored

START = T0 // 60_000 * 60_000
HERE = TP("pulse", 0)


@dataclass
class Scene:
    """The agent beside history, and what forgets."""

    driver: Driver
    history: History
    sink: InfluxSink
    board: HealthBoard
    forgetting: InfluxForgetting
    telling: Telling

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
        owed = await self.telling.owe(history_forgetting.windows_of(self.history.path, stored))
        await self.history.perform(lambda tables: history_forgetting.take_out(tables, stored))
        self.telling.release(owed)
        await self.tell()

    async def forget_task(self, task: str) -> None:
        """A task, of which nothing else is left."""
        owed = await self.telling.owe([Window(task, WHOLE_TASK, START + 60_000)])
        while await self.history.perform(lambda tables: history_forgetting.remove_task(tables, task)):
            pass
        self.telling.release(owed)
        await self.tell()

    async def tell(self) -> list[Pending]:
        """Tell InfluxDB what is due; what it still does not know."""
        await self.done(self.telling.step())
        return await self.telling.told(0)

    async def later(self) -> None:
        """Whatever was to be written again has been."""
        for _ in range(4):
            await self.driver.advance(60)
            await self.tell()
        assert not await self.telling.step(), "nothing is left to be told"


@pytest.fixture
async def scene(influxd: Influxd, tmp_path: Path) -> AsyncIterator[Scene]:
    async with acting(influxd.place, tmp_path) as scene:
        yield scene


@asynccontextmanager
async def acting(place: InfluxPlace, folder: Path, *, timeout_s: float = 10.0) -> AsyncIterator[Scene]:
    clock = FakeClock(T0)
    board = HealthBoard(clock)
    history = History(folder / "history.db", clock=clock)
    history.start()
    sink, tables = InfluxSink(place, clock, board, timeout_s=timeout_s), InfluxTables.made()
    agent = InfluxAgent(sink, history, tables, clock, keep_ms=86_400_000, history_wait_s=0)

    def build() -> list[AgentSpec]:
        return [*specs(history), agent.spec()]

    driver = Driver(build, partitions=1, clock=clock)
    await driver.start()

    def unfinished(name: str) -> Callable[[], int]:
        end = driver.log.end_offset(HERE)
        return lambda: max(end - (driver.log.committed(f"test-{name}", HERE) or 0), 0)

    forgetting = InfluxForgetting(
        sink, history.path, feeds={"t": ["demo"], "other": ["demo"]},
        unwritten=lambda: unfinished(NAME),
        unstored=lambda: unfinished(WINDOWS),
        amend=lambda task, change: agent.amend(0, change),
    )  # fmt: skip
    yield Scene(driver, history, sink, board, forgetting, Telling(history, [forgetting], clock, board))
    history.close()
    await sink.close()


def posts() -> list[Scored]:
    return [scored("1"), scored("2", lang="de", source="y"), scored("3", task="other", lang="de")]


def totals(server: Influxd) -> dict[tuple[str, str, str], int]:
    return {(row["task"], row["by"], row["key"]): row["total"] for row in server.rows()}


BYS = ("overall", "lang", "source")
OTHER = {("other", "overall", "all"): 1, ("other", "lang", "de"): 1, ("other", "source", "x"): 1}
LEFT = {("t", "overall", "all"): 1, ("t", "lang", "en"): 1, ("t", "source", "x"): 1}


async def test_a_task_is_gone_for_good_and_others_stay(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts())
    assert len(totals(influxd)) == 8
    await scene.forget_task("t")
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
    owed = await scene.telling.owe([Window("t", 60, START)])  # while it was kept; InfluxDB was away then
    await scene.history.perform(lambda tables: tables.connection.execute(gone))
    await scene.forget(posts()[1])
    scene.telling.release(owed)
    await scene.later()
    assert totals(influxd)["t", "overall", "all"] == 2, "its other posts would be gone, too"


async def test_a_server_that_is_away_is_told_when_it_is_back(scene: Scene, influxd: Influxd) -> None:
    """Also by another life, a day later: nothing but the file knows what was touched."""
    await scene.publish(posts())
    bucket = influxd.ask("GET", f"/api/v2/buckets/{bucket_id(influxd)}")
    old = influxd.rows()
    influxd.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")
    await scene.forget(posts()[1])
    (pending,) = await scene.telling.told(0)
    assert "InfluxDB (1 window): " in str(pending) and "not found" in pending.why
    status = scene.board.get("forgetting/InfluxDB")
    assert status is not None and status.state is State.WAITING and "not found" in status.why
    scene.telling = Telling(scene.history, [scene.forgetting], scene.sink.clock, scene.board)
    influxd.ask("POST", "/api/v2/buckets", {"orgID": bucket["orgID"], "name": bucket["name"], "retentionRules": []})
    influxd.write("".join(f"{line_of(row)}\n" for row in old))
    await scene.driver.advance(86_400)
    assert await scene.tell() == []
    assert totals(influxd) == {**OTHER, **LEFT}


def line_of(row: dict[str, Any]) -> str:
    """As it was: what a window's post had brought."""
    tags = ",".join(f"{name}={row[name]}" for name in ("task", "by", "key", "size"))
    return f"pulse,{tags} total={row['total']}i {milliseconds(row['time'])}"


async def test_an_agent_that_does_not_go_on_is_not_waited_for_without_end(scene: Scene) -> None:
    await scene.publish(posts(), handled=False)
    await scene.driver.step("history-windows", 0)
    scene.telling.release(await scene.telling.owe([Window("t", WHOLE_TASK, START + 60_000)]))
    telling = asyncio.ensure_future(scene.telling.run())
    (pending,) = await scene.telling.told(0.3)
    assert str(pending) == "InfluxDB (1 task): 2 records of windows are still to be written to it before"
    telling.cancel()


async def test_what_lands_late_is_deleted_again(influxd: Influxd, tmp_path: Path) -> None:
    """A write hung, and takes place after the task has been deleted: before the second time, and before the third."""
    async with StandIn(influxd).serving() as between, acting(between.place, tmp_path, timeout_s=0.3) as scene:
        between.hang = True
        await scene.publish(posts(), handled=False)
        await scene.driver.step("history-windows", 0)
        for _ in range(2):
            await scene.driver.step(NAME, 0)
            await scene.driver.advance(1)
        between.hang = False
        hung = list(between.held)
        assert hung
        while scene.driver.busy():
            await scene.driver.run_until_idle()
        await scene.forget_task("t")
        assert totals(influxd) == OTHER
        for seconds in (6, 56):
            between.held = list(hung)
            await between.land()
            assert len(totals(influxd)) == 8
            await scene.driver.advance(seconds)
            await scene.tell()
            assert totals(influxd) == OTHER
        assert not await scene.telling.step()


async def test_a_new_task_of_the_same_name_keeps_its_points(scene: Scene, influxd: Influxd) -> None:
    await scene.publish(posts())
    window = pulse(60, START + 60_000, [scored("new", time_ms=START + 60_000)])
    await scene.driver.send(topics.PULSE, window, key="t", partition=0)
    await scene.driver.run_until_idle()
    await scene.forget_task("t")
    assert totals(influxd) == {**OTHER, **LEFT}
    influxd.write(f"pulse,task=t,by=overall,key=all,size=1m total=7i {START + 60_000}")
    await scene.later()
    assert totals(influxd) == {**OTHER, **LEFT}, "it is of a life's first messages, and written again"


async def test_newer_values_that_the_agent_writes_meanwhile_stand(scene: Scene, influxd: Influxd) -> None:
    """History is behind: what it says is older than what InfluxDB has."""
    await scene.publish(posts())
    more = [*posts(), scored("4", lang="fr")]
    await scene.history.store_posts(("sentiment", 0), [(9, T0, more[-1])])
    newer = pulse(60, START, [post for post in more if post.task == "t"])._replace(revision=2, final=True)
    await scene.driver.send(topics.PULSE, newer, key="t", partition=0)
    await scene.driver.step(NAME, 0)
    assert totals(influxd)["t", "overall", "all"] == 3
    scene.telling.release(await scene.telling.owe([Window("t", 60, START)]))
    telling = asyncio.ensure_future(scene.telling.step())
    while totals(influxd).get(("t", "overall", "all")) != 2:  # as history has it
        await scene.driver.tick()
        await asyncio.sleep(0.01)
    await scene.done(telling)
    assert totals(influxd)["t", "overall", "all"] == 3 and totals(influxd)["t", "lang", "fr"] == 1


def bucket_id(server: Influxd) -> str:
    buckets = server.ask("GET", f"/api/v2/buckets?org={ORG}&name={server.place.bucket}")["buckets"]
    return str(buckets[0]["id"])


def kept(data: Path) -> list[str]:
    done = run("export", "posts", "--format", "jsonl", "--data-dir", str(data))
    return sorted(json.loads(line)["id"] for line in done.out.splitlines())


SAID = (
    "a wonderful day, I love it",
    "ein wunderbarer Tag, den wir alle sehr genossen haben",
    "what a bad film",
    "une belle journée que nous avons tous beaucoup aimée",
)


@dataclass
class Command:
    """`heartbeat forget` over a replayed file, a minute for each post."""

    data: Path
    settings: dict[str, str]

    @classmethod
    def over(cls, influxd: Influxd, folder: Path) -> Command:
        lines = [
            {"id": f"p{at}", "source": "x", "content": text, "time": START + 60_000 * at}
            for at, text in enumerate(SAID)
        ]
        (folder / "posts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        here = {"HEARTBEAT_SENTIMENT_MODEL": "sentiment-fast", **settings_of(influxd)}
        code, errors = finish(replay(folder / "posts.jsonl", folder / "data", **here))
        assert code == 0, errors
        return cls(folder / "data", here)

    def __call__(self, *words: str, **env: str) -> Done:
        return run("forget", *words, "--yes", "--data-dir", str(self.data), **{**self.settings, **env})

    def killed_at(self, point: str, *words: str) -> None:
        """Start it and have it killed on the way."""
        command = ["forget", *words, "--yes", "--data-dir", str(self.data)]
        killed = subprocess.run(
            [sys.executable, "-m", "heartbeat.testing.faults", *command],
            env=environment(**self.settings, HEARTBEAT_FAULTS=f"{point}:kill:@1"),
            capture_output=True,
            timeout=60,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr


def of(post: int) -> tuple[str, ...]:
    return "--source", "x", "--id", f"p{post}"


def test_the_command_forgets_here_and_influxdb_learns_of_it_when_it_can(influxd: Influxd, tmp_path: Path) -> None:
    forget = Command.over(influxd, tmp_path)
    influxd.write(f"pulse,task=other total=1i {START}")
    before = totals_of_all(influxd)
    assert before["proof", "overall"] == before["proof", "lang"] == 12
    done = forget(*of(1), HEARTBEAT_INFLUX_URL="http://127.0.0.1:9")
    assert done.code == 3 and "history: 1 posts" in done.out and "topics: 3 messages" in done.out, done
    assert "still to be told to InfluxDB (3 windows): InfluxDB cannot be reached" in done.err, done.err
    assert "done by itself: by the worker, or by the next one that is started" in done.err
    assert kept(forget.data) == ["p0", "p2", "p3"] and totals_of_all(influxd) == before
    done = run("forget", *of(3), "--yes", "--data-dir", str(forget.data), HEARTBEAT_SENTIMENT_MODEL="sentiment-fast")
    assert done.code == 0 and "InfluxDB: 3 windows, written as they are without them, once these settings" in done.out
    assert kept(forget.data) == ["p0", "p2"] and totals_of_all(influxd) == before
    again = forget(*of(1))
    assert again.code == 0 and "nothing of it was kept" in again.err, again
    assert totals_of_all(influxd) == {**before, **dict.fromkeys((("proof", by) for by in BYS), 6)}
    assert not [row for row in influxd.rows() if row.get("key") == "de"]

    done = forget("--task", "proof", HEARTBEAT_INFLUX_TOKEN="wrong")
    assert done.code == 3 and "InfluxDB (1 task): " in done.err and "HEARTBEAT_INFLUX_TOKEN" in done.err, done
    assert kept(forget.data) == [] and totals_of_all(influxd)["proof", "overall"] == 6
    process = worker(forget.data, **forget.settings)
    try:
        assert listens(forget.data, process)
        until = time.monotonic() + 60
        while {row["task"] for row in influxd.rows()} - {"noctilo"} != {"other"}:
            assert time.monotonic() < until and process.poll() is None, influxd.rows()
            time.sleep(0.1)
    finally:
        kill(process)


def test_killed_anywhere_and_started_again_when_the_stream_remembers_nothing(influxd: Influxd, tmp_path: Path) -> None:
    """The log is gone, as after days: that the history is without the post does not say where InfluxDB has it."""
    forget = Command.over(influxd, tmp_path)
    left = list(range(len(SAID)))
    for post, point in enumerate(("forget.owed", "forget.deleted", "forget.taken", "forget.erased")):
        forget.killed_at(point, *of(post))
        for path in forget.data.glob("log.db*"):
            path.unlink()
        done = forget(*of(post))
        assert done.code == 0, done
        left.remove(post)
        assert kept(forget.data) == [f"p{one}" for one in left]
        assert totals_of_all(influxd) == {("proof", by): 3 * len(left) for by in BYS if left}


def totals_of_all(server: Influxd) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for row in server.rows():
        place = row["task"], row.get("by", "")
        sums[place] = sums.get(place, 0) + row["total"]
    return sums
