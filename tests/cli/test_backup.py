"""`heartbeat backup` and `restore`: in the middle of things, and when the file is not what it was."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path

import pytest

from heartbeat import sqlite_files
from tests.cli.commands import POST, Done, run
from tests.cli.inside import inside
from tests.proof.material import Material
from tests.proof.processes import finish, kill, listens, replay, worker


def backup(data: Path, file: Path, *words: str) -> Done:
    return inside("backup", str(file), *words, "--data-dir", str(data))


def restore(file: Path, data: Path) -> Done:
    return inside("restore", str(file), "--data-dir", str(data))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with something in it."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "posts.jsonl").write_text("".join(POST % number for number in range(50)))
    assert run("replay", str(folder / "posts.jsonl"), "--data-dir", str(folder / "data")).code == 0
    return folder / "data"


@pytest.mark.timeout(300)
def test_a_backup_in_the_middle_of_a_replay_goes_on_where_it_was(tmp_path: Path) -> None:
    """Several, at whatever moment; each is whole, and what is replayed to its end from there equals the oracle."""
    material = Material.make(tmp_path, 1200, seed=21)
    data, dice = tmp_path / "data", random.Random(5)
    process = worker(data)
    try:
        assert listens(data, process)
        client = replay(material.path, data, speed="300")  # so slow that it goes on for longer than what follows
        files = []
        for number in range(2):
            time.sleep(dice.uniform(0.5, 2.5))
            files.append(tmp_path / f"backup-{number}.tar.gz")
            done = backup(data, files[-1])
            assert done.code == 0, done.err
            assert os.stat(files[-1]).st_mode & 0o777 == 0o600
        assert client.poll() is None  # it was in the middle
    finally:
        kill(process)
    finish(client)
    for number, file in enumerate(files):
        again = tmp_path / f"again-{number}"
        assert restore(file, again).code == 0
        assert os.stat(again).st_mode & 0o777 == 0o700
        code, said = finish(replay(material.path, again))
        assert code == 0 and "the history is" not in said, said
        material.check(again)


def test_a_restored_directory_is_the_same(kept: Path, tmp_path: Path) -> None:
    done = backup(kept, tmp_path / "b.tar.gz", "--json")
    manifest = json.loads(done.out)
    assert done.code == 0 and set(manifest["files"]) >= {"log.db", "history.db"}
    assert sorted(os.listdir(tmp_path)) == ["b.tar.gz"]
    assert backup(kept, tmp_path / "b.tar.gz").code == 1
    assert backup(kept, tmp_path / "b.tar.gz", "--force").code == 0
    (tmp_path / "new").mkdir()
    assert restore(tmp_path / "b.tar.gz", tmp_path / "new").code == 0
    for words in (["export", "windows"], ["export", "posts"], ["feeds", "--json"], ["deadletters", "list"]):
        assert inside(*words, "--data-dir", str(kept)) == inside(*words, "--data-dir", str(tmp_path / "new")), words


def test_a_directory_that_is_not_empty_or_in_use_is_left_alone(kept: Path, tmp_path: Path) -> None:
    file, data = tmp_path / "b.tar.gz", tmp_path / "data"
    assert backup(kept, file).code == 0
    data.mkdir()
    (data / "mine").touch()
    done = restore(file, data)
    assert done.code == 1 and "is not empty (it holds mine)" in done.err and os.listdir(data) == ["mine"]
    process = worker(tmp_path / "busy")
    try:
        assert listens(tmp_path / "busy", process)
        done = restore(file, tmp_path / "busy")
        assert done.code == 1 and f"in use by process {process.pid}" in done.err
    finally:
        kill(process)


def test_a_damaged_file_leaves_nothing_behind(kept: Path, tmp_path: Path) -> None:
    good = tmp_path / "b.tar.gz"
    assert backup(kept, good).code == 0
    whole, dice = good.read_bytes(), random.Random(1)
    place = tmp_path / "x" / "data"
    for number in range(40):
        data = bytearray(whole)
        if number % 2:
            del data[dice.randrange(len(data)) :]
        else:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        (tmp_path / "bad.tar.gz").write_bytes(data)
        done = restore(tmp_path / "bad.tar.gz", place)
        if done.code == 0:  # a byte that says nothing, such as gzip's time
            assert (place / "log.db").exists()
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
            continue
        assert done.code == 1 and "bad.tar.gz" in done.err, done
        assert not place.exists() and os.listdir(place.parent) == []


def test_other_archives_are_refused(tmp_path: Path) -> None:
    def packed(**files: bytes) -> Path:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name.replace("_", "."))
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        (tmp_path / "other.tar.gz").write_bytes(gzip.compress(raw.getvalue()))
        return tmp_path / "other.tar.gz"

    for files, says in (
        ({"log_db": b"x"}, "there is no manifest.json"),
        ({"manifest_json": b"[]"}, "of another kind"),
        ({"manifest_json": b"{}"}, "of another kind"),
        ({"manifest_json": b'{"format": 9, "files": {}}'}, "newer Heartbeat"),
        ({"manifest_json": b'{"format": 1, "files": {}}'}, "log.db is not in it"),
        ({"manifest_json": b'{"format": 1, "files": {}}', "evil_sh": b"x"}, "does not name"),
    ):
        done = restore(packed(**files), tmp_path / "data")
        assert done.code == 1 and says in done.err, (files, done)
        assert not (tmp_path / "data").exists()
    done = backup(tmp_path, tmp_path / "b.tar.gz")
    assert done.code == 1 and "there is no log in" in done.err


def test_where_there_is_no_room_for_the_copy_that_is_said(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the disk that the backup goes to; the data directory is not what is wrong."""

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(sqlite_files, "copy", full)
    done = backup(kept, tmp_path / "b.tar.gz")
    assert done.code == 1 and f"{tmp_path / 'b.tar.gz'} cannot be written: the disk is full" in done.err
    assert os.listdir(tmp_path) == []


def test_what_is_damaged_is_not_backed_up(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "data")
    content = bytearray((tmp_path / "data" / "log.db").read_bytes())
    at = content.rindex(b"good")
    content[at : at + 4] = b"evil"
    (tmp_path / "data" / "log.db").write_bytes(content)
    done = backup(tmp_path / "data", tmp_path / "b.tar.gz")
    assert done.code == 1 and "is damaged (wrong checksum in" in done.err
    assert os.listdir(tmp_path) == ["data"]
