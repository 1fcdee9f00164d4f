"""Backups: one file with a copy of the log and the history that fit each other, taken while a worker runs or not.

Each file is copied as of one moment, the history first. So it is never ahead of the log: what it lacks, the log still
holds, and its agents in the copy are put back to where it stands (they know again what they have stored). The other way
round, messages that the history has seen would get their offsets anew. Corrections come last: what the log
knows to be deleted has to be gone from them.

The file is a tar, compressed, with `manifest.json` first: sizes and checksums of what follows.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import orjson

from heartbeat import __version__, sqlite_files
from heartbeat.corrections import file as corrections_file
from heartbeat.engine import sqlite_schema
from heartbeat.engine.ownership import LOCK_NAME, owner
from heartbeat.engine.sqlite_integrity import faults
from heartbeat.errors import BackupError
from heartbeat.scratch import scratch
from heartbeat.sinks import history_file
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.topics import GROUPS, PULSE, SENTIMENT

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
FILES: Final = (sqlite_schema.FILE_NAME, history_file.NAME, corrections_file.NAME)
_LARGEST_MANIFEST: Final = 2**20
_HISTORY_AGENTS: Final = {SENTIMENT.name: f"{GROUPS}-history-posts", PULSE.name: f"{GROUPS}-history-windows"}


def make(data_dir: Path, file: Path, *, now_ms: int, replace: bool = False) -> Mapping[str, Any]:
    """Write a backup of a data directory; gives its manifest.

    Args:
        data_dir: a worker may be at work on it.
        file: the backup; it is there as a whole or not at all.
        now_ms: stands in the manifest.
        replace: take the place of a file that is there.

    Raises:
        BackupError: there is nothing to back up, or it cannot be written.
        LogError, HistoryError, CorrectionsUnusable: a file of the data directory cannot be read.
    """
    log = data_dir / sqlite_schema.FILE_NAME
    if not log.exists():
        raise BackupError(f"there is no log in {data_dir}; name your data directory with --data-dir")
    if file.exists() and not replace:
        raise BackupError(f"{file} is there already; name another file, or replace it with --force")
    try:
        with scratch(file.parent) as copies:
            history = data_dir / history_file.NAME
            if history.exists():
                with closing(history_file.open_for_reading(history, of_any_version=True)) as con:
                    sqlite_files.copy(con, copies / history.name)
            sqlite_schema.check_length(log)
            with closing(sqlite_schema.connect(log, read_only=True)) as con:
                sqlite_schema.check_version(con, log)
                sqlite_files.copy(con, copies / log.name)
            corrections = corrections_file.open_for_reading(data_dir / corrections_file.NAME)
            if corrections is not None:
                with closing(corrections):
                    sqlite_files.copy(corrections, copies / corrections_file.NAME)
            _check(copies, data_dir)
            _put_back(copies)
            names = [name for name in FILES if (copies / name).exists()]
            manifest = {
                "format": FORMAT,
                "heartbeat": __version__,
                "time": rfc3339(now_ms),
                "files": {name: _described(copies / name) for name in names},
            }
            part = copies / "part"
            _write(part, manifest, copies, names)
            part.replace(file)
        sqlite_files.sync_folder(file.parent)
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror or error}") from error
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise BackupError(
                f"{file} cannot be written: the disk is full; beside it there has to be room for a copy of {data_dir}, "
                "or name a file on another disk"
            ) from error
        raise BackupError(
            f"{data_dir} cannot be copied: {error}; `heartbeat doctor` says whether it is whole, and what to do"
        ) from error
    return manifest


def _check(copies: Path, data_dir: Path) -> None:
    """Look through the copies: a backup of what is damaged would be none.

    Raises:
        BackupError: something is damaged.
    """
    for name in FILES:
        if (copies / name).exists():
            with closing(sqlite3.connect(copies / name)) as con:
                found = con.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found == "ok" and name == sqlite_schema.FILE_NAME:
                    found = next(faults(con), "ok")
            if found != "ok":
                raise BackupError(
                    f"{data_dir / name} is damaged ({found}): there is no backup of it; `heartbeat doctor` says more"
                )


def _put_back(copies: Path) -> None:
    """Have the history's agents in the copied log stand where the copied history does."""
    stored: dict[tuple[str, int], int] = {}
    if (copies / history_file.NAME).exists():
        with closing(sqlite3.connect(copies / history_file.NAME)) as con:
            rows = con.execute("SELECT topic, partition, next FROM offsets").fetchall()
            stored = {(topic, partition): following for topic, partition, following in rows}
    with closing(sqlite3.connect(copies / sqlite_schema.FILE_NAME)) as con, con:
        for topic, group in _HISTORY_AGENTS.items():
            slots = con.execute(
                "SELECT slot, number FROM partitions WHERE topic = (SELECT id FROM topics WHERE name = ?)", (topic,)
            ).fetchall()
            for slot, number in slots:
                con.execute(
                    "UPDATE commits SET offset = min(offset, ?) WHERE consumer = ? AND slot = ?",
                    (stored.get((topic, number), 0), group, slot),
                )


