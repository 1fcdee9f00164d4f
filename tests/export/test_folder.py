"""A model is in the catalogue whole, or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.models.catalogue import Catalogue
from heartbeat.models.export.errors import ExportFailed
from heartbeat.models.export.folder import staging
from tests.export.conftest import ROOT
from tests.models.tiny_models import write_model

STEPS = ("staging", "model", "graph", "publish")


def write(models_dir: Path, content: str, *, force: bool = False, fail_at: str = "") -> None:
    """An export in small, which may fail at a step."""
    with staging(models_dir, need=1) as place:
        for step in STEPS:
            if step == fail_at:
                raise RuntimeError(step)
            if step == "model":
                (place.model / "model.yaml").write_text(content, encoding="utf-8")
                (place.work / "large").write_bytes(bytes(1000))
        place.publish(models_dir / "name" / "1", force=force)


def there(models_dir: Path) -> dict[str, str]:
    """Every file under a catalogue, hidden ones included."""
    return {
        str(file.relative_to(models_dir)): file.read_text(encoding="utf-8")
        for file in models_dir.rglob("*")
        if file.is_file()
    }


def test_a_model_appears_whole(tmp_path: Path) -> None:
    models_dir = tmp_path / "not" / "there" / "yet"
    write(models_dir, "a")
    assert there(models_dir) == {"name/1/model.yaml": "a"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", *STEPS])), min_size=1, max_size=6))
def test_whatever_fails_there_is_the_last_whole_model_or_none(exports: list[tuple[bool, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        models_dir, expected = Path(folder), dict[str, str]()
        for number, (force, fail_at) in enumerate(exports):
            try:
                write(models_dir, str(number), force=force, fail_at=fail_at)
            except (RuntimeError, ExportFailed):
                pass
            else:
                expected = {"name/1/model.yaml": str(number)}
            assert there(models_dir) == expected


def test_a_name_that_was_taken_meanwhile(tmp_path: Path) -> None:
    with staging(tmp_path, need=1) as place:
        (place.model / "model.yaml").write_text("mine", encoding="utf-8")
        write(tmp_path, "theirs")
        with pytest.raises(ExportFailed, match="is there already; choose another NAME="):
            place.publish(tmp_path / "name" / "1")
    assert there(tmp_path) == {"name/1/model.yaml": "theirs"}


def test_two_exports_at_the_same_time_leave_each_other_alone(tmp_path: Path) -> None:
    with staging(tmp_path, need=1) as first, staging(tmp_path, need=1) as second:
        for place, version in ((second, "2"), (first, "1")):
            (place.model / "model.yaml").write_text(version, encoding="utf-8")
            place.publish(tmp_path / "name" / version)
    assert there(tmp_path) == {"name/1/model.yaml": "1", "name/2/model.yaml": "2"}


def test_what_is_being_made_is_in_no_catalogue(tmp_path: Path) -> None:
    with staging(tmp_path, need=1) as place:
        entry = write_model(place.work, name="name")
        shutil.copytree(entry.folder, place.model, dirs_exist_ok=True)
        assert Catalogue(tmp_path).list() == []
        place.publish(tmp_path / "name" / "1")
        assert [found.reference for found in Catalogue(tmp_path).list()] == ["name/1"]


def test_too_little_space(tmp_path: Path) -> None:
    told = r"GB of free space, and this export needs up to 1000000.0 GB"
    with pytest.raises(ExportFailed, match=told), staging(tmp_path, need=10**15):
        raise AssertionError
    assert there(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_catalogue_that_cannot_be_written_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(ExportFailed, match="cannot be written to"), staging(file, need=1):
        raise AssertionError


KILLED = """
import sys, time
from pathlib import Path
from heartbeat.models.export import folder
def stop(*_):
    print("here", flush=True)
    time.sleep(60)
where, models_dir = sys.argv[1], Path(sys.argv[2])
with folder.staging(models_dir, need=1) as place:
    (place.model / "model.yaml").write_text("new")
    if where == "working":
        stop()
    folder.os.rename = lambda *names, rename=folder.os.rename: stop() if names[0] == place.model else rename(*names)
    place.publish(models_dir / "name" / "1", force=True)
"""


@pytest.mark.parametrize("where", ["working", "replacing"])
def test_killed_outright(where: str, tmp_path: Path) -> None:
    write(tmp_path, "old")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, where, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)
    names = [entry.reference for entry in Catalogue(tmp_path).list()]
    assert names == (["name/1"] if where == "working" else [])
    with staging(tmp_path, need=1):  # the next export, whatever becomes of it
        time.sleep(0)
    assert there(tmp_path) == {"name/1/model.yaml": "old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name"]
