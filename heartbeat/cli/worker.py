"""`heartbeat worker`: the very same as `faust -A heartbeat.app worker -l info`."""

from __future__ import annotations

import click

from heartbeat.cli.common import with_settings
from heartbeat.settings import Settings


@click.command(short_help="Run Heartbeat.")
@with_settings
def worker(settings: Settings) -> None:
    """Run Heartbeat: feeds, models, windows and the pages, until Ctrl-C.

    Everything is set in config/ or by HEARTBEAT_… variables; see docs/settings.md.
    """
    from faust.cli.faust import cli as faust_cli

    # Faust's banner is for people: journals that get both streams would have lines that are no JSON.
    quiet = ["--quiet"] if settings.log_format == "json" else []
    faust_cli.main(args=[*quiet, "-A", "heartbeat.app", "worker", "-l", settings.log_level], prog_name="faust")
