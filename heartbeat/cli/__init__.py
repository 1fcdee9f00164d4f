"""The command `heartbeat`: one module a group of commands, imported when it is asked for.

Imports whatever it drives; nothing imports it. A command's module exports a click command of the command's name.
"""

from __future__ import annotations

import importlib
import sys

import click

from heartbeat import __version__

_COMMANDS = {
    "worker": "Run Heartbeat: feeds, models, windows and the pages.",
    "replay": "Feed files through the whole pipeline.",
    "export": "Write windows or posts as CSV, JSONL or Parquet.",
    "predict": "Say the language or sentiment of each line of standard input.",
}


class _Lazy(click.Group):
    """Imports a command's module only when that command runs: `--help` and shells' completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"heartbeat.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="heartbeat")
def cli() -> None:
    """Take the pulse of public conversation."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; exits with 0 done, 1 failed, 2 wrong usage."""
    cli.main(args=sys.argv[1:] if args is None else args, prog_name="heartbeat")
