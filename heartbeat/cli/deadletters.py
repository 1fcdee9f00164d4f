"""`heartbeat deadletters list`: what could not be used, where it stood and why; with and without a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import orjson

from heartbeat.cli.common import printable, require_data_dir, with_settings, writing_out
from heartbeat.clock import SystemClock
from heartbeat.engine import sqlite_schema
from heartbeat.engine.letters import Letter, newest
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.settings import Settings
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.topics import DEADLETTERS


@click.group(short_help="Show what could not be used, and why.")
def deadletters() -> None:
    """Show what could not be used: lines that are no posts, messages that an agent failed at.

    Works while a worker runs and when none does. Contents are never shown.
    """


@deadletters.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of text.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@with_settings
def list_(settings: Settings, *, as_json: bool, limit: int) -> None:
    """List the newest dead letters, oldest first: time, topic or feed, agent, place and reason."""
    require_data_dir(settings)
    path = sqlite_schema.place(settings.broker, settings.data_dir)
    log = SqliteLog.open(path, clock=SystemClock(), read_only=True)
    try:
        known = DEADLETTERS.name in log.topics()
        found = asyncio.run(newest(log, limit)) if known else []
    finally:
        log.close()
    with writing_out():
        for letter in found:
            click.echo(orjson.dumps(_object(letter)).decode() if as_json else _line(letter))
    if not found and not as_json:
        click.echo("there are no dead letters", err=True)


def _line(letter: Letter) -> str:
    parts = (rfc3339(letter.at_ms), letter.topic, letter.agent, f"{letter.place}: {letter.reason}")
    return "  ".join(map(printable, parts))


def _object(letter: Letter) -> dict[str, Any]:
    return {
        "time": rfc3339(letter.at_ms),
        "topic": letter.topic,
        "agent": letter.agent,
        "place": letter.place,
        "reason": letter.reason,
        "error": letter.error,
        "letter": f"{letter.partition}/{letter.offset}",
    }
