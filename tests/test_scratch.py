from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartbeat import scratch as module
from heartbeat.scratch import scratch

KILLED = "import os, sys; from pathlib import Path; from heartbeat.scratch import scratch\n"
KILLED += "with scratch(Path(sys.argv[1])) as folder: (folder / 'copy').write_text('text'); os.kill(os.getpid(), 9)"


@pytest.fixture(autouse=True)
def no_folder_is_young(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_YOUNG_S", -60.0)
    yield


def test_what_a_killed_maker_has_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    with scratch(tmp_path) as mine:
        (mine / "copy").write_text("mine")
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
        left = set(tmp_path.iterdir()) - {mine}
        assert [path.read_text() for path in left for path in path.iterdir()] == ["text"]
        with scratch(tmp_path) as other:
            assert set(tmp_path.iterdir()) == {mine, other}
            assert (mine / "copy").read_text() == "mine"
    assert not list(tmp_path.iterdir())


def test_a_folder_may_become_what_was_made_in_it(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.replace(tmp_path / "made")
        (tmp_path / "made" / "file").write_text("whole")
    assert (tmp_path / "made" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_somebody_elses_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / f"{module._PREFIX}x").symlink_to(tmp_path / "others")
    assert module.sweep(tmp_path) == 0 and (tmp_path / "others").exists()
