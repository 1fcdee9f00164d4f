"""Data directories that one may read and not write: a backup that is mounted read-only, or another user's."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.commands import POST, ROOT, Done, environment, run
from tests.cli.inside import inside
from tests.cli.letters import fail, post

NOBODY = 65_534
ROOT_RUNS_IT = os.geteuid() == 0
RUN = """
import json, os, sys
from tests.cli.inside import inside
data = os.environ["HEARTBEAT_DATA_DIR"]
print(json.dumps([inside(*words, HEARTBEAT_DATA_DIR=data) for words in json.load(sys.stdin)]))
"""
"""One process for many commands; an exception that is none of ours ends it."""
BOUND = "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown"
LISTS = (
    ("topics", "--json"),
    ("topics", "show", "ingest", "--from-offset", "0"),
    ("topics", "show", "ingest", "--from-offset", "0", "--content", "--json"),
    ("deadletters", "list"),
    ("feeds", "--json"),
    ("tasks", "list"),
    ("tasks", "show", "seen"),
    ("export", "windows"),
    ("export", "posts", "--format", "jsonl"),
    ("export", "insights"),
    ("corrections", "list"),
)


def bound(data: Path, *commands: Sequence[str]) -> list[Done]:
    """Run commands as who is bound by the rights of files: from root that is taken which is above them."""
    process = subprocess.run(
        [*(["setpriv", BOUND] if ROOT_RUNS_IT else []), sys.executable, "-c", RUN],
        env=environment(HEARTBEAT_DATA_DIR=str(data)),
        cwd=ROOT,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return [Done(*each) for each in json.loads(process.stdout)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ROOT_RUNS_IT and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv here to change that")
    folder = tmp_path_factory.mktemp("written")
    (folder / "posts.jsonl").write_text("".join(POST % number for number in range(20)))
    done = run("replay", str(folder / "posts.jsonl"), "--task", "seen", "--data-dir", str(folder / "data"))
    assert done.code == 0, done.err
    fail(folder / "data", [post(1)])
    return folder / "data"


@pytest.fixture
def shared(written: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to be locked; the rights are given back at the end, so that it can be removed."""
    data = tmp_path / "data"
    shutil.copytree(written, data)
    yield data
    unlock(data)


def lock(data: Path, *, files: int = 0o444, folder: int = 0o555) -> None:
    for path in data.iterdir():
        path.chmod(files if path.is_file() else folder)
    data.chmod(folder)


def unlock(data: Path) -> None:
    data.chmod(0o700)


def test_what_only_reads_needs_no_right_to_write(written: Path, shared: Path, tmp_path: Path) -> None:
    lock(shared)
    before = sorted(os.listdir(shared))
    *lists, backup = bound(shared, *LISTS, ("backup", str(tmp_path / "b.tar.gz")))
    for words, done in zip(LISTS, lists, strict=True):
        assert (done.code, done.out) == (0, inside(*words, "--data-dir", str(written)).out), (words, done.err)
    assert backup.code == 0, backup.err
    assert run("restore", str(tmp_path / "b.tar.gz"), "--data-dir", str(tmp_path / "again")).code == 0
    assert sorted(os.listdir(shared)) == before


def test_changes_that_lie_beside_the_file_are_read_too(shared: Path) -> None:
    """As a worker leaves them that was killed, or is at work."""
    with sqlite3.connect(shared / "log.db", isolation_level=None) as con:
        con.execute("DELETE FROM chunks")
        lock(shared)
        (done,) = bound(shared, ("topics", "show", "ingest", "--from-offset", "0", "--json"))
        assert (done.code, done.out) == (0, ""), done.err
        shared.chmod(0o755)
        (shared / "log.db-shm").unlink()
        shared.chmod(0o555)
        (done,) = bound(shared, ("topics",))
        assert done.code == 1 and "log.db-wal" in done.err and "copy the whole directory" in done.err
        unlock(shared)


def test_what_may_not_even_be_read_is_told_as_that(shared: Path) -> None:
    for files, folder in ((0o000, 0o500), (0o400, 0o000)):
        lock(shared, files=files, folder=folder)
        for words, done in zip(LISTS, bound(shared, *LISTS), strict=True):
            assert done.code == 1 and "`chmod -R u+rwX" in done.err, (words, done)
        unlock(shared)


@pytest.mark.skipif(not ROOT_RUNS_IT, reason="only root can give files away")
def test_whose_files_they_are_is_told(shared: Path) -> None:
    lock(shared, files=0o600, folder=0o700)
    for path in (*shared.iterdir(), shared):
        os.chown(path, NOBODY, NOBODY)
    *lists, doctor = bound(shared, *LISTS, ("doctor",))
    for words, done in zip(LISTS, lists, strict=True):
        assert done.code == 1 and "may not read it; run this as nobody" in done.err, (words, done)
    assert doctor.code == 1 and "run this as nobody" in doctor.out


def test_what_writes_says_that_it_may_not(shared: Path) -> None:
    lock(shared)
    for done in bound(shared, ("deadletters", "purge", "--all", "--yes"), ("deadletters", "replay", "--all")):
        assert done.code == 1 and "cannot be written to" in done.err and "make it writable" in done.err, done
