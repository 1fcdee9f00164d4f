"""Python, packages, limits, clocks, disk: what Heartbeat stands on."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from heartbeat.doctor.findings import Finding, ok, warning, wrong

LITTLE_BYTES: Final = 200 * 10**6
FEW_BYTES: Final = 2 * 10**9
SLOW_FSYNC_S: Final = 0.1
FEW_FILES: Final = 256
JUMP_S: Final = 0.05
EARLIEST_S: Final = 1_735_689_600
"""2025: no clock that is right says less."""
AHEAD_S: Final = 60.0
_INSTALL: Final = "install Heartbeat anew: `make install`"


def python() -> Iterator[Finding]:
    """Whether this Python is new enough."""
    have = ".".join(map(str, sys.version_info[:3]))
    needs = metadata.metadata("heartbeat")["Requires-Python"] or ">=3.11"
    if have in SpecifierSet(needs):
        yield ok("python", f"{have} in {sys.prefix}")
    else:
        yield wrong("python", f"is {have}, Heartbeat needs {needs}", "make the environment anew with a newer Python")


def packages() -> Iterator[Finding]:
    """Whether every package that Heartbeat needs is there, in a version that it works with."""
    count = 0
    bad = []
    for line in metadata.requires("heartbeat") or ():
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            have = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            bad.append(wrong("packages", f"{needed.name} is not installed", _INSTALL))
            continue
        if have not in needed.specifier:
            bad.append(wrong("packages", f"{needed.name} is {have}, needed is {needed.specifier}", _INSTALL))
    yield from bad or [ok("packages", f"{count} packages, all in versions that work together")]


def limits() -> Iterator[Finding]:
    """Limits of the system on this user's processes."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if files != resource.RLIM_INFINITY and files < FEW_FILES:
        yield warning("limits", f"a process may open {files} files at once", f"raise it: `ulimit -n {4 * FEW_FILES}`")
    if size != resource.RLIM_INFINITY:
        yield warning("limits", f"a file may not grow beyond {size:,} bytes", "raise it: `ulimit -f unlimited`")
    if size == resource.RLIM_INFINITY and not 0 <= files < FEW_FILES:
        yield ok("limits", f"{'any number of' if files < 0 else f'{files:,}'} open files, files of any size")


def clocks(data_dir: Path) -> Iterator[Finding]:
    """Whether the clock can be right, and goes steadily; only a time server could say more."""
    mend = "set the clock, and have a time service keep it right"
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.2)
    jump = (time.time() - wall) - (time.monotonic() - steady)
    ahead = [
        path
        for path in (sorted(data_dir.iterdir()) if os.access(data_dir, os.R_OK | os.X_OK) else ())
        if path.is_file() and path.stat().st_mtime > time.time() + AHEAD_S
    ]
    if wall < EARLIEST_S:
        yield wrong("clock", f"says {time.strftime('%Y-%m-%d', time.gmtime(wall))}", mend)
    elif abs(jump) > JUMP_S:
        yield warning("clock", f"jumped by {jump:.2f} s just now", mend)
    elif ahead:
        yield warning("clock", f"{ahead[0]} was written in the future, or the clock was set back since", mend)
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC, goes steadily", time.gmtime(wall)))


def disk(data_dir: Path) -> Iterator[Finding]:
    """Space, and how long it takes until something is safe."""
    place = next(path for path in (data_dir, *data_dir.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    said = f"{free / 1e9:.1f} GB free at {place}"
    if free < LITTLE_BYTES:
        yield wrong("disk", said, "free some space: the log cannot grow, and feeds will pause")
    elif free < FEW_BYTES:
        yield warning("disk", said, "free some space, or lower max_log_bytes")
    else:
        yield ok("disk", said)
    if place != data_dir:
        return
    try:
        seconds = sorted(_fsync(data_dir) for _ in range(3))[1]
    except OSError as error:
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
        yield wrong("disk speed", f"nothing can be written to {data_dir}: {error.strerror}", remedy)
        return
    said = f"{1000 * seconds:.1f} ms until a write is on the disk"
    if seconds > SLOW_FSYNC_S:
        yield warning(
            "disk speed", said, "use a faster disk, a local one above all; `durable: true` would be slow here"
        )
    else:
        yield ok("disk speed", said)


def _fsync(folder: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(4096))
        began = time.perf_counter()
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - began
