"""`heartbeat replay`: files through the whole pipeline, by the worker that runs there or, if none does, alone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from heartbeat import control
from heartbeat.cli.common import EXIT_FAILED, Misuse, counted, printable, with_settings
from heartbeat.errors import FeedError, HeartbeatError
from heartbeat.feeds.replay import parse_speed
from heartbeat.settings import Settings
from heartbeat.tasks.task import NAME

_BAR = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPED = "stopped; start the command again and it goes on"


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
    it was; files that are through are not read again. The exit code is 1 if a file was damaged or held no post at all.
    """
    if not NAME.fullmatch(task):
        raise Misuse(f"--task {task!r}: a task's name has 1 to 64 letters, digits, `-` and `_`")
    try:
        times = parse_speed(speed)
    except FeedError as error:
        raise Misuse(f"--speed: {error}") from error
    absolute = [file.absolute() for file in files]
    view = _View(task)
    with _stopped_by_signals():
        connection = control.connect(settings.data_dir)
        if connection is not None:
            names = [str(file) for file in absolute]
            for part in control.call(connection, "replay", files=names, task=task, speed=times, fast=fast):
                view.show(part)
        else:
            asyncio.run(_alone(settings, absolute, task, times, fast, view))
    if view.failed:
        raise click.exceptions.Exit(EXIT_FAILED)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end what is under way with a line that says how to go on."""

    def stop(*_: object) -> None:
        raise HeartbeatError(_STOPPED)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # see `heartbeat.cli.main`
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _alone(
    settings: Settings, files: Sequence[Path], task: str, speed: float | None, fast: bool, view: _View
) -> None:
    """Run the agents here, without feeds or pages, for as long as the replay takes."""
    from heartbeat.app import station as make_station
    from heartbeat.replays import Replay
    from heartbeat.services import running
    from heartbeat.worklog import discreet

    discreet()

    loop, crashed, this = asyncio.get_running_loop(), asyncio.Event(), asyncio.current_task()
    failures: list[BaseException] = []
    leaving = False

    def crash(error: BaseException) -> None:
        failures.append(error)
        crashed.set()

    def stop() -> None:
        nonlocal leaving
        if not leaving and this is not None:
            leaving = True  # closing takes a moment, and is not to be cancelled
            this.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    station = make_station(settings)
    try:
        async with running(station, crash) as (log, _, feeds):

            async def follow() -> None:
                replay = await Replay.prepare(station, log, feeds, files, task=task, speed=speed, fast=fast)
                async for progress in replay.run():
                    view.show(asdict(progress))

            showing, failing = asyncio.ensure_future(follow()), asyncio.ensure_future(crashed.wait())
            try:
                await asyncio.wait([showing, failing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving = True
                showing.cancel()
                failing.cancel()
                await asyncio.wait([showing, failing])
            if failures:
                raise failures[0]
            showing.result()
    except asyncio.CancelledError:
        raise HeartbeatError(_STOPPED) from None


class _View:
    """Progress on standard error: one line that changes on a terminal, else a line when the state does."""

    def __init__(self, task: str) -> None:
        self._task, self._terminal, self._state, self._width = task, sys.stderr.isatty(), "", 0
        self.failed = False

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
        troubles = list(part["troubles"])
        if part["lost"]:
            troubles.append(
                "the history was lost after files had been replayed into this task: windows and posts of "
                f"{self._task} are missing from charts and exports, or some of them are; replay the files under "
                "another name with --task"
            )
        else:
            how = "had been through before" if part["was_through"] else "through"
            posts = counted(part["posts"], "post", "posts")
            click.echo(f"{how}: {posts} in task {self._task}, every window closed", err=True)
        self._rejected(part["rejected"], part["rejects"])
        for path in part["empty"]:
            click.echo(f"{path} is empty", err=True)
        for line in part["waits"]:
            click.echo(line, err=True)
        for trouble in troubles:
            click.echo(f"Error: {trouble}", err=True)
        self.failed = bool(troubles)

    def _rejected(self, count: int, shown: Sequence[tuple[str, str]]) -> None:
        if not count:
            return
        click.echo(f"{counted(count, 'item was no post', 'items were no posts')}:", err=True)
        for place, reason in shown:
            click.echo(f"  {printable(place)}: {printable(reason)}", err=True)
        if count > len(shown):
            more = "more; " if shown else ""
            click.echo(f"  {count - len(shown):,} {more}see `heartbeat deadletters list`", err=True)
