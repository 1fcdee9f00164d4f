"""kill -9 of a process that writes: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heartbeat.clock import SystemClock
from heartbeat.engine.faults import POINTS
from heartbeat.engine.log import TP
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.testing.faults import VARIABLE
from tests.engine.log_writer import CHAINS, verify, verify_sizes

MINE = [point for point in POINTS if point.startswith(("log.", "retention."))]
UNREACHED = {
    "log.migrate": "there is one version so far; see test_log_file",
    "log.settle": "needs a COMMIT that fails; see the test with a lie",
}


class Run:
    """A writing process and what it has acknowledged."""

    def __init__(self, folder: Path, units: int, faults: str = "") -> None:
        self.acknowledged: dict[int, int] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.log_writer", str(folder), str(units)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {VARIABLE: faults},
        )
        self.opened = threading.Event()
        self.finished = False
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ok ") and line.endswith("\n"):
                _, chain, number = line.split()
                self.acknowledged[int(chain)] = int(number)
            self.opened.set()
            self.finished = line == "done\n"
        self.opened.set()

    def end(self, *, kill: bool = False) -> int:
        if kill:
            self.process.kill()
        code = self.process.wait(timeout=180)
        self._reading.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        errors = self.process.stderr.read()
        self.process.stderr.close()
        assert "Traceback" not in errors, errors
        return code


def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print("seed", seed)
    done = [0] * CHAINS
    for _ in range(20):
        run = Run(tmp_path, 10**6)
        run.opened.wait(30)
        threading.Event().wait(dice.random() * 0.25)
        assert run.end(kill=True) == -9
        before, done = done, verify(tmp_path, run.acknowledged)
        assert all(now >= then for then, now in zip(before, done, strict=True))
    assert min(done) > 100
    log = SqliteLog.open(tmp_path / "log.db", clock=SystemClock())
    try:
        verify_sizes(log)
        assert log.query("PRAGMA integrity_check", ()) == [("ok",)]
        assert log.begin_offset(TP("output", 0)) > 0, "retention never came to anything"
        states = asyncio.run(log.fetch(TP("states", 0), 0, 10**9, 0))
        assert len(states) < log.end_offset(TP("states", 0)) * 2 / 3, "nothing was superseded"
    finally:
        log.close()


@pytest.mark.parametrize("action", ["kill", "killsoon"])
@pytest.mark.parametrize("point", [point for point in MINE if point not in UNREACHED])
def test_killed_at_every_point(tmp_path: Path, point: str, action: str) -> None:
    """At the first time that it is met, and again at a later time; then a run without faults ends it."""
    died = 0
    for nth in (1, 4):
        run = Run(tmp_path, 60 * nth, f"{point}:{action}:@{nth}")
        died += run.end() == -9
        if (tmp_path / "log.db").exists():
            verify(tmp_path, run.acknowledged)
    if action == "kill":
        assert died, f"{point} was never met"
    last = Run(tmp_path, 300)
    assert last.end() == 0
    assert last.finished
    assert verify(tmp_path, last.acknowledged) == [300] * CHAINS


@pytest.mark.parametrize(
    "faults",
    [
        "log.begin:fail:0.2,log.begun:full:0.2,log.insert:fail:0.2,log.commit:full:0.2",
        "log.committed:lie:0.3,log.settle:fail:0.3",
        "log.report:lie:0.3",
        "retention.step:fail:0.3,log.fetch:fail:0.2,log.recover:fail:0.2,log.state:fail:0.2,retention.checkpoint:full:0.5",
    ],
)
def test_errors_lose_and_double_nothing(tmp_path: Path, faults: str) -> None:
    """The writer begins again from the committed offset, and everything takes place once."""
    run = Run(tmp_path, 150, faults)
    assert run.end() == 0
    assert run.finished
    assert verify(tmp_path, run.acknowledged) == [150] * CHAINS


def test_a_commit_that_only_seems_to_fail_is_settled(tmp_path: Path) -> None:
    """Killed while the outcome is looked up."""
    run = Run(tmp_path, 100, "log.committed:lie:@7,log.settle:kill")
    assert run.end() == -9
    verify(tmp_path, run.acknowledged)
