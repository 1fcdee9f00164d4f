"""`heartbeat export insights`: every known window, and of each what the pure functions say of the whole past."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from heartbeat.cli import cli
from heartbeat.cli.insight_rows import INSIGHT_COLUMNS
from heartbeat.insights.fields import fields
from heartbeat.insights.insight import Judge, Past
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.table_writers import rfc3339
from tests.sinks.model import open_history

MINUTE = 60_000
T0 = 1_760_000_040_000 // MINUTE * MINUTE
LONG = 1_700
"""Minutes: more than a day, and more than is read at once."""

Stored = dict[tuple[str, int], Figures]


@pytest.fixture(scope="module")
def stored() -> Stored:
    """Two tasks of one feed and one of another; the first is silent for a while, then there is nobody."""
    random = Random(7)
    windows: Stored = {}
    for at in range(LONG):
        if 1_000 <= at < 1_100:
            continue
        for task, most in (("loud", 40), ("quiet", 2), ("aside", 9)):
            positive, negative = random.randint(0, most), random.randint(0, most // 2)
            if task == "loud" and (300 <= at < 340 or at == 400):
                continue
            if positive + negative:
                sums = 900_000 * positive, 0, 800_000 * negative
                windows[task, T0 + at * MINUTE] = Figures(
                    positive + negative, random.randint(0, 2), positive, 0, negative, 0, *sums
                )
    windows["loud", T0 + 1_600 * MINUTE] = Figures(300, 0, 0, 0, 300, 0, 0, 0, 240_000_000)
    return windows


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, stored: Stored) -> Iterator[Path]:
    folder: Path = tmp_path_factory.mktemp("insights")
    (folder / "config").mkdir()
    (folder / "config" / "tasks.yaml").write_text(
        "tasks:\n"
        "  - {name: loud, title: L, query: l, feeds: [demo]}\n"
        "  - {name: quiet, title: Q, query: q, feeds: [demo]}\n"
    )
    history = open_history(folder)
    records = [Pulse(task, 60, start, 1, True, 0, each, {}, {}) for (task, start), each in stored.items()]
    records.append(Pulse("loud", 60, T0 + LONG * MINUTE, 0, False, 0, Figures(1, 0, 1), {}, {}))
    records.append(Pulse("loud", 10, T0, 1, True, 0, Figures(1, 0, 1), {}, {}))
    asyncio.run(history.store_windows(("pulse", 0), list(enumerate(records))))
    history.close()
    yield folder


def export(data_dir: Path, *words: str) -> Result:
    environment = {"HEARTBEAT_CONFIG_DIR": str(data_dir / "config")}
    return CliRunner().invoke(cli, ["export", "insights", *words, "--data-dir", str(data_dir)], env=environment)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_they_are_those_of_the_whole_past(data_dir: Path, stored: Stored) -> None:
    told = rows(export(data_dir, "--task", "loud", "--format", "jsonl"))
    mine = {start: each for (task, start), each in stored.items() if task == "loud"}
    mine[T0 + LONG * MINUTE] = Figures(1, 0, 1)
    heard: dict[int, int] = {T0 + LONG * MINUTE: 1}
    for (task, start), each in stored.items():
        if task != "aside":
            heard[start] = heard.get(start, 0) + each.scored + each.unscored
    judge = Judge(Past(60, mine, heard, T0, heard, {T0 + LONG * MINUTE}))
    starts = [start for start in range(T0, T0 + (LONG + 1) * MINUTE, MINUTE) if start in mine or judge.knows(start)]
    assert [row["window_start"] for row in told] == [rfc3339(start) for start in starts]
    for start, row in zip(starts, told, strict=True):
        insight = judge.insight(start, final=start != T0 + LONG * MINUTE)
        assert {name: row[name] for name in fields(insight)} == fields(insight)
        assert row["spike"] == (insight.spike and insight.spike.strength)
        assert row["reference"] == insight.reference
        assert row["total_day"] == (insight.day and insight.day.total.then)
        assert row["final"] == insight.final
    by_start = {row["window_start"]: row for row in told}
    silent = by_start[rfc3339(T0 + 400 * MINUTE)]
    assert (silent["total"], silent["score"], silent["voice_share"] in (0, None)) == (0, None, True)
    assert rfc3339(T0 + 1_050 * MINUTE) not in by_start
    loudest = by_start[rfc3339(T0 + 1_600 * MINUTE)]
    assert (loudest["spike"], loudest["shift_neg"], loudest["shift_pos"]) == ("very high", "very high", "very low")
    assert by_start[rfc3339(T0 + 1_500 * MINUTE)]["total_day"] == mine[T0 + 60 * MINUTE].scored + (
        mine[T0 + 60 * MINUTE].unscored
    )


def test_all_formats_say_the_same(data_dir: Path, tmp_path: Path) -> None:
    some = ["--from", str(T0 + 1_590 * MINUTE), "--to", str(T0 + 1_640 * MINUTE)]
    told = rows(export(data_dir, *some, "--format", "jsonl"))
    table = csv.DictReader(io.StringIO(export(data_dir, *some).stdout))
    assert table.fieldnames == [column.name for column in INSIGHT_COLUMNS]
    for row, cells in zip(told, table, strict=True):
        shown = {name: json.dumps(value) if isinstance(value, bool) else str(value) for name, value in row.items()}
        assert cells == {name: "" if row[name] is None else text for name, text in shown.items()}
    assert export(data_dir, *some, "--format", "parquet", "--output", str(tmp_path / "x.parquet")).exit_code == 0
    columns = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert list(columns) == [column.name for column in INSIGHT_COLUMNS]
    assert columns["spike_z"] == [row["spike_z"] for row in told]
    assert {row["task"] for row in told} == {"loud", "quiet", "aside"}


def test_a_range_is_cut_from_the_whole(data_dir: Path) -> None:
    until = str(T0 + 760 * MINUTE)
    whole = rows(export(data_dir, "--task", "quiet", "--format", "jsonl", "--to", until))
    first, last = T0 + 700 * MINUTE + 1, T0 + 720 * MINUTE
    part = rows(export(data_dir, "--task", "quiet", "--format", "jsonl", "--from", str(first), "--to", str(last)))
    assert part == [row for row in whole if rfc3339(first) <= row["window_start"] < rfc3339(last)]
    assert len(part) == 19


def test_a_task_that_is_not_configured_has_no_voice(data_dir: Path) -> None:
    told = rows(export(data_dir, "--task", "aside", "--format", "jsonl", "--to", str(T0 + 300 * MINUTE)))
    assert all(row["voice_share"] is None and row["voice_share_prev"] is None for row in told)
    assert sum(row["spike"] is not None for row in told) > 200


def test_mistakes_are_told(data_dir: Path) -> None:
    wrong = export(data_dir, "--size", "7")
    assert wrong.exit_code == 1 and "there are for 10, 60" in wrong.stderr
    nobody = export(data_dir, "--task", "nobody")
    assert nobody.exit_code == 1 and "there is no task 'nobody'" in nobody.stderr
    backwards = export(data_dir, "--from", "2000", "--to", "1000")
    assert backwards.exit_code == 2 and "is after" in backwards.stderr
    small = rows(export(data_dir, "--size", "10", "--format", "jsonl"))
    assert [(row["task"], row["window_seconds"], row["reference"]) for row in small] == [("loud", 10, 0)]
