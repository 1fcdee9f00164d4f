"""What InfluxDB holds, in the shape of the oracle."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from heartbeat.records import Figures
from heartbeat.testing.oracle import Held, Window
from tests.influx.server import BUCKET, Influxd

SIZES = {"10s": 10, "1m": 60, "15m": 900}


def held_by(server: Influxd, bucket: str = BUCKET, *, knows_late: bool = True) -> dict[Window, Held]:
    """Every window that holds a post; each point is looked at on the way.

    `knows_late`: whether its points have counts of late posts, as those that the agent writes do.
    """
    overall: dict[Window, Figures] = {}
    parts: dict[str, dict[Window, dict[str, Figures]]] = {"lang": {}, "source": {}}
    models: dict[Window, dict[str, int]] = {}
    for row in server.rows(bucket=bucket):
        window = Window(row["task"], SIZES[row["size"]], milliseconds(row["time"]))
        figures = Figures(*(row[name] for name in Figures._fields))
        check_point(row, figures)
        if row["by"] == "overall":
            assert row["key"] == "all" and ("late" in row) is knows_late
            assert type(row.get("late", 0)) is int
            if figures.scored + figures.unscored:
                overall[window] = figures
                models[window] = {
                    name.removeprefix("model:"): count for name, count in row.items() if ":" in name and count
                }
        elif any(figures):
            parts[row["by"]].setdefault(window, {})[row["key"]] = figures
    assert all(window in overall for kind in parts.values() for window in kind)
    return {
        window: Held(figures, parts["lang"].get(window, {}), parts["source"].get(window, {}), models[window])
        for window, figures in overall.items()
    }


def check_point(row: dict[str, Any], figures: Figures) -> None:
    """Its fields fit each other, and are of the types that they always are."""
    assert {name for name in row if name in ("author", "id", "content", "model")} == set()
    assert row["total"] == figures.scored + figures.unscored
    assert sum(figures[2:6]) == figures.scored
    assert row["final"] in (0, 1) and type(row["final"]) is int and type(row["revision"]) is int
    assert all(type(row[name]) is int for name in Figures._fields)
    for name in ("pos", "neu", "neg"):
        if figures.scored:
            assert row[name] == pytest.approx(row[f"{name}_e6"] / 1e6 / figures.scored)
        else:
            assert row.get(name, 0.0) == 0.0
    if figures.scored:
        assert row["score"] == pytest.approx(row["pos"] - row["neg"])


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
