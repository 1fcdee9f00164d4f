"""A real Faust worker on the embedded log: killed, stopped, resubscribed, beside plain Faust agents."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO

import pytest

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.codec import Codec
from heartbeat.engine.log import TP, Append, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Pulse, Scored
from heartbeat.testing.driver import Driver
from heartbeat.testing.faults import VARIABLE
from tests.engine.chain import Chain, oracle, post

ROOT = Path(__file__).parents[2]
PARTITIONS = 4


def seed(path: Path, count: int) -> None:
    """Write posts into `ingest`, spread over its partitions, before any worker runs."""

    async def write() -> None:
        log = SqliteLog.open(path, clock=SystemClock())
        log.create_topic(topics.INGEST, PARTITIONS)
        codec = Codec(log)
        for at in range(0, count, 5000):
            numbers = range(at, min(at + 5000, count))
            rows = [Append("ingest", n % PARTITIONS, b"%d" % n, codec.encode(post(n))) for n in numbers]
            await log.write(UnitWrite(rows))
        log.close()

    path.parent.mkdir(exist_ok=True)
    asyncio.run(write())


class Small:
    """One worker process after another on one log."""

    def __init__(self, path: Path, **variables: object) -> None:
        self.path = path
        self.environment = os.environ | {"SMALL_DB": str(path)} | {k: str(v) for k, v in variables.items()}
        self.output: IO[bytes] = (path.parent / "output").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        arguments = command or ("worker", "-l", "info")
        self.begun = len(self.text())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "tests.engine.small_app", *arguments],
            cwd=ROOT,
            stdout=self.output,
            stderr=self.output,
            env=self.environment,
        )
        return self.process

    def text(self) -> str:
        return (self.path.parent / "output").read_text(errors="replace")

    def wait_for(self, words: str, limit_s: float = 60) -> None:
        """Wait until the process that was started last has said this."""
        until = time.monotonic() + limit_s
        while words not in self.text()[self.begun :]:
            assert time.monotonic() < until, f"{words!r} did not come:\n{self.text()[-3000:]}"
            time.sleep(0.02)

    def end(self, signal_number: int = signal.SIGTERM, limit_s: float = 60) -> tuple[int, float]:
        """Exit status, and how long stopping took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal_number)
        code = self.process.wait(limit_s)
        return code, time.monotonic() - began

    def done(self) -> int:
        """How many messages both agents have finished."""
        log = SqliteLog.open(self.path, clock=SystemClock(), read_only=True)
        try:
            places = [("relay", "ingest"), ("count", "sentiment")]
            return sum(
                log.committed(f"small-{agent}", TP(topic, partition)) or 0
                for agent, topic in places
                if topic in log.topics()
                for partition in range(PARTITIONS)
            )
        finally:
            log.close()

    def drain(self, count: int, limit_s: float = 120) -> None:
        self.wait_for("## service started")
        until = time.monotonic() + limit_s
        while self.done() < count:
            assert time.monotonic() < until, f"{self.done()} of {count}:\n{self.text()[-3000:]}"
            assert self.process is not None and self.process.poll() is None, self.text()[-3000:]
            time.sleep(0.05)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()


async def verify(path: Path, count: int) -> None:
    """What the log holds equals the oracle: the recovered table, each topic, the disk table."""
    chain = Chain(PARTITIONS, tick=True)
    log = SqliteLog.open(path, clock=SystemClock())
    driver = Driver(chain, partitions=PARTITIONS, log=log, app_id="small")
    await driver.start()
    assert not driver.busy()
    assert not await driver.dead_letters()
    assert {task: row for task, row in chain.counts.items() if task != "ticks"} == oracle(range(count))
    ids = sorted(int(value.id) for value in await driver.values(topics.SENTIMENT) if isinstance(value, Scored))
    assert ids == list(range(count))
    times: dict[str, int] = {}
    for partition in range(PARTITIONS):
        times |= chain.seen.part(partition).get_many([str(number) for number in range(count)])
    assert times == {str(number): 1 for number in range(count)}
    last: dict[str, int] = {}
    for message in await driver.read(topics.PULSE):
        assert isinstance(message.value, Pulse)
        key = f"ticks/{message.partition}" if message.value.task == "ticks" else message.value.task
        assert message.value.revision > last.get(key, 0), "repeats or goes back"
        last[key] = message.value.revision
    for partition in range(PARTITIONS):
        assert chain.counts.part(partition).get("ticks") == [last[f"ticks/{partition}"], 0]
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


def test_killed_again_and_again(path: Path) -> None:
    count = 12_000
    dice = random.Random()
    seed(path, count)
    small = Small(path, SMALL_THROTTLE=0.02)
    try:
        for at in sorted(dice.randrange(2 * count) for _ in range(8)):
            process = small.start()
            if dice.random() < 0.3:  # somewhere in its start
                time.sleep(dice.random() * 1.5)
            else:
                while small.done() < at and process.poll() is None:
                    time.sleep(0.01)
            process.kill()
            process.wait()
        small.start()
        small.drain(2 * count)
        code, seconds = small.end()
        assert (code, seconds < 30) == (0, True)
    finally:
        small.close()
    asyncio.run(verify(path, count))


