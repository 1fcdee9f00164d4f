"""A real influxd on a free port, with a data directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from pydantic import SecretStr

from heartbeat.sinks.influx_client import InfluxPlace
from tests.proof.processes import free_port

ORG: Final = "heart"
BUCKET: Final = "beat"
TOKEN: Final = "operator-of-the-tests"


def binary() -> Path:
    """The influxd that `INFLUXD` names, or the one on PATH; without one the test is skipped, under CI it fails."""
    named = os.environ.get("INFLUXD") or shutil.which("influxd")
    if named and Path(named).is_file():
        return Path(named)
    why = f"{named} is no file" if named else "there is no influxd: name one with INFLUXD (`make influxd` builds one)"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class Influxd:
    """A server that can be started, stopped, killed and held still. What it keeps survives all of that.

    Args:
        folder: for its data and its log.
        options: more of the command line.
    """

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder, self.options = folder, options
        self.binary = binary()
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> InfluxPlace:
        return InfluxPlace(self.url, ORG, BUCKET, SecretStr(TOKEN))

    def start(self, *options: str) -> None:
        """Start it and wait until it answers."""
        data = self.folder / "data"
        with (self.folder / "influxd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(self.binary), "run", "--http-bind-address", f"127.0.0.1:{self.port}",
                    "--bolt-path", f"{data}/influxd.bolt", "--sqlite-path", f"{data}/influxd.sqlite",
                    "--engine-path", f"{data}/engine", "--reporting-disabled", "--ui-disabled",
                    *self.options, *options,
                ],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + 60
        while True:
            try:
                self.ask("GET", "/health")
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def set_up(self, retention_s: int = 0) -> None:
        """Make the first user, the organization, the bucket and the token."""
        self.ask(
            "POST", "/api/v2/setup",
            {"username": "u", "password": "password", "org": ORG, "bucket": BUCKET, "token": TOKEN,
             "retentionPeriodSeconds": retention_s},
        )  # fmt: skip

    def ask(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> Any:
        """Call its API; an HTTP error is raised as `urllib.error.HTTPError`."""
        data = body.encode() if isinstance(body, str) else None if body is None else orjson.dumps(body)
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Authorization": f"Token {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = answer.read()
        return orjson.loads(said) if said and said[:1] in b"{[" else said.decode()

    def write(self, lines: str, bucket: str = BUCKET) -> None:
        """Write as somebody else would."""
        self.ask("POST", f"/api/v2/write?org={ORG}&bucket={bucket}&precision=ms", lines)

    def rows(self, measurement: str = "pulse", bucket: str = BUCKET, start: str = "0") -> list[dict[str, Any]]:
        """Every point, its fields as columns; tags as texts, integers as integers."""
        flux = (
            f'from(bucket: "{bucket}") |> range(start: {start}, stop: 2100-01-01T00:00:00Z)'
            f' |> filter(fn: (r) => r._measurement == "{measurement}")'
        )
        points: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        for row in self.query(flux):
            tags = {k: v for k, v in row.items() if k and not k.startswith("_") and k not in ("result", "table")}
            key = (*sorted(tags.items()), ("time", row["_time"]))
            points.setdefault(key, {**tags, "time": row["_time"]})[row["_field"]] = row["_value"]
        return list(points.values())

    def query(self, flux: str) -> list[dict[str, Any]]:
        """The rows of a Flux query; values as their columns' types say."""
        said: str = self.ask("POST", f"/api/v2/query?org={ORG}", {"query": flux, "dialect": _ANNOTATED})
        rows: list[dict[str, Any]] = []
        kinds: list[str] = []
        names: list[str] = []
        for line in said.splitlines():
            cells = line.split(",")
            if line.startswith("#datatype"):
                kinds, names = cells, []
            elif not line:
                continue
            elif not names:
                names = cells
            else:
                cast: Mapping[str, Any] = {"long": int, "double": float, "boolean": lambda text: text == "true"}
                rows.append({n: cast.get(k, str)(c) for n, k, c in zip(names, kinds, cells, strict=True) if c})
        return rows

    def hold(self) -> None:
        """Stop it in its tracks: connections are taken, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.release()
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


_ANNOTATED = {"annotations": ["datatype"], "header": True}
