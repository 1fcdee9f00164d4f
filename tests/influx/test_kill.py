"""`kill -9` of either side at any moment: what InfluxDB holds in the end is what the oracle says of the file."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import closing
from pathlib import Path

from heartbeat.clock import SystemClock
from heartbeat.engine import sqlite_schema
from heartbeat.engine.log import TP
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Figures
from tests.influx.held import held_by
from tests.influx.server import BUCKET, ORG, TOKEN, Influxd
from tests.proof.material import Material, Row, difference, exported, measured
from tests.proof.processes import finish, kill, replay

KILLS = 20


def environment(server: Influxd) -> dict[str, str]:
    return {
        "HEARTBEAT_INFLUX_URL": server.url,
        "HEARTBEAT_INFLUX_ORG": ORG,
        "HEARTBEAT_INFLUX_BUCKET": BUCKET,
        "HEARTBEAT_INFLUX_TOKEN": TOKEN,
    }


def in_influxdb(server: Influxd, bucket: str = BUCKET, *, knows_late: bool = True) -> dict[Row, Row]:
    """What the server holds, in the shape of the file's oracle."""
    rows: dict[Row, Row] = {}
    for window, held in held_by(server, bucket, knows_late=knows_late).items():
        parts = {("all", "all"): held.overall}
        parts |= {("lang", key): figures for key, figures in held.by_lang.items()}
        parts |= {("source", key): figures for key, figures in held.by_source.items()}
        for (by, key), figures in parts.items():
            rows[window.size_s, window.start_ms, by, key] = tuple(Figures(*figures))
    return rows


def test_killing_either_side_loses_nothing_and_doubles_nothing(own: Influxd, tmp_path: Path) -> None:
    material = Material.make(tmp_path, 2000, seed=7, too_late=0.05)
    data, dice, settings = tmp_path / "data", random.Random(7), environment(own)
    ours = theirs = 0
    running: subprocess.Popen[bytes] | None = None
    while ours + theirs < KILLS:
        if running is None or running.poll() is not None:
            running = replay(material.path, data, speed="400", **settings)
        if ours <= theirs:
            time.sleep(dice.uniform(0.5, 3.0))
            ours += running.poll() is None
            kill(running)
        else:
            time.sleep(dice.uniform(1.0, 2.0))
            own.kill()
            time.sleep(dice.uniform(0, 0.3))
            own.start()
            theirs += 1
    if running is not None:
        kill(running)
    code, said = finish(replay(material.path, data, **settings))
    assert code == 0 and "wait for InfluxDB" not in said, said
    assert not (wrong := difference(exported(data), material.want)), wrong
    assert not (wrong := difference(in_influxdb(own), measured(material.want))), wrong


def test_while_influxdb_stands_still_the_rest_goes_on(own: Influxd, tmp_path: Path) -> None:
    material = Material.make(tmp_path, 300, seed=8)
    data, settings = tmp_path / "data", environment(own)
    own.hold()
    code, said = finish(replay(material.path, data, **settings))
    assert code == 0 and "records of windows wait for InfluxDB (InfluxDB does not answer in time)" in said, said
    own.release()
    code, said = finish(replay(material.path, data, **settings))
    assert code == 0 and "wait for InfluxDB" not in said, said
    assert not (wrong := difference(in_influxdb(own), measured(material.want))), wrong
    assert TOKEN not in said
    with closing(SqliteLog.open(sqlite_schema.place("sqlite:", data), clock=SystemClock())) as log:
        for tp in (TP("pulse", partition) for partition in range(log.partitions("pulse"))):
            assert log.committed("heartbeat-insight-points", tp) == (log.end_offset(tp) or None), (
                "insights are there, too"
            )