DEADLY = {
    "log.begun:kill:@20": -signal.SIGKILL,
    "log.commit:kill:@30": -signal.SIGKILL,
    "log.committed:kill:@25": -signal.SIGKILL,
    "log.report:lie:@15": 1,  # the worker is told of a failure, though there was none: it must not go on
}


def test_killed_within_commits(path: Path) -> None:
    count = 3_000
    seed(path, count)
    try:
        for fault, code in DEADLY.items():
            small = Small(path, **{VARIABLE: fault})
            assert small.start().wait(60) == code, small.text()[-3000:]
            small.close()
        small = Small(path)
        small.start()
        small.drain(2 * count)
        assert small.end()[0] == 0
    finally:
        small.close()
    asyncio.run(verify(path, count))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("sleep_s", [0, 1.5, 60])
def test_it_stops_in_time(path: Path, number: signal.Signals, sleep_s: float) -> None:
    """Within its grace of three seconds, whatever a handler does: far below a minute, on a busy machine too."""
    seed(path, 500)
    small = Small(path, **({"SMALL_SLEEPER": sleep_s} if sleep_s else {}))
    try:
        small.start()
        small.drain(1000)  # a sleeping handler delays nobody else
        if sleep_s:
            small.wait_for("## sleeping")
        code, seconds = small.end(number)
        assert code == 0
        assert seconds < 30
    finally:
        small.close()
    text = small.text()
    assert "## service started, ready: True" in text and "## service stopped" in text
    log = SqliteLog.open(path, clock=SystemClock(), read_only=True)
    if sleep_s:  # within the grace it is finished, else undone as a whole
        finished = sleep_s < 3
        assert log.end_offset(TP("language", 0)) == finished
        assert log.committed("small-sleeper", TP("slow", 0)) == (1 if finished else None)
    log.close()
    asyncio.run(verify(path, 500))


def test_it_is_ready_soon(path: Path) -> None:
    seed(path, 100)
    small = Small(path)
    try:
        began = time.monotonic()
        small.start()
        small.wait_for("## recovered")
        assert time.monotonic() - began < 20
        assert small.end()[0] == 0
    finally:
        small.close()


def test_subscriptions_change_while_it_works(path: Path) -> None:
    count = 8_000
    seed(path, count)
    small = Small(path, SMALL_RESUBSCRIBE=6, SMALL_THROTTLE=0.02, SMALL_PLAIN=1)
    try:
        small.start()
        small.wait_for("## resubscribed")
        small.drain(2 * count)
        assert small.end()[0] == 0
    finally:
        small.close()
    assert small.text().count("## recovered") >= 5
    asyncio.run(verify(path, count))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_plain_faust_works_beside_ours(path: Path) -> None:
    count = 1_000
    seed(path, count)
    port = free_port()
    small = Small(path, SMALL_PLAIN=1, SMALL_WEB=port)

    def page() -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/plain", timeout=5) as answer:
            out: dict[str, int] = json.loads(answer.read())
            return out

    try:
        for _ in range(2):
            small.start()
            small.drain(2 * count)
            until = time.monotonic() + 60
            while True:
                try:
                    found = page()
                    if found["table"] == count and found["ticks"] > 3:
                        break
                except OSError:
                    found = {}
                assert time.monotonic() < until, f"{found}\n{small.text()[-3000:]}"
                time.sleep(0.05)
            assert found["ready"] is True
            assert small.end()[0] == 0
    finally:
        small.close()
    assert found["messages"] == 0  # the second time: committed, and the table recovered from its changelog
    log = SqliteLog.open(path, clock=SystemClock(), read_only=True)
    assert sum(log.end_offset(TP("plain-out", partition)) for partition in range(PARTITIONS)) == count
    log.close()
    asyncio.run(verify(path, count))


def test_a_bug_in_the_engine_ends_the_worker(path: Path) -> None:
    seed(path, 10)
    small = Small(path, SMALL_BUG=1)
    try:
        process = small.start()
        assert process.wait(60) == 1
    finally:
        small.close()
    assert "a bug in the engine" in small.text()


def test_lists_while_a_worker_runs_and_a_second_worker_is_refused(path: Path) -> None:
    seed(path, 10)
    small = Small(path)
    second = Small(path)
    try:
        first = small.start()
        small.wait_for("## recovered")
        for command, words in (("agents", ["@relay", "ingest", "@count"]), ("tables", ["counts", "seen"])):
            listed = subprocess.run(
                [sys.executable, "-m", "faust", "-A", "tests.engine.small_app", command],
                cwd=ROOT,
                env=small.environment,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert listed.returncode == 0, listed.stderr
            assert all(word in listed.stdout for word in words), listed.stdout
        assert second.start().wait(60) == 1
        assert f"in use by process {first.pid}" in second.text()
        assert first.poll() is None
        assert small.end()[0] == 0
    finally:
        small.close()
        second.close()


def test_a_port_in_use_is_said_clearly(path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path.parent.mkdir()
        small = Small(path, SMALL_WEB=port)
        try:
            assert small.start().wait(60) == 1
        finally:
            small.close()
    assert f"the pages cannot be served on 127.0.0.1:{port}" in small.text()
    assert "HEARTBEAT_WEB_PORT" in small.text()
