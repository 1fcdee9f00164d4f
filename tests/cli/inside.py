"""Runs `heartbeat …` within the test's process: the same command line, without the second that a process takes."""

from __future__ import annotations

import os
from unittest import mock

from click.testing import CliRunner

from heartbeat.cli import cli
from tests.cli.commands import Done, environment


def inside(*words: str, stdin: str | None = None, **env: str) -> Done:
    """Run a command to its end; it never shows a traceback."""
    with mock.patch.dict(os.environ, environment(**env), clear=True):
        result = CliRunner().invoke(cli, words, input=stdin, prog_name="heartbeat")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