def _write(part: Path, manifest: Mapping[str, Any], copies: Path, names: list[str]) -> None:
    text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    with open(sqlite_files.make_private(part), "wb") as raw:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
            for name in names:
                with (copies / name).open("rb") as file:
                    tar.addfile(_member(name, (copies / name).stat().st_size), file)
        raw.flush()
        os.fsync(raw.fileno())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def restore(file: Path, data_dir: Path) -> Mapping[str, Any]:
    """Make a data directory of a backup; gives its manifest. It is there as a whole or not at all.

    Raises:
        BackupError: the file is damaged or no backup, or the directory is not empty, in use or cannot be written.
    """
    if (process := owner(data_dir)) is not None:
        raise BackupError(f"{data_dir} is in use by process {process}; stop it, or name another directory")
    there = set(os.listdir(data_dir)) - {LOCK_NAME} if data_dir.exists() else set()
    if there:
        raise BackupError(
            f"{data_dir} is not empty (it holds {min(there)}); move it away, or name another with --data-dir"
        )
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        with scratch(data_dir.parent) as fresh:
            with _opened(file) as tar:
                manifest = _unpack(tar, file, fresh)
            sqlite_files.sync_folder(fresh)
            with suppress(FileNotFoundError):
                (data_dir / LOCK_NAME).unlink()
            fresh.replace(data_dir)
            sqlite_files.sync_folder(data_dir.parent)
    except OSError as error:
        raise BackupError(f"{error.filename or data_dir}: {error.strerror or error}") from error
    return manifest


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r|gz") as tar:
            yield tar
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, orjson.JSONDecodeError, zlib.error) as error:
        raise BackupError(f"{file} is damaged, cut short or no backup of Heartbeat's ({error})") from error


def _unpack(tar: tarfile.TarFile, file: Path, folder: Path) -> Mapping[str, Any]:
    """What the manifest names, and nothing else; each held against its checksum."""
    first = tar.next()
    content = None if first is None or first.name != MANIFEST else tar.extractfile(first)
    if content is None:
        raise BackupError(f"{file} is no backup of Heartbeat's: there is no {MANIFEST} in it")
    manifest = orjson.loads(content.read(_LARGEST_MANIFEST))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BackupError(f"{file} is no backup of Heartbeat's: its {MANIFEST} is of another kind")
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{file} was written by a newer Heartbeat ({manifest.get('heartbeat')}); use that one")
    left = {name: said for name, said in manifest["files"].items() if name in FILES}
    while (member := tar.next()) is not None:
        said = left.pop(member.name, None)
        source = tar.extractfile(member)
        if said is None or source is None:
            raise BackupError(f"{file} is damaged: it holds {member.name!r}, which its {MANIFEST} does not name")
        if _extract(source, folder / member.name) != said["sha256"]:
            raise BackupError(f"{file} is damaged: {member.name} has another checksum than {MANIFEST} says")
    if left or sqlite_schema.FILE_NAME not in manifest["files"]:
        raise BackupError(f"{file} is damaged or cut short: {min(left, default=sqlite_schema.FILE_NAME)} is not in it")
    return manifest


def _extract(source: IO[bytes], target: Path) -> str:
    checksum = hashlib.sha256()
    with open(sqlite_files.make_private(target), "wb") as out:
        while part := source.read(2**20):
            checksum.update(part)
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    return checksum.hexdigest()
