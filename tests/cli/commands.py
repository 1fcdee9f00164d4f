"""Runs `heartbeat …` as a user does, without anything that the person who runs the tests has set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
POST = '{"id": "%s", "source": "x", "content": "good", "time": 1763794800000}\n'


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Ours, but for Heartbeat's own variables; no worker of a test follows a real network."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HEARTBEAT_")}
    return {**ours, "HEARTBEAT_BLUESKY_HOSTS": '["ws://127.0.0.1:9"]', **more}


def start(*words: str, **env: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "heartbeat", *words],
        env=environment(**env),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for it; it never shows a traceback."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end: {out}{err}") from None
    assert "Traceback" not in err and "Exception ignored" not in err, err
    return Done(process.returncode, out, err)


def run(*words: str, **env: str) -> Done:
    """Run a command to its end."""
    return finish(start(*words, **env))
