"""Files of every version that was released are brought up to date, whatever interrupts it, and hold what they held.

`versions/history-N.sql` are dumps of files that version N wrote. A new version adds its own and changes no other.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heartbeat.errors import HistoryError
from heartbeat.sinks import history_file, history_schema
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rollup import DAY_S
from tests.sinks.migrating_process import content, restore
from tests.sinks.model import T0, Model, all_windows, late, open_history, pulse, scored

VERSIONS = Path(__file__).parent / "versions"
RELEASED = range(1, len(history_schema.STEPS) + 1)
DAY_MS = 86_400_000


def held() -> Model:
    """What is in each of the dumps."""
    posts = [
        scored("1"),
        scored("2", pos=None, source="reddit", time_ms=T0 + 15_000),
        scored("3", lang="de", pos=0.5, label="mixed", content="ein Text", time_ms=T0 + DAY_MS),
        scored("4", task="ü", time_ms=T0 - DAY_MS),
    ]
    model = Model()
    for post in posts:
        model.sentiment(post)
    for size_s in (10, 60, 900):
        for task in ("t", "ü"):
            mine = [post for post in posts if post.task == task]
            for start_ms in {post.time_ms - post.time_ms % (1000 * size_s) for post in mine}:
                inside = [post for post in mine if start_ms <= post.time_ms < start_ms + 1000 * size_s]
                model.pulse(pulse(size_s, start_ms, inside, task=task))
    model.pulse(late(scored("late", time_ms=T0 - 5 * DAY_MS)))
    return model


def test_every_version_has_its_dump() -> None:
    assert sorted(path.name for path in VERSIONS.iterdir()) == [f"history-{version}.sql" for version in RELEASED]


@pytest.mark.parametrize("version", RELEASED)
async def test_a_file_of_any_version_becomes_the_newest(tmp_path: Path, version: int) -> None:
    path = tmp_path / history_file.NAME
    restore(VERSIONS / f"history-{version}.sql", path)
    assert history_file.schema_version(path) == version
    if version < history_schema.READABLE:
        with pytest.raises(HistoryError, match="older version: start the worker once to bring it up"):
            HistoryReader(path)
    history = open_history(tmp_path)
    model = held()
    with HistoryReader(path) as reader:
        assert list(reader.posts(content=True)) == model.post_rows()
        assert all_windows(reader) == model.window_rows()
        summary = reader.summary("t")
        assert summary is not None and (summary.total, summary.late) == (3, 1)
    gone = late(scored("1", op="retract"))  # and it is written to as any other
    await history.store_windows(("pulse", 0), [(100, gone)])
    await history.store_posts(("sentiment", 0), [(100, T0, scored("1", op="retract"))])
    model.pulse(gone)
    model.sentiment(scored("1", op="retract"))
    while await history.maintain(T0 + 10 * DAY_MS // 24):
        pass
    history.close()
    with HistoryReader(path) as reader:
        assert list(reader.posts(content=True)) == model.post_rows()
        assert all_windows(reader) == model.window_rows()
    assert history_file.schema_version(path) == len(history_schema.STEPS)
    with closing(history_file.open_for_writing(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_migration_that_is_killed_anywhere_is_taken_up_again(tmp_path: Path) -> None:
    """From the first version on, so through every step."""
    command = [sys.executable, "-m", "tests.sinks.migrating_process", str(VERSIONS / "history-1.sql")]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 15
    whole = content(tmp_path / history_file.NAME)
    assert all(each == json.loads(json.dumps(whole)) for each in told)
    assert len(whole["posts"]) == 4 and whole["version"] == len(history_schema.STEPS)


async def test_days_that_were_added_up_without_their_models_are_added_up_again(tmp_path: Path) -> None:
    path = tmp_path / history_file.NAME
    restore(VERSIONS / "history-5.sql", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        day_ms = connection.execute("SELECT min(day_ms) FROM stale WHERE task = 1").fetchone()[0]
        connection.execute("DELETE FROM stale")
        row = (1, DAY_S, day_ms, 3, 1, T0, 1, 1, 1, 0, 0, 0, 700_000, 250_000, 50_000)
        connection.execute(f"INSERT INTO rolled VALUES ({', '.join('?' * len(row))})", row)
        connection.execute("INSERT INTO rolled_parts VALUES (1, ?, ?, '{}', '{}')", (DAY_S, day_ms))
    history = open_history(tmp_path)
    for _ in range(2):
        with HistoryReader(path) as reader:
            counts = [(row.window_start, row.scored) for row in reader.windows("t", size_s=DAY_S, by="model")]
            assert counts == [(day_ms, 1), (day_ms + DAY_MS, 1)]
        while await history.maintain(T0 + 3 * DAY_MS):  # added up by the reader first, then in the file
            pass
    history.close()
