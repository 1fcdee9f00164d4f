"""`heartbeat forget`: a post, an author or a task, by the worker that runs there or, if none does, alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import orjson

from heartbeat import control
from heartbeat.cli.common import EXIT_PENDING, Failure, Misuse, printable, require_data_dir, with_settings
from heartbeat.settings import Settings


@click.command(short_help="Remove posts or a task, now and everywhere.")
@click.option("--source", help="The source of the post, with --id.")
@click.option("--id", "post_id", help="The id of the post, with --source.")
@click.option("--author", help="Every post of this author, as far as it is still known who wrote what.")
@click.option("--task", help="Everything that was counted for this task.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of text.")
@with_settings
def forget(
    settings: Settings,
    *,
    source: str | None,
    post_id: str | None,
    author: str | None,
    task: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove a post, the posts of an author, or a task: texts, scores and messages, and correct the windows.

    Says what it did, a line for each place. It may be interrupted and started again. Exits with 3 where InfluxDB has
    still to be told, which is done by itself. See docs/history.md.
    """
    what = _what(source, post_id, author, task)
    posts = [(source, post_id)] if source is not None and post_id is not None else []
    forget_now(settings, what, posts=posts, author=author, task=task, yes=yes, as_json=as_json)


def forget_now(
    settings: Settings,
    what: str,
    *,
    posts: Sequence[tuple[str, str]] = (),
    author: str | None = None,
    task: str | None = None,
    yes: bool,
    as_json: bool,
) -> None:
    """Ask, unless that is answered already, and forget: by the worker that runs there or, if none does, alone.

    Args:
        settings: name the data directory.
        what: is to be forgotten, in words.
        posts: as (source, id).
        author: of posts.
        task: by its name.
        yes: do not ask.
        as_json: show steps as JSON lines.
    """
    require_data_dir(settings)
    if not yes:
        if not sys.stdin.isatty():
            raise Misuse("it cannot be undone: add --yes")
        click.confirm(f"forget {what}, for good?", abort=True, err=True)
    if not as_json:
        click.echo("waiting until what is under way has been counted …", err=True)
    connection = control.connect(settings.data_dir)
    if connection is not None:
        for part in control.call(connection, "forget", posts=list(posts), author=author, task=task):
            _show(part, as_json)
    else:
        part = asyncio.run(_alone(settings, posts, author, task, as_json))
    if part["pending"]:
        raise click.exceptions.Exit(EXIT_PENDING)


def _what(source: str | None, post_id: str | None, author: str | None, task: str | None) -> str:
    """In words, what is to be forgotten: one thing."""
    if (source is None) != (post_id is None):
        raise Misuse("a post is named by --source and --id together")
    named = [name for name in (post_id, author, task) if name is not None]
    if len(named) != 1:
        raise Misuse("name one thing: --source and --id, or --author, or --task")
    if "" in (source, *named):
        raise Misuse("a name is empty")
    kind = "the task" if task is not None else "all posts of" if author is not None else "the post"
    return f"{kind} {printable(named[0])}"


async def _alone(
    settings: Settings, posts: Sequence[tuple[str, str]], author: str | None, task: str | None, as_json: bool
) -> dict[str, Any]:
    """Run the agents here, without feeds or pages, for as long as it takes; gives the last step."""
    from heartbeat.app import station as make_station
    from heartbeat.forgetting import steps
    from heartbeat.services import running

    loop = asyncio.get_running_loop()
    crashed: asyncio.Future[Any] = loop.create_future()

    def crash(error: BaseException) -> None:
        if not crashed.done():
            crashed.set_exception(error)

    station = make_station(settings)
    async with running(station, crash) as (log, _, _):

        async def work() -> dict[str, Any]:
            async for step in steps(station, log, posts=posts, author=author, task=task):
                part = asdict(step)
                _show(part, as_json)
            return part

        working: asyncio.Future[Any] = asyncio.ensure_future(work())
        try:
            await asyncio.wait([working, crashed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            await asyncio.wait([working])
        if crashed.done():
            crashed.result()
        crashed.cancel()
        if working.cancelled():
            raise Failure("it was stopped; start the command again")
        last: dict[str, Any] = working.result()
        return last


def _show(part: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(part).decode())
    elif not part["done"]:
        click.echo(f"{part['place']}: {part['count']:,} {part['what']}")
        return
    elif not part["count"]:
        click.echo("nothing of it was kept", err=True)
    for line in part["pending"]:
        click.echo(
            f"forgotten here, and still to be told to {line}; that is noted, and done by itself: by the worker, or by "
            "the next one that is started",
            err=True,
        )
