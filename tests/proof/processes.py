"""Runs the true commands, kills them, and starts them again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from heartbeat import control
from tests.proof.material import FAST, TASK


def environment(**more: str) -> dict[str, str]:
    """Ours, without anything that the person who runs the tests has set; no worker follows a real network."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HEARTBEAT_")}
    return {**ours, "HEARTBEAT_BLUESKY_HOSTS": '["ws://127.0.0.1:9"]', **more}


def replay(
    file: Path, data_dir: Path, *, faults: str = "", speed: str = "max", **settings: str
) -> subprocess.Popen[bytes]:
    """Start `heartbeat replay` in a process group of its own; `settings` are variables (HEARTBEAT_PARTITIONS, say)."""
    command = [sys.executable, "-m", "heartbeat.testing.faults", "replay", str(file)]
    command += ["--task", TASK, "--speed", speed, "--data-dir", str(data_dir)]
    more = {"HEARTBEAT_FAULTS": faults} if faults else {}
    return subprocess.Popen(
        command,
        env=environment(**{"HEARTBEAT_SENTIMENT_MODEL": FAST, **more, **settings}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def worker(data_dir: Path, *, faults: str = "", **settings: str) -> subprocess.Popen[bytes]:
    """Start `heartbeat worker`, on a free port unless `settings`, which are variables, name one."""
    more = {"HEARTBEAT_FAULTS": faults} if faults else {}
    with (data_dir.parent / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "heartbeat.testing.faults", "worker", "--data-dir", str(data_dir)],
            env=environment(
                **{"HEARTBEAT_WEB_PORT": str(free_port()), "HEARTBEAT_SENTIMENT_MODEL": FAST, **more, **settings}
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process by SIGKILL, and wait for it to be gone."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(process: subprocess.Popen[bytes], seconds: float = 240) -> tuple[int, str]:
    """Wait for a command; its exit code and what it said."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return process.returncode, (said or b"").decode()


def listens(data_dir: Path, process: subprocess.Popen[bytes], seconds: float = 120) -> bool:
    """Wait until a worker answers at its socket; False if it dies first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        connection = control.connect(data_dir)
        if connection is not None:
            connection.close()
            return True
        time.sleep(0.05)
    return False


def killed_replay(file: Path, data_dir: Path, kills: int, dice: random.Random, *, speed: str, **settings: str) -> int:
    """Kill a replay that runs alone at random moments, then let it finish. How often it was really killed."""
    done = 0
    for _ in range(kills):
        process = replay(file, data_dir, speed=speed, **settings)
        time.sleep(dice.uniform(0.2, 3.5))
        done += process.poll() is None
        kill(process)
    code, said = finish(replay(file, data_dir, **settings))
    assert code == 0, said
    return done


def killed_worker(file: Path, data_dir: Path, kills: int, dice: random.Random, *, speed: str) -> int:
    """The same with a worker that has its live feed beside the replay; the replay reaches it through its socket."""
    done = 0
    for _ in range(kills):
        process = worker(data_dir)
        client: subprocess.Popen[bytes] | None = None
        if dice.random() < 0.8 and listens(data_dir, process):
            client = replay(file, data_dir, speed=speed)
        time.sleep(dice.uniform(0.2, 3.0))
        done += process.poll() is None
        kill(process)
        if client is not None:
            try:
                client.wait(1.0)
            except subprocess.TimeoutExpired:  # it came too late to reach the worker, and began alone
                client.send_signal(signal.SIGKILL)
            code, said = finish(client)
            assert code in (0, 1, -signal.SIGKILL), said
    process = worker(data_dir)
    try:
        assert listens(data_dir, process)
        code, said = finish(replay(file, data_dir))
        assert code == 0, said
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        kill(process)
    return done
