"""With and without an InfluxDB in the settings: which agents there are, and what the log and the feeds wait for."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat.agents.influx_tables import InfluxTables
from heartbeat.app import station
from heartbeat.engine.log import TP, Append, UnitWrite
from heartbeat.errors import InfluxError
from heartbeat.room import Room
from heartbeat.settings import Settings, load
from heartbeat.station import Station

GROUP = "heartbeat-influx"
AGAIN = InfluxTables.made().again.changelog.name  # type: ignore[attr-defined]


def settings(folder: Path, **more: object) -> Settings:
    return load().model_copy(update={"data_dir": folder, "sentiment_model": "sentiment-fast", **more})


def configured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Station:
    monkeypatch.setenv("HEARTBEAT_INFLUX_TOKEN", "t")
    return station(settings(folder, influx_url="http://127.0.0.1:9", influx_org="o", influx_token=load().influx_token))


def test_without_one_nothing_is_missing(tmp_path: Path) -> None:
    assert "influx" not in [agent.name for agent in station(settings(tmp_path)).agents]


def test_half_a_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InfluxError, match="HEARTBEAT_INFLUX_ORG and HEARTBEAT_INFLUX_TOKEN are not"):
        station(settings(tmp_path, influx_url="http://127.0.0.1:9"))


async def test_the_log_waits_for_influxdb_only_while_it_is_configured_and_feeds_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = configured(tmp_path, monkeypatch)
    log = parts.open()
    engine = parts.engine(log)
    await engine.load(engine.everything())
    for name in ("influx", "history-windows"):
        engine.agents[name].pipeline(0)
    await log.write(UnitWrite([Append("pulse", 0, b"k", b"v")] * 5))
    await log.write(UnitWrite([Append(AGAIN, partition, b"w", b"row") for partition in range(4)]))
    assert engine.agents["influx"].lag() == engine.agents["history-windows"].lag() == 5
    del engine.agents["history-windows"].pipelines[0]
    assert Room(parts.settings, parts.board, log, engine).lag() == 0
    assert GROUP in log.groups("pulse")
    log.close()
    await parts.close()

    parts = station(settings(tmp_path))
    log = parts.open()
    assert GROUP not in log.groups("pulse") and log.committed(GROUP, TP("pulse", 0)) is None
    assert [log.count_latest(TP(AGAIN, partition)) for partition in range(4)] == [0] * 4
    assert log.sizes()[AGAIN] == 0
    log.close()
    await parts.close()
