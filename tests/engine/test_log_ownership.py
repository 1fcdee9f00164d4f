"""One owner of a data directory at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heartbeat.engine.ownership import LOCK_NAME, own, owner
from heartbeat.errors import DataDirBusy, StartError
from tests.engine.test_log_file import as_nobody, folder

__all__ = ["folder"]

HOLD = """
import sys, pathlib
from heartbeat.engine.ownership import own
held = own(pathlib.Path(sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
"""


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    with own(data):
        assert data.stat().st_mode & 0o777 == 0o700
        assert owner(data) == os.getpid()
        assert (data / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    assert owner(data) is None
    with own(data) as again:
        again.release()
        again.release()
    assert owner(data) is None


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    own(tmp_path).release()
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_nobody_owns_what_is_not_there(tmp_path: Path) -> None:
    assert owner(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_two_processes(tmp_path: Path) -> None:
    """The second is told whose it is; after kill -9 of the first it is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(DataDirBusy, match=rf"in use by process {first.pid}: stop it, or .*--data-dir"):
            own(tmp_path)
        assert owner(tmp_path) == first.pid
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert owner(tmp_path) is None
    own(tmp_path).release()


def test_one_process_does_not_own_it_twice(tmp_path: Path) -> None:
    with own(tmp_path), pytest.raises(DataDirBusy):
        own(tmp_path)


def test_a_directory_that_cannot_be_written_to(folder: Path) -> None:
    folder.chmod(0o555)
    with as_nobody():
        with pytest.raises(StartError, match="cannot be written to .*--data-dir"):
            own(folder)
        with pytest.raises(StartError, match="cannot be written to"):
            own(folder / "below")
    folder.chmod(0o755)


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartError, match="cannot be written to"):
        own(tmp_path / "data")
