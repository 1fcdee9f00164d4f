"""The data directory: rights, the log, the history, the worker that owns them."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from heartbeat import control, sqlite_files
from heartbeat.corrections import file as corrections_file
from heartbeat.doctor.findings import Finding, ok, warning, wrong
from heartbeat.engine import sqlite_schema
from heartbeat.engine.ownership import LOCK_NAME, owner
from heartbeat.engine.sqlite_integrity import faults
from heartbeat.errors import HeartbeatError
from heartbeat.sinks import history_file, history_schema

SHOWN: Final = 5
"""Faults of one file that are told."""
BESIDE_S: Final = 5.0
"""How long a file is checked as a whole while a worker runs: that long its WAL cannot be given back."""


def rights(data_dir: Path) -> Iterator[Finding]:
    """Whether others can read what is private, and whether we can."""
    if not data_dir.is_dir():
        yield ok("permissions", f"there is no {data_dir} yet; a worker makes it")
        return
    if why := sqlite_files.why_unreadable(data_dir):
        yield wrong("permissions", f"{data_dir} cannot be read", why)
        return
    bad: list[Finding] = []
    for path in (data_dir, *sorted(data_dir.iterdir())):
        if path.is_symlink() or path.name.startswith(".doctor-"):
            continue
        try:
            said = path.stat()
        except FileNotFoundError:
            continue
        if said.st_uid != os.geteuid() and os.geteuid() != 0:
            bad.append(wrong("permissions", f"{path} belongs to another user", f"`chown {os.geteuid()} {path}`"))
        elif stat.S_IMODE(said.st_mode) & 0o077 and (path == data_dir or path.name != LOCK_NAME):
            wanted = "700" if path.is_dir() else "600"
            mode = f"{stat.S_IMODE(said.st_mode):o}"
            bad.append(warning("permissions", f"{path} can be read by others ({mode})", f"`chmod {wanted} {path}`"))
        elif not os.access(path, os.R_OK | os.W_OK):
            bad.append(wrong("permissions", f"{path} cannot be read and written", f"`chmod u+rw {path}`"))
    yield from bad or [ok("permissions", f"{data_dir} is its owner's alone")]


def _mend(path: Path, mend: str) -> str:
    """How to mend a file that cannot be used; one that we may not write to is not therefore damaged."""
    if os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        return mend
    return "make it and its folder readable and writable, and look again"


def running(data_dir: Path) -> Iterator[Finding]:
    """Whether a worker runs, and answers."""
    process = owner(data_dir)
    connection = control.connect(data_dir)
    if connection is not None:
        connection.close()
        yield ok("worker", f"runs as process {process}, and answers")
    elif process is not None:
        yield warning(
            "worker",
            f"process {process} owns {data_dir}, but does not answer",
            "it is starting, stopping, or a command that works alone; if that lasts, look at its log",
        )
    else:
        yield ok("worker", f"none runs on {data_dir}")


def log(path: Path, *, beside_worker: bool) -> Iterator[Finding]:
    """Whether the log is whole: its pages, each row's checksum, its indexes."""
    if not path.exists():
        if sqlite_files.sibling(path, "-wal").exists():
            yield wrong("log", f"{path} is gone, but its WAL is there", "put it back, or restore a backup")
        else:
            yield ok("log", "there is none yet")
        return
    mend = (
        "restore a backup (`heartbeat restore`), or keep what can be read: `heartbeat doctor --salvage NEW_DIRECTORY`"
    )

    def opened() -> sqlite3.Connection:
        sqlite_schema.check_length(path)
        con = sqlite_schema.connect(path, read_only=True)
        try:
            sqlite_schema.check_version(con, path)
        except BaseException:
            con.close()
            raise
        return con

    yield from _looked_through("log", path, mend, opened, beside_worker=beside_worker, rows=faults)


def history(path: Path, *, beside_worker: bool) -> Iterator[Finding]:
    """Whether the history is whole."""
    if not path.exists():
        yield ok("history", "there is none yet")
        return
    mend = "restore a backup, or move it away with its -wal and -shm: it is made again of what the topics still hold"

    def whole(con: sqlite3.Connection) -> Finding:
        if con.execute("PRAGMA user_version").fetchone()[0] < history_schema.READABLE:
            remedy = "start the worker once; until then the commands that read the history cannot"
            return warning("history", f"{path} is whole, but of an older version", remedy)
        return _whole("history", path, con)

    opened = partial(history_file.open_for_reading, path, of_any_version=True)
    yield from _looked_through("history", path, mend, opened, beside_worker=beside_worker, whole=whole)


def corrections(path: Path) -> Iterator[Finding]:
    """Whether people's corrections are whole; they are few."""
    mend = "restore a backup, or move it away, and import what `heartbeat corrections export` has kept"
    opened = partial(corrections_file.open_for_reading, path)
    yield from _looked_through("corrections", path, mend, opened, beside_worker=False)


def _looked_through(
    check: str,
    path: Path,
    mend: str,
    opened: Callable[[], sqlite3.Connection | None],
    *,
    beside_worker: bool,
    rows: Callable[[sqlite3.Connection], Iterator[str]] = lambda con: iter(()),
    whole: Callable[[sqlite3.Connection], Finding] | None = None,
) -> Iterator[Finding]:
    """What is wrong with one file, or that nothing is.

    Args:
        check: what findings call it.
        path: the file, which is there.
        mend: what to do if the file is damaged.
        opened: opens it; gives None if there is nothing in it yet.
        beside_worker: be quick about it.
        rows: finds faults that SQLite does not see; if there are any, it is not asked.
        whole: says what is to be said if there is no fault.
    """
    mend = _mend(path, mend)
    try:
        con = opened()
        if con is None:
            yield ok(check, "there are none yet")
            return
        with closing(con):
            until = time.monotonic() + BESIDE_S if beside_worker else None
            found = list(islice(rows(con), SHOWN)) or list(_sqlite_faults(con, until))
            said = [wrong(check, f"{path}: {fault}", mend) for fault in found]
            yield from said or [(whole or partial(_whole, check, path))(con)]
    except HeartbeatError as error:
        yield wrong(check, str(error).partition(" Restore")[0], mend)  # its advice is ours
    except (sqlite3.Error, OSError) as error:
        yield wrong(check, f"{path}: {error}", mend)


def _whole(check: str, path: Path, con: sqlite3.Connection) -> Finding:
    pages, page_size = (con.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return ok(check, f"{path} is whole ({pages * page_size / 1e6:.1f} MB)")


def _sqlite_faults(con: sqlite3.Connection, until: float | None) -> Iterator[str]:
    """What SQLite's own check finds, as far as there is time."""
    if until is not None:
        con.set_progress_handler(lambda: time.monotonic() > until, 20_000)
    try:
        for (said,) in con.execute(f"PRAGMA integrity_check({SHOWN})").fetchall():
            if said != "ok":
                yield str(said).replace("\n", " ")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        con.set_progress_handler(None, 0)
