"""Folders for what is only half made: they go when their maker is done, and if it was killed, with the next one.

What lies in them are copies with all that people wrote. A maker holds a lock on its folder (flock, on the folder
itself), which goes when its process does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = ".heartbeat-scratch-"
_YOUNG_S: Final = 60.0
"""A folder may not be locked yet while its maker is about to."""


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder (mode 0700) beside what will be made of it. Its content may be moved away, or the folder itself.

    Raises:
        OSError: it cannot be made.
    """
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path) -> int:
    """Remove what killed makers have left; gives how many folders."""
    removed = 0
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # locked, gone, or somebody else's
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_ctime < time.time() - _YOUNG_S:
                    shutil.rmtree(folder)
                    removed += 1
            finally:
                os.close(lock)
    return removed
