"""`heartbeat deadletters …`: what could not be used, where it stood and why; giving it back, and erasing it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson

from heartbeat.cli.common import EXIT_FAILED, Failure, counted, printable, with_settings, writing_out
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.letter_choice import Choice, Id, choosing
from heartbeat.cli.messages import Messages
from heartbeat.cli.owner import ask_owner, reading
from heartbeat.cli.printing import print_json
from heartbeat.clock import SystemClock
from heartbeat.engine.letters import STORE, Letter, LetterId, letter, letters, newest
from heartbeat.engine.log import TP, Log
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.settings import Settings
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.topics import DEADLETTERS


@click.group(cls=HelpfulGroup, short_help="See, replay and erase what could not be used.")
def deadletters() -> None:
    """See, replay and erase what could not be used: lines that are no posts, messages that an agent failed at.

    Works while a worker runs and when none does. Contents are shown only by `show --content`.
    """


@deadletters.command("list", short_help="The newest: time, place and reason.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of text.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@with_settings
def list_(settings: Settings, *, as_json: bool, limit: int) -> None:
    """List the newest dead letters, oldest first: id, time, topic or feed, agent, place and reason."""
    with reading(settings) as log:
        known = DEADLETTERS.name in log.topics()
        found = asyncio.run(newest(log, limit)) if known else []
        notes = {one.id: _note(log, one.id) for one in found}
    with writing_out():
        for one in found:
            note = notes[one.id]
            click.echo(orjson.dumps(_object(one, note)).decode() if as_json else _line(one, note))
    if not found and not as_json:
        click.echo("there are no dead letters", err=True)


@deadletters.command(short_help="One of them, decoded as far as it can be.")
@click.argument("id_", metavar="ID", type=Id())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--content", is_flag=True, help="With the post's text and author, and the original bytes.")
@with_settings
def show(settings: Settings, *, id_: LetterId, as_json: bool, content: bool) -> None:
    """Show one dead letter: where it stood, why it could not be used, and what it says as far as that can be read.

    Texts and authors are left out, unless you ask for them with --content.
    """
    with reading(settings) as log:
        records = asyncio.run(_one(log, id_))
        if not records:
            raise Failure(f"there is no dead letter {id_}, or not any more; `heartbeat deadletters list` shows them")
        one, note = letter(id_.partition, records[0]), _note(log, id_)
        said = Messages(log, content=content).value(one.topic, records[0].value) if one.source else {}
    value = records[0].value or b""
    shown = {**_object(one, note), "bytes": len(value), **said}
    if content:
        shown["raw"] = base64.b64encode(value).decode()
    with writing_out():
        if as_json:
            print_json(shown)
            return
        for name, each in shown.items():
            if each is not None and not isinstance(each, dict):
                click.echo(f"{name + ':':<10} {printable(str(each))}")
            elif isinstance(each, dict):
                for field, inner in each.items():
                    click.echo(f"  {field + ':':<18} {printable(str(inner))}")
        if content and one.source is None:
            click.echo(f"text:      {printable(value.decode(errors='backslashreplace'))}")


@deadletters.command(short_help="Give them back to the agent that failed.")
@choosing
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each.")
@with_settings
def replay(settings: Settings, /, *, as_json: bool, **chosen: Any) -> None:
    """Give dead letters back, once their cause is mended: each enters the topic where it failed, for that agent alone.

    A letter is replayed once; if it fails again, that makes a new one. What a feed could not read never was a message:
    mend the file and replay that. Refused is also what has been overtaken: a window's state or a post's score of which
    a newer one has come since. Exits with 1 if a letter was refused.
    """
    choice = Choice(**chosen)
    choice.check()
    ids = _chosen(settings, choice, replayed=choice.by_name)
    outcomes: list[Mapping[str, Any]] = []
    if ids:
        for part in ask_owner(settings, "deadletters replay", letters=[str(each) for each in ids]):
            outcomes += part["outcomes"]
    done = [outcome for outcome in outcomes if outcome["replayed"]]
    with writing_out():
        for outcome in outcomes:
            if as_json:
                click.echo(orjson.dumps(outcome).decode())
            elif outcome["replayed"]:
                click.echo(f"{outcome['letter']}  replayed to {outcome['to']}")
            else:
                click.echo(f"{outcome['letter']}  refused: {outcome['why']}")
    click.echo(f"{counted(len(done), 'letter', 'letters')} replayed", err=True)
    if len(done) < len(outcomes):
        raise click.exceptions.Exit(EXIT_FAILED)


@deadletters.command(short_help="Erase them, contents and all.")
@choosing
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def purge(settings: Settings, /, *, yes: bool, **chosen: Any) -> None:
    """Erase dead letters, contents and all: their bytes are overwritten in the file."""
    choice = Choice(**chosen)
    choice.check()
    ids = _chosen(settings, choice, replayed=True)
    if not ids:
        click.echo("there are none to erase", err=True)
        return
    if not yes:
        click.confirm(f"Erase {counted(len(ids), 'dead letter', 'dead letters')} for good?", abort=True, err=True)
    *_, answer = ask_owner(settings, "deadletters purge", letters=[str(each) for each in ids])
    click.echo(f"{counted(answer['erased'], 'letter', 'letters')} erased", err=True)
    if answer["busy"]:
        click.echo("what was erased leaves the file log.db-wal once nobody reads it any more", err=True)
    if choice.by_name and answer["erased"] < len(set(ids)):
        raise Failure(f"{len(set(ids)) - answer['erased']} of them were not there (any more)")


def _chosen(settings: Settings, choice: Choice, *, replayed: bool) -> Sequence[LetterId]:
    """The letters that are meant; those that have been replayed only if that is asked for."""
    if choice.by_name:
        return choice.ids
    now_ms = SystemClock().now_ms()

    async def fitting(log: SqliteLog) -> list[LetterId]:
        found: list[Letter] = []
        for partition in range(log.partitions(DEADLETTERS.name)):
            found += [one async for one in letters(log, partition, 0) if choice.fits(one, now_ms)]
        found.sort(key=lambda one: (one.at_ms, one.id))
        return [one.id for one in found if replayed or _note(log, one.id) is None]

    with reading(settings) as log:
        return asyncio.run(fitting(log)) if DEADLETTERS.name in log.topics() else []


async def _one(log: Log, each: LetterId) -> Sequence[Any]:
    """The message of a letter; none if it is gone."""
    if each.partition >= log.partitions(DEADLETTERS.name):
        return []
    records = await log.fetch(TP(DEADLETTERS.name, each.partition), each.offset, 1, 0.0)
    return [record for record in records if record.offset == each.offset and record.headers]


def _note(log: SqliteLog, each: LetterId) -> str | None:
    """Where a letter has been replayed to, if it has been."""
    key = b"%d" % each.offset
    note = log.state(STORE).get_many(each.partition, [key]).get(key)
    return None if note is None else str(orjson.loads(note)["to"])


def _line(one: Letter, note: str | None) -> str:
    parts = (str(one.id), rfc3339(one.at_ms), one.topic, one.agent, f"{one.place}: {one.reason}")
    return "  ".join(map(printable, parts)) + (f"  (replayed to {note})" if note else "")


def _object(one: Letter, note: str | None) -> dict[str, Any]:
    return {
        "letter": str(one.id),
        "time": rfc3339(one.at_ms),
        "topic": one.topic,
        "agent": one.agent,
        "place": one.place,
        "reason": one.reason,
        "error": one.error,
        "replayed_to": note,
    }
