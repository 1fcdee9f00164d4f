"""Who owns a data directory: one process, which holds a lock on `worker.lock` in it.

The lock is the kernel's (flock): it goes when its process does, however that ends, so there is nothing to clean up
after `kill -9`. The file's content, the owner's process id, is there to be read by people and by error messages.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from heartbeat.errors import DataDirBusy, StartError

LOCK_NAME: Final = "worker.lock"


class Ownership:
    """The right to write to a data directory, held until `release`. A context manager too."""

    def __init__(self, data_dir: Path, fd: int) -> None:
        self.data_dir = data_dir
        self._fd: int | None = fd

    def release(self) -> None:
        """Give the directory back; a second call does nothing."""
        if self._fd is not None:
            os.truncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Ownership:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def own(data_dir: Path) -> Ownership:
    """Become the owner of a data directory, which is made (mode 0700) if it is not there.

    Raises:
        DataDirBusy: another process owns it; the message names its process id.
        StartError: it cannot be made or written to.
    """
    lock = data_dir / LOCK_NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"{data_dir}: the data directory cannot be written to ({error.strerror}); make it writable, or name "
            "another with --data-dir or HEARTBEAT_DATA_DIR"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        os.close(fd)
        pid = owner(data_dir)
        raise DataDirBusy(
            f"{data_dir} is in use by process {pid or 'of another worker'}: stop it, or name another directory with "
            "--data-dir or HEARTBEAT_DATA_DIR"
        ) from None
    except OSError as error:
        os.close(fd)
        raise StartError(
            f"{lock}: cannot be locked ({error.strerror}); free some space, or put the data directory on a local disk"
        ) from error
    return Ownership(data_dir, fd)


def owner(data_dir: Path) -> int | None:
    """The process id of the directory's owner, or None if nobody owns it now."""
    try:
        fd = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None
