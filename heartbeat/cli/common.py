"""What commands share: the settings as their first argument, and errors told as one line."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import click

from heartbeat import settings as _settings
from heartbeat.errors import ConfigError, HeartbeatError
from heartbeat.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

EXIT_FAILED = 1
EXIT_USAGE = 2


class Failure(click.ClickException):
    """A command that failed for a reason that its user can do something about."""

    exit_code = EXIT_FAILED


class Misuse(click.ClickException):
    """A command whose words or configuration are wrong."""

    exit_code = EXIT_USAGE


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Give a command its settings first, an option --data-dir, and errors of ours as one line and an exit code.

    Stands directly above the function, below click's own decorators. Exit codes: 0 done, 1 failed, 2 wrong usage or
    configuration.
    """

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where everything that is kept lives [HEARTBEAT_DATA_DIR, or data].",
    )
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
