"""`heartbeat replay`: files through the whole pipeline, by the worker that runs there or, if none does, alone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from heartbeat import control
from heartbeat.cli.common import Misuse, with_settings
from heartbeat.errors import FeedError, HeartbeatError
from heartbeat.feeds.replay import parse_speed
from heartbeat.settings import Settings
from heartbeat.tasks.task import NAME

_BAR = 30


@click.command(short_help="Feed files through the whole pipeline.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--task", default="replay", show_default=True, help="The task that every post counts in.")
@click.option(
    "--speed", default="max", show_default=True, metavar="max|1|N", help="How many times faster than it happened."
)
@click.option("--fast", is_flag=True, help="Have the fast model score them, where the usual one would take long.")
@with_settings
def replay(settings: Settings, files: Sequence[Path], task: str, speed: str, fast: bool) -> None:
    """Feed FILES of posts (JSONL, also .gz and .xz) through the whole pipeline.

    Every post counts in the task. It ends when every window is closed. Started again after a crash, it goes on where
    it was; files that are through are not read again.
    """
    if not NAME.fullmatch(task):
        raise Misuse(f"--task {task!r}: a task's name has 1 to 64 letters, digits, `-` and `_`")
    try:
        times = parse_speed(speed)
    except FeedError as error:
        raise Misuse(f"--speed: {error}") from error
    absolute = [file.absolute() for file in files]
    connection = control.connect(settings.data_dir)
    if connection is not None:
        names = [str(file) for file in absolute]
        _show(control.call(connection, "replay", files=names, task=task, speed=times, fast=fast), task)
    else:
        asyncio.run(_alone(settings, absolute, task, times, fast))


async def _alone(settings: Settings, files: Sequence[Path], task: str, speed: float | None, fast: bool) -> None:
    """Run the agents here, without feeds or pages, for as long as the replay takes."""
    from heartbeat.app import station as make_station
    from heartbeat.replays import Replay
    from heartbeat.services import running

    station = make_station(settings)
    loop, crashed = asyncio.get_running_loop(), asyncio.Event()
    failures: list[BaseException] = []

    def crash(error: BaseException) -> None:
        failures.append(error)
        crashed.set()

    async with running(station, crash) as (log, _, feeds):

        async def follow() -> None:
            view = _View(task)
            replay = await Replay.prepare(station, log, feeds, files, task=task, speed=speed, fast=fast)
            async for progress in replay.run():
                view.show(asdict(progress))

        try:
            showing = asyncio.ensure_future(follow())
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, showing.cancel)
            failing = asyncio.ensure_future(crashed.wait())
            await asyncio.wait([showing, failing], return_when=asyncio.FIRST_COMPLETED)
            failing.cancel()
            if failures:
                showing.cancel()
                await asyncio.wait([showing])
                raise failures[0]
            await showing
        except asyncio.CancelledError:
            raise HeartbeatError("stopped; start the command again and it goes on") from None


def _show(parts: Iterator[dict[str, Any]], task: str) -> None:
    view = _View(task)
    for part in parts:
        view.show(part)


class _View:
    """Progress on standard error: one line that changes on a terminal, else a line when the state does."""

    def __init__(self, task: str) -> None:
        self._task, self._terminal, self._state, self._width = task, sys.stderr.isatty(), "", 0

    def show(self, part: dict[str, Any]) -> None:
        """Show one part of the answer."""
        if part["done"]:
            self._end(part)
            return
        if self._terminal:
            filled = round(_BAR * part["fraction"])
            line = (
                f"[{'█' * filled}{' ' * (_BAR - filled)}] {part['fraction']:4.0%}  {part['posts']:,} posts, "
                f"{part['posts_per_s']:,.0f}/s  {part['state']}"
            )
            click.echo(f"\r{line:{self._width}}", err=True, nl=False)
            self._width = len(line)
        elif part["state"] != self._state:
            click.echo(f"{part['state']}: {part['fraction']:.0%}, {part['posts']:,} posts", err=True)
        self._state = part["state"]

    def _end(self, part: dict[str, Any]) -> None:
        if self._terminal:
            click.echo(f"\r{'':{self._width}}\r", err=True, nl=False)
        rejected = f", {part['rejected']:,} items were no posts (see dead letters)" if part["rejected"] else ""
        how = "had been through before" if part["was_through"] else "through"
        click.echo(f"{how}: {part['posts']:,} posts in task {self._task}, every window closed{rejected}", err=True)
