"""Starts Heartbeat as `make run` does, on a fresh folder and a free port; waits for a counted post; stops it.

Exits 0 if the worker was ready, counted what the demo said, and ended by itself within five seconds of Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

START_S, COUNT_S, STOP_S = 20.0, 40.0, 5.0


def get(port: int, path: str) -> object | None:
    """The JSON that a path answers with, or None while it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def wait(what: str, seconds: float, port: int, path: str) -> float:
    """Poll until a path answers with something; the seconds it took."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        answer = get(port, path)
        if answer:
            rows = answer.get("posts", [1]) if isinstance(answer, dict) else answer
            if rows:
                return time.monotonic() - begin
        time.sleep(0.1)
    raise SystemExit(f"smoke: {what} did not happen within {seconds:.0f} s")


def main() -> None:
    """Run the check."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HEARTBEAT_WEB_PORT": str(port), "HEARTBEAT_DATA_DIR": folder}
        heartbeat = Path(sys.executable).with_name("heartbeat")
        worker = subprocess.Popen([heartbeat, "worker"], env=environment)
        try:
            ready = wait("ready", START_S, port, "/ready")
            tasks = get(port, "/api/tasks")
            assert isinstance(tasks, dict)
            counted = wait("a counted post", COUNT_S, port, f"/api/posts?task={tasks['tasks'][0]['name']}&limit=1")
            worker.send_signal(signal.SIGINT)
            begin = time.monotonic()
            code = worker.wait(STOP_S)
            print(
                f"smoke: ready after {ready:.1f} s, first post {counted:.1f} s later, "
                f"stopped in {time.monotonic() - begin:.1f} s with exit code {code}"
            )
            sys.exit(code)
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


main()
