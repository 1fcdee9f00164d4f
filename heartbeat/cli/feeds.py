"""`heartbeat feeds`: how each feed is doing, as the running worker says; without one, where each was left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from heartbeat import control
from heartbeat.cli.common import printable, require_data_dir, with_settings, writing_out
from heartbeat.cli.owner import reading
from heartbeat.cli.printing import print_json, print_table
from heartbeat.feeds.cursors import standings
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.settings import Settings
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.topics import CURSORS

_HEAD: Final = ("FEED", "STATE", "WATERMARK", "POSTS", "FOR A TASK", "REJECTED", "TASKS", "WHY")


@click.command(short_help="How each feed is doing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def feeds(settings: Settings, *, as_json: bool) -> None:
    """Show each feed: its state, its watermark, what it has delivered and what of that was no post, and why it waits.

    A running worker is asked. With none running, it is what the log knows: where each feed was left.
    """
    require_data_dir(settings)
    connection = control.connect(settings.data_dir)
    if connection is not None:
        (answer,) = control.call(connection, "feeds")
        found = [_shown(info) for info in answer["feeds"]]
    else:
        found = _left(settings)
    with writing_out():
        if as_json:
            print_json(found)
        elif found:
            print_table(_HEAD, [_row(feed) for feed in found], right=_HEAD[3:6])
    if not as_json and connection is None:
        click.echo("no worker runs: this is where the feeds were left", err=True)
    if not found and not as_json:
        click.echo("there are no feeds", err=True)


def _shown(info: Mapping[str, Any]) -> dict[str, Any]:
    return {**info, "running": True, "watermark": _moment(info["watermark_ms"]), "since": rfc3339(info["since_ms"])}


def _left(settings: Settings) -> list[dict[str, Any]]:
    with reading(settings) as log:
        known = standings(log).values() if CURSORS.name in log.topics() else ()
    return [
        {
            "name": one.feed,
            "live": not one.feed.startswith("replay:"),
            "tasks": list(one.tasks),
            "state": one.state.value,
            "why": "",
            "watermark_ms": one.watermark_ms,
            "watermark": _moment(one.watermark_ms),
            "posts": one.posts,
            "matched": one.matched,
            "rejected": one.rejected,
            "running": False,
        }
        for one in sorted(known, key=lambda one: one.feed)
    ]


def _row(feed: Mapping[str, Any]) -> Sequence[object]:
    state = feed["state"] if feed["running"] else f"{feed['state']} (not running)"
    return (
        printable(feed["name"]),
        state,
        feed["watermark"] or "-",
        f"{feed['posts']:,}",
        f"{feed['matched']:,}",
        f"{feed['rejected']:,}",
        ", ".join(feed["tasks"]) or "-",
        printable(feed["why"]),
    )


def _moment(value: int) -> str | None:
    if value >= END_OF_TIME_MS:
        return "end of time"
    return None if value <= BEFORE_TIME_MS else rfc3339(value)
