"""At the caps on disk feeds pause and say so; nothing is lost, also by `kill -9`, and all goes on by itself."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from heartbeat.clock import SystemClock
from heartbeat.engine.runner import Engine
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.health import HealthBoard, State
from heartbeat.room import LITTLE_BYTES, TOO_LITTLE_BYTES, Room
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from heartbeat.topics import INGEST
from tests.engine.chain import Chain, post
from tests.proof.material import Material
from tests.proof.processes import finish, free_port, kill, listens, replay, worker

CAP = 1_000_000
CAPPED = {"HEARTBEAT_MAX_TOPIC_BYTES": str(CAP), "HEARTBEAT_MAX_LAG_POSTS": "1000000"}


@contextmanager
def locked(history: Path) -> Iterator[None]:
    """Another process writes to the history for as long as this lasts: its agents have to wait."""
    with closing(sqlite3.connect(history, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def get(port: int, path: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        told: Mapping[str, Any] = json.load(answer)
        return told


def parts_but_bluesky(port: int) -> Sequence[Mapping[str, Any]]:
    """The health of every part but that of a feed whose host is away in tests."""
    return [part for part in get(port, "/api/health")["parts"] if part["part"] != "feed/bluesky"]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    by = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < by, "it did not happen in time"
        time.sleep(0.1)


def paused(port: int) -> bool:
    """Whether everything that a person looks at says so."""
    feeds = [feed for feed in get(port, "/api/feeds")["feeds"] if not feed["live"]]
    if not feeds or feeds[0]["state"] != "paused" or "its cap is" not in feeds[0]["why"]:
        return False  # or it only waits for the agents
    parts = {part["part"]: part for part in get(port, "/api/health")["parts"]}
    disk = parts.get("disk")
    if disk is None or disk["state"] != "waiting":
        return False  # that is looked at once a second
    assert f"its cap is {CAP:,}" in disk["why"] and "go on by themselves" in disk["remedy"] and disk["since"]
    feed = parts[f"feed/{feeds[0]['name']}"]
    assert feed["state"] == "waiting" and f"its cap is {CAP:,}" in feed["why"] and "by itself" in feed["remedy"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        if f'heartbeat_feed_paused{{feed="{feeds[0]["name"]}"}} 1.0' not in answer.read().decode():
            return False  # it has just had room for a delivery more
    return True


@pytest.mark.timeout(300)
def test_at_a_cap_feeds_pause_and_go_on_by_themselves(tmp_path: Path) -> None:
    material = Material.make(tmp_path, 10_000, seed=31)
    data, port = tmp_path / "data", free_port()
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        process = worker(data, HEARTBEAT_WEB_PORT=str(port), **CAPPED)
        started.append(process)
        assert listens(data, process)
        return process

    try:
        first = begin()
        with locked(data / "history.db"):
            client = replay(material.path, data)
            started.append(client)
            until(lambda: paused(port))
            with closing(SqliteLog.open(data / "log.db", clock=SystemClock(), read_only=True)) as log:
                assert CAP < max(log.sizes().values()) < 2 * CAP  # what was on its way still came
            kill(first)
        finish(client)
        second = begin()
        with locked(data / "history.db"):
            client = replay(material.path, data)
            started.append(client)
            until(lambda: paused(port))
        code, said = finish(client)
        assert code == 0, said
        until(lambda: all(part["state"] == "ok" for part in parts_but_bluesky(port)))
        kill(second)
    finally:
        for process in started:
            kill(process)
    material.check(data)


async def test_the_disk_is_told_of(tmp_path: Path) -> None:
    clock, free = FakeClock(), LITTLE_BYTES
    board = HealthBoard(clock)
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    driver = Driver(Chain(1), partitions=1, log=log, clock=clock)
    await driver.start()
    for number in range(200):
        await driver.send(INGEST, post(number), key=str(number))
    size = sum(log.sizes().values())
    settings = Settings.model_validate({"data_dir": tmp_path}).model_copy(update={"max_log_bytes": size + 1})
    engine: Engine = driver.engine
    room = Room(settings, board, log, engine, free=lambda folder: free)

    def told() -> tuple[State, str]:
        room.look()
        status = board.get("disk")
        assert status is not None and bool(status.why) == bool(status.remedy) == (status.state is not State.OK)
        return status.state, status.why

    assert told() == (State.OK, "") and room.is_near_cap() and room.lag() == 200
    free = LITTLE_BYTES - 1
    assert told() == (State.WAITING, f"999 MB are left on the disk of {tmp_path}")
    free = TOO_LITTLE_BYTES - 1
    assert told() == (State.FAILED, f"99 MB are left on the disk of {tmp_path}")
    free = LITTLE_BYTES
    await driver.send(INGEST, post(200), key="200")
    state, why = told()
    assert state is State.WAITING and why.startswith("the log holds ") and why.endswith("feeds are paused")
    assert room.paused_reason() is not None
    log.close()
