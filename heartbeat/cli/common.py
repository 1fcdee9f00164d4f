"""What commands share: the settings as their first argument, and errors told as one line."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import click

from heartbeat import settings as _settings
from heartbeat import sqlite_files
from heartbeat.errors import ConfigError, HeartbeatError
from heartbeat.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PENDING = 3
"""All was done that can be done now; the rest is noted, and done by itself."""


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),  # what is done there says itself what is missing
    help="Where everything that is kept lives [HEARTBEAT_DATA_DIR, or data].",
)


class Failure(click.ClickException):
    """A command that failed for a reason that its user can do something about."""

    exit_code = EXIT_FAILED


class Misuse(click.ClickException):
    """A command whose words or configuration are wrong."""

    exit_code = EXIT_USAGE


def has_data_dir(settings: Settings) -> bool:
    """Whether there is a data directory.

    Raises:
        Failure: it may not be read.
    """
    if not os.path.lexists(settings.data_dir) and os.access(settings.data_dir.parent, os.X_OK):
        return False
    if why := sqlite_files.why_unreadable(settings.data_dir):
        raise Failure(f"the data directory {settings.data_dir} cannot be read: {why}")
    return settings.data_dir.is_dir()


def require_data_dir(settings: Settings) -> None:
    """For commands that only read.

    Raises:
        Failure: there is no data directory, or it may not be read.
    """
    if not has_data_dir(settings):
        raise Failure(
            f"there is no data directory {settings.data_dir}; name yours with --data-dir or HEARTBEAT_DATA_DIR"
        )


def counted(count: int, one: str, many: str) -> str:
    """A number and what it counts, in the right form."""
    return f"{count:,} {one if count == 1 else many}"


def printable(text: str) -> str:
    """A text from outside as one line that does nothing to a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@contextmanager
def writing_out() -> Iterator[None]:
    """Around what is written to standard output: a full disk or device is told as one line.

    A reader that went away (`| head`) is left to click, which ends quietly.

    Raises:
        Failure: it cannot be written to.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # what is still in the buffer would be tried, and complained about, once more when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise Failure(f"cannot write to standard output: {error.strerror or error}") from error


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Around what goes on for ever: Ctrl-C is its usual end."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Give a command its settings first, an option --data-dir, and errors of ours as one line and an exit code.

    Stands directly above the function, below click's own decorators. Exit codes: 0 done, 1 failed, 2 wrong usage or
    configuration, 3 pending.
    """

    @data_dir_option
    @functools.wraps(command)
    def run(*args: Any, data_dir: Path | None, **options: Any) -> R:
        if data_dir is not None:
            # through the environment, so that an app that is built later reads the same
            os.environ[f"{_settings.PREFIX}DATA_DIR"] = str(data_dir.absolute())
        try:
            return command(_settings.load(), *args, **options)
        except ConfigError as error:
            raise Misuse(str(error)) from error
        except HeartbeatError as error:
            raise Failure(str(error)) from error

    return cast(Callable[P, R], run)
