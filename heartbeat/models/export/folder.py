"""Puts a new model into the catalogue: whole, or not at all.

Everything is written into a hidden folder of the catalogue, which no catalogue lists, and takes its name in one step
when all of it is on the disk. What an interrupted export leaves is hidden, and goes with the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from heartbeat.models.export.errors import ExportFailed

_STAGING: Final = ".export-"
_REPLACED: Final = ".replaced-"


class Staging:
    """Where one export works.

    Attributes:
        model: becomes the model's folder: what is written here is what the catalogue will show.
        work: for files on the way.
    """

    def __init__(self, root: Path, models_dir: Path) -> None:
        # two folders down, and so below where a catalogue looks for models
        self.model, self.work = root / "new" / "model", root / "work"
        self._models_dir = models_dir
        self.model.mkdir(parents=True)
        self.work.mkdir()

    def publish(self, target: Path, *, force: bool = False) -> None:
        """Make `model` the folder `target`, in one step and for good.

        Raises:
            ExportFailed: there is a model already, and `force` was not said.
        """
        for file in self.model.iterdir():
            _sync(file)
        _sync(self.model)
        with _locked(self._models_dir, wait=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            replaced = _moved_away(target, self._models_dir) if force and target.exists() else None
            try:
                os.rename(self.model, target)
            except OSError as error:
                if replaced is not None:
                    os.rename(replaced / target.parent.name / target.name, target)
                if target.exists():
                    raise ExportFailed(
                        f"{target} is there already; choose another NAME= or VERSION=, or say FORCE=1 to replace it"
                    ) from error
                raise
            _sync(target.parent)
            _sync(self._models_dir)
            if replaced is not None:
                shutil.rmtree(replaced, ignore_errors=True)


@contextlib.contextmanager
def staging(models_dir: Path, *, need: int) -> Iterator[Staging]:
    """A place to work in the catalogue's folder; it is gone afterwards, whatever happens.

    Args:
        models_dir: the catalogue's folder, made if it is not there.
        need: bytes that will be written at most.

    Raises:
        ExportFailed: there is too little space, or the folder cannot be written to.
    """
    with contextlib.ExitStack() as held:
        try:
            models_dir.mkdir(parents=True, exist_ok=True)
            with _locked(models_dir, wait=True):
                sweep(models_dir)
                root = Path(tempfile.mkdtemp(prefix=_STAGING, dir=models_dir))
                held.callback(_remove, root)
                held.enter_context(_locked(root))
        except OSError as error:
            raise ExportFailed(f"{models_dir}: cannot be written to: {error.strerror}; make it writable") from error
        free = shutil.disk_usage(root).free
        if free < need:
            raise ExportFailed(
                f"{models_dir}: has {free / 1e9:.1f} GB of free space, and this export needs up to {need / 1e9:.1f} GB "
                "on the way; make room, or move the catalogue (MODELS_DIR=)"
            )
        yield Staging(root, models_dir)


def sweep(models_dir: Path) -> None:
    """Clear away what exports left that were killed; a model that was about to be replaced gets its place back.

    The caller holds the catalogue folder's lock.
    """
    for left in models_dir.glob(f"{_REPLACED}*"):
        for model in left.glob("*/*"):
            target = models_dir / model.parent.name / model.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(model, target)
        shutil.rmtree(left, ignore_errors=True)
    for left in models_dir.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError), _locked(left):  # one that is locked is at work
            shutil.rmtree(left, ignore_errors=True)


def _moved_away(target: Path, models_dir: Path) -> Path:
    """Move a model to where `sweep` finds it, should this process die before the new one is in its place."""
    root = Path(tempfile.mkdtemp(prefix=_REPLACED, dir=models_dir))
    (root / target.parent.name).mkdir()
    os.rename(target, root / target.parent.name / target.name)
    return root


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock; the system gives it back when this process dies.

    Raises:
        OSError: somebody else holds it, and `wait` was not said.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Clear up, and let no second Ctrl-C interrupt that."""
    try:
        before: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, where signals do not arrive
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
