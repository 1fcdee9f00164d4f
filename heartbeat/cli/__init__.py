"""The command `heartbeat`: one module a group of commands, imported when it is asked for.

Imports whatever it drives; nothing imports it. A command's module exports a click command of the command's name.
"""

from __future__ import annotations

import signal
import sys

import click

from heartbeat import __version__
from heartbeat.cli.lazy import LazyGroup, Place

_COMMANDS = {
    "worker": "Run Heartbeat: feeds, models, windows and the pages.",
    "replay": "Feed files through the whole pipeline.",
    "export": "Write windows or posts as CSV, JSONL or Parquet.",
    "forget": "Remove posts or a task, now and everywhere.",
    "predict": "Say the language or sentiment of each line of standard input.",
    "corrections": "Show, export, import and delete what people say of posts.",
    "influx": "Prepare InfluxDB, check it, write the history again.",
    "backup": "Write log and history into one file, also while a worker runs.",
    "restore": "Make a data directory of a backup.",
    "doctor": "Say what is wrong and how to mend it; salvage a damaged log.",
    "config": "Check the configuration, and show where each value comes from.",
    "tasks": "What is followed, and what there is of it.",
    "feeds": "How each feed is doing.",
    "topics": "What the log holds, how far it has been read, and its messages.",
    "deadletters": "See, replay and erase what could not be used.",
    "models": "List, check, compare and choose models.",
    "completion": "Print a script that has the shell complete commands and options.",
}


@click.group(
    cls=LazyGroup,
    places={name: Place(f"heartbeat.cli.{name}:{name}", text) for name, text in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="heartbeat")
def cli() -> None:
    """Take the pulse of public conversation."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; exits with 0 done, 1 failed, 2 wrong usage."""
    args = sys.argv[1:] if args is None else args
    if args[:1] in (["worker"], ["replay"]):
        # While their modules are imported, a signal waits: both stop in order, and say so, once they can.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    cli.main(args=args, prog_name="heartbeat")
