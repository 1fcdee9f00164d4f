"""How the file comes to be, who may read it, and what is said of files that are something else."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from heartbeat.corrections import file
from heartbeat.corrections.store import Corrections
from heartbeat.errors import CorrectionsUnusable
from tests.corrections.material import T0, opened, seen

ROOT = Path(__file__).parents[2]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path) as store:
            store.correct(seen, "mixed", "en", now_ms=T0)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600} and len(modes) == 3, modes


def test_without_a_file_nothing_is_corrected(tmp_path: Path) -> None:
    with Corrections(tmp_path / "corrections.db") as store:
        assert (store.page(), store.standing([("x", "1")])) == ([], {})
    assert list(tmp_path.iterdir()) == []


def test_a_half_made_file_is_made(tmp_path: Path) -> None:
    (tmp_path / "corrections.db").touch(0o600)
    with Corrections(tmp_path / "corrections.db") as store:
        assert store.page() == []
    with opened(tmp_path) as store:
        assert store.correct(seen, "mixed", "en", now_ms=T0).number == 1


def test_a_newer_file_a_strange_one_and_a_damaged_one_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "corrections.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE mine (text)")
    for writing in (True, False):
        with pytest.raises(CorrectionsUnusable, match="is a SQLite file, but not of corrections"):
            Corrections(path, writing=writing)
    path.write_bytes(random.Random(1).randbytes(5_000))
    for writing in (True, False):
        with pytest.raises(CorrectionsUnusable, match="is damaged or no SQLite file; move it away"):
            Corrections(path, writing=writing)
    path.unlink()
    opened(tmp_path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {len(file.STEPS) + 1}")
    for writing in (True, False):
        with pytest.raises(CorrectionsUnusable, match="written by a newer Heartbeat"):
            Corrections(path, writing=writing)


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        made = store.correct(seen, "mixed", "en", now_ms=T0)
    monkeypatch.setattr(file, "STEPS", (*file.STEPS, "ALTER TABLE corrections ADD COLUMN by TEXT;\n"))
    with Corrections(tmp_path / "corrections.db") as store:
        assert store.page() == [made], "before somebody writes to it"
    for _ in range(2):
        with opened(tmp_path) as store:
            assert store.page() == [made]
    with closing(sqlite3.connect(tmp_path / "corrections.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(file.STEPS),)
        assert connection.execute("SELECT by FROM corrections").fetchall() == [(None,)]


def test_a_step_is_taken_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path).close()
    monkeypatch.setattr(file, "STEPS", (*file.STEPS, "CREATE TABLE more (a);\nCREATE TABLE posts (a);\n"))
    with pytest.raises(CorrectionsUnusable, match="already exists"):
        opened(tmp_path)
    with closing(sqlite3.connect(tmp_path / "corrections.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)


def test_who_cannot_have_it_for_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_MS", 50)
    store = opened(tmp_path)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CorrectionsUnusable, match="another process is writing to it; try again"):
            store.correct(seen, "mixed", "en", now_ms=T0)
        other.execute("ROLLBACK")
    store.correct(seen, "mixed", "en", now_ms=T0)
    assert len(store.page()) == 1
    store.close()


def test_many_may_begin_it_at_the_same_moment(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.corrections.material import *\n"
        "opened(Path(sys.argv[1])).correct(lambda: seen(sys.argv[2]), 'mixed', 'en', now_ms=T0)"
    )
    begun = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)], cwd=ROOT) for number in range(4)
    ]
    assert [process.wait(60) for process in begun] == [0] * 4
    with opened(tmp_path) as store:
        assert {each.post.id for each in store.page()} == {"0", "1", "2", "3"}
