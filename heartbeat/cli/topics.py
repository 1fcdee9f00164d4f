"""`heartbeat topics …`: what the log holds, how far it has been read, and the messages themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import orjson

from heartbeat.cli.common import Failure, data_dir_option, printable, until_interrupted, with_settings, writing_out
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.messages import Messages
from heartbeat.cli.owner import reading
from heartbeat.cli.printing import print_json, print_table, size
from heartbeat.engine.log import TP, LogRecord
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.settings import Settings
from heartbeat.topics import ALL, GROUPS

_NAMES: Final = [topic.name for topic in ALL]
"""What a shell completes; a log has others besides, with tables' rows."""
_PAGE: Final = 500
_EVERY_S: Final = 1.0
_SHORTEST: Final = 60


@click.group(
    cls=HelpfulGroup, invoke_without_command=True, short_help="What the log holds, and how far it has been read."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, by partition.")
@click.option("--follow", is_flag=True, help="Again every second, until Ctrl-C.")
@data_dir_option
@click.pass_context
def topics(context: click.Context, as_json: bool, follow: bool, data_dir: Path | None) -> None:
    """List topics: partitions, messages, bytes, and how far each agent is behind.

    Messages are those that can be read: what was erased or replaced by a newer one is not among them; how far an agent
    is behind counts all places. A topic that keeps the newest message of each key says `by key`.

    Works while a worker runs and when none does. `heartbeat topics show NAME` shows the messages of one.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_, as_json=as_json, follow=follow, data_dir=data_dir)
    elif as_json or follow or data_dir is not None:
        raise click.UsageError(f"give options behind `{context.invoked_subcommand}`")


@topics.command("list", short_help="The same as `heartbeat topics`.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, by partition.")
@click.option("--follow", is_flag=True, help="Again every second, until Ctrl-C.")
@with_settings
def list_(settings: Settings, *, as_json: bool, follow: bool) -> None:
    """List topics: partitions, messages, bytes, and how far each agent is behind."""
    with reading(settings) as log, writing_out(), until_interrupted():
        while True:
            found = [_topic(log, name) for name in sorted(log.topics())]
            if as_json and follow:
                click.echo(orjson.dumps(found).decode())
            elif as_json:
                print_json(found)
            else:
                _print_topics(found)
            if not follow:
                return
            time.sleep(_EVERY_S)
            if not as_json:
                click.echo()


@topics.command(short_help="One topic: its partitions and its messages.")
@click.argument("name", shell_complete=lambda ctx, param, begun: [one for one in _NAMES if one.startswith(begun)])
@click.option("--partition", type=click.IntRange(min=0), help="Messages of this partition alone.")
@click.option("--from-offset", type=click.IntRange(min=0), help="Messages from this offset on, all of them.")
@click.option(
    "--last", type=click.IntRange(min=0), help="The newest so many of each partition  [default: 10; 0: none]."
)
@click.option("--key", help="Messages with this key alone; a post's is SOURCE\\nID.")
@click.option("--content", is_flag=True, help="With posts' texts, authors and addresses.")
@click.option("--follow", is_flag=True, help="Then go on with what arrives, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Messages alone, one as JSON a line.")
@with_settings
def show(
    settings: Settings,
    *,
    name: str,
    partition: int | None,
    from_offset: int | None,
    last: int | None,
    key: str | None,
    content: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show one topic: its partitions, who has read how far, and its messages decoded.

    Texts, authors and addresses are left out, only their lengths are told, unless you ask with --content.
    """
    if from_offset is not None and last is not None:
        raise click.UsageError("give --from-offset or --last, not both")
    with reading(settings) as log:
        if name not in log.topics():
            raise Failure(f"there is no topic {name!r}; there are {', '.join(sorted(log.topics())) or 'none yet'}")
        count = log.partitions(name)
        if partition is not None and partition >= count:
            raise Failure(f"{name} has the partitions 0 to {count - 1}, not {partition}")
        with writing_out(), until_interrupted():
            if not as_json:
                _print_partitions(_topic(log, name))
            wanted = None if key is None else key.replace("\\n", "\n").encode()
            messages = Messages(log, content=content)
            places: dict[int, int] = {}
            for number in range(count) if partition is None else [partition]:
                begin, end = (log.begin_offset(TP(name, number)), log.end_offset(TP(name, number)))
                back = 10 if last is None else last
                places[number] = max(begin, end - back if from_offset is None else from_offset)
                if wanted is not None and from_offset is None and last is None:
                    places[number] = begin
            _stream(log, name, places, wanted, messages, as_json=as_json, follow=follow)


def _stream(
    log: SqliteLog,
    name: str,
    places: dict[int, int],
    key: bytes | None,
    messages: Messages,
    *,
    as_json: bool,
    follow: bool,
) -> None:
    """Print messages from these offsets on; each page is a snapshot of its own, which keeps nobody from writing."""
    while True:
        found = False
        for partition in places:
            for record in _page(log, name, partition, places):
                found = True
                if key is None or record.key == key:
                    shown = messages.object(name, partition, record)
                    click.echo(orjson.dumps(shown).decode() if as_json else _line(shown))
        if found:
            continue
        if not follow:
            return
        click.get_text_stream("stdout").flush()
        time.sleep(_EVERY_S)


def _page(log: SqliteLog, name: str, partition: int, places: dict[int, int]) -> Iterator[LogRecord]:
    records = log.peek(TP(name, partition), places[partition], _PAGE)
    if records:
        places[partition] = records[-1].offset + 1
    return iter(records)


def _topic(log: SqliteLog, name: str) -> dict[str, Any]:
    """One topic as JSON has it."""
    stored = log.topics()[name]
    partitions = []
    for number in range(stored.partitions):
        tp = TP(name, number)
        begin, end = log.begin_offset(tp), log.end_offset(tp)
        partitions.append(
            {
                "partition": number,
                "begin": min(begin, end),
                "end": end,
                "messages": log.count(tp),
                "bytes": log.partition_bytes(tp),
            }
        )
    groups = {group: _group(log, name, group, partitions) for group in sorted(log.groups(name))}
    return {
        "topic": name,
        "compact": stored.compact,
        "retention_ms": stored.retention_ms,
        "holds_content": stored.holds_content,
        "messages": sum(each["messages"] for each in partitions),
        "bytes": log.sizes()[name],
        "partitions": partitions,
        "agents": groups,
    }


def _group(log: SqliteLog, name: str, group: str, partitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    offsets = [log.committed(group, TP(name, each["partition"])) for each in partitions]
    lags = [
        each["end"] - (each["begin"] if offset is None else max(offset, each["begin"]))
        for each, offset in zip(partitions, offsets, strict=True)
    ]
    return {"offsets": offsets, "lags": lags, "lag": sum(lags)}


def _print_topics(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        click.echo("there are no topics yet", err=True)
        return
    rows = []
    for topic in found:
        agents = ", ".join(f"{_short(group)} {said['lag']:,}" for group, said in topic["agents"].items())
        kept = f"{topic['messages']:,}" + (" by key" if topic["compact"] else "")
        rows.append((topic["topic"], len(topic["partitions"]), kept, size(topic["bytes"]), agents))
    head = ("TOPIC", "PARTITIONS", "MESSAGES", "BYTES", "STILL TO READ")
    print_table(head, rows, right=("PARTITIONS", "MESSAGES", "BYTES"))


def _print_partitions(topic: Mapping[str, Any]) -> None:
    groups = topic["agents"]
    head = ("PARTITION", "FIRST", "NEXT", "MESSAGES", "BYTES", *(f"{_short(group)} AT" for group in groups), "LAG")
    rows = []
    for at, each in enumerate(topic["partitions"]):
        stands = ["-" if said["offsets"][at] is None else said["offsets"][at] for said in groups.values()]
        lag = max((said["lags"][at] for said in groups.values()), default=0)
        rows.append(
            (each["partition"], each["begin"], each["end"], each["messages"], size(each["bytes"]), *stands, lag)
        )
    print_table(head, rows, right=head)
    click.echo()


def _short(group: str) -> str:
    return group.removeprefix(f"{GROUPS}-")


def _line(shown: Mapping[str, Any]) -> str:
    """A message as one line for people."""
    said = shown.get("problem") or shown["value"]
    if isinstance(said, dict):
        said = "  ".join(f"{name}={_cell(value)}" for name, value in said.items() if value not in (None, False, "", []))
    key = printable((shown["key"] or "-").replace("\n", " "))
    place = f"{shown['partition']}@{shown['offset']}"
    return f"{place:>10}  {shown['time']}  {key}  {shown['type'] or '-'}  {printable(str(said))}"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHORTEST else f"{text[:_SHORTEST]}…"
