"""The true commands against a real server: a worker with its live feed, and `heartbeat influx …`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.inside import inside
from tests.influx.server import TOKEN, Influxd
from tests.influx.test_kill import environment as settings_of
from tests.influx.test_kill import in_influxdb
from tests.proof.material import Material, difference, measured
from tests.proof.processes import environment, finish, free_port, kill, listens, replay


def command(server: Influxd | None, *words: str, **more: str) -> tuple[int, str, str]:
    """Run `heartbeat influx …` here: exit code, output, errors."""
    done = inside("influx", *words, **{**(settings_of(server) if server else {}), **more})
    assert TOKEN not in done.out + done.err
    return done


def test_a_worker_writes_windows_and_its_own_health(influxd: Influxd, tmp_path: Path) -> None:
    log, data = tmp_path / "worker.log", tmp_path / "data"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "heartbeat", "worker", "--data-dir", str(data)],
            env=environment(**settings_of(influxd), HEARTBEAT_WEB_PORT=str(free_port())),
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        assert listens(data, process)
        until = time.monotonic() + 60
        while not (influxd.rows("pipeline") and influxd.rows()) and time.monotonic() < until:
            time.sleep(0.5)
        health = {(row["part"], row["name"]): row for row in influxd.rows("pipeline")}
        assert {part for part, _ in health} >= {"agent", "feed", "topic", "log", "sink"}
        assert health["agent", "influx"]["state"] == 0 and type(health["agent", "influx"]["lag"]) is int
        assert health["feed", "demo"]["paused"] == 0 and health["feed", "demo"]["watermark_delay_ms"] >= 0
        assert health["topic", "pulse"]["bytes"] > 0 and health["sink", "influx"]["points"] > 0
        assert {row["size"] for row in influxd.rows()} == {"10s", "1m", "15m"}
        process.terminate()
        assert process.wait(60) == 0
    finally:
        kill(process)
    assert TOKEN not in log.read_text() and "Traceback" not in log.read_text()


def test_setup_check_and_replay(own: Influxd, tmp_path: Path) -> None:
    material = Material.make(tmp_path, 300, seed=3)
    code, said = finish(replay(material.path, tmp_path / "data"))
    assert code == 0, said
    where = {"HEARTBEAT_INFLUX_BUCKET": "new"}
    code, out, err = command(own, "check", **where)
    assert code == 1 and 'bucket "new" not found; make the bucket with `heartbeat influx setup`' in err
    code, out, err = command(own, "setup", "--retention", "5000d", **where)
    assert code == 0 and "bucket new: made; keeps points for 5,000 days" in out and "may write" in out
    code, out, err = command(own, "setup", **where)
    assert code == 0 and "bucket new: is there; keeps points for 5,000 days" in out
    code, out, err = command(own, "check", **where)
    assert code == 0 and "version v2.7" in out
    code, out, err = command(own, "check", "--json", **where)
    assert code == 0 and json.loads(out)["retention_s"] == 5000 * 86_400 and json.loads(out)["may_write"]
    span = ["--from", "2025-01-01", "--data-dir", str(tmp_path / "data")]
    for _ in range(2):
        code, out, err = command(own, "replay", *span, "--bucket", "new")
        assert code == 0 and f"written to bucket new at {own.url}" in err, err
        assert not (wrong := difference(in_influxdb(own, "new", knows_late=False), measured(material.want))), wrong
    code, out, err = command(own, "replay", *span, "--bucket", "nowhere")
    assert code == 1 and 'bucket "nowhere" not found' in err
    code, out, err = command(own, "setup", "--retention", "1h", HEARTBEAT_INFLUX_BUCKET="short")
    assert code == 0
    code, out, err = command(own, "replay", *span, "--bucket", "short")
    assert code == 1 and "refused" in err and "outside retention policy" in err


def test_what_is_wrong_is_said_in_one_line(influxd: Influxd) -> None:
    code, out, err = command(None, "check")
    assert code == 2 and "no InfluxDB is configured" in err
    code, out, err = command(None, "check", HEARTBEAT_INFLUX_URL=influxd.url)
    assert code == 2 and "HEARTBEAT_INFLUX_ORG and HEARTBEAT_INFLUX_TOKEN are not" in err
    code, out, err = command(influxd, "check", HEARTBEAT_INFLUX_TOKEN="wrong")
    assert code == 1 and "401" in err and "HEARTBEAT_INFLUX_TOKEN" in err
    code, out, err = command(influxd, "check", HEARTBEAT_INFLUX_ORG="nobody")
    assert code == 1 and "HEARTBEAT_INFLUX_ORG" in err
    code, out, err = command(influxd, "check", HEARTBEAT_INFLUX_URL="http://127.0.0.1:9")
    assert code == 1 and "Connection refused" in err and "is it running there" in err
    assert err.count("\n") == 1
