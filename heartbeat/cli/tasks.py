"""`heartbeat tasks list|show|delete`: what is followed, what there is of it, and how a task goes for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from heartbeat import configfile
from heartbeat import tasks as _tasks
from heartbeat.cli.common import Failure, has_data_dir, printable, with_settings, writing_out
from heartbeat.cli.forget import forget_now
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.printing import print_json, print_table
from heartbeat.settings import Settings
from heartbeat.sinks import history_file
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.tasks import Task

_HEAD: Final = ("TASK", "CONFIGURED", "FEEDS", "LANGUAGES", "FROM", "TO", "POSTS", "UNSCORED", "LATE")


@click.group(cls=HelpfulGroup, short_help="What is followed, and what there is of it.")
def tasks() -> None:
    """Show tasks: those of config/tasks.yaml, and those that the history knows of (replays, and earlier ones)."""


@tasks.command("list", short_help="Every task.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def list_(settings: Settings, *, as_json: bool) -> None:
    """List every task: the configured ones in the order of the file, then those that only the history knows."""
    found = _known(settings)
    with writing_out():
        if as_json:
            print_json(found)
        elif found:
            print_table(_HEAD, [_row(task) for task in found], right=_HEAD[6:])
    if not found and not as_json:
        click.echo(f"there are no tasks; {settings.config_dir / 'tasks.yaml'} names them", err=True)


@tasks.command(short_help="Remove a task that is not configured, for good.")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of text.")
@with_settings
def delete(settings: Settings, *, name: str, yes: bool, as_json: bool) -> None:
    """Remove a task's windows, posts and messages everywhere: the same as `heartbeat forget --task NAME`.

    A configured task has to be taken out of tasks.yaml first.
    """
    forget_now(settings, f"the task {printable(name)}", task=name, yes=yes, as_json=as_json)


@tasks.command(short_help="One task: its query and what there is of it.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def show(settings: Settings, *, name: str, as_json: bool) -> None:
    """Show one task: its query, feeds and languages, and the windows and posts that there are of it."""
    found = _known(settings)
    task = next((task for task in found if task["task"] == name), None)
    if task is None:
        known = ", ".join(task["task"] for task in found) or "none"
        raise Failure(f"there is no task {name!r}, neither configured nor in the history; there are: {known}")
    with writing_out():
        if as_json:
            print_json(task)
            return
        for label, value in (
            ("task", name),
            ("title", task["title"]),
            ("configured", "yes" if task["configured"] else "no: it is in the history alone"),
            ("query", " | ".join(task["query"]) if task["query"] else None),
            ("feeds", ", ".join(task["feeds"]) or None),
            ("languages", _languages(task) if task["configured"] else None),
            ("windows of", ", ".join(f"{size} s" for size in task["sizes_s"]) or None),
            ("from", task["from"]),
            ("to", task["to"]),
            ("posts", f"{task['posts']:,}, of which {task['unscored']:,} unscored" if task["from"] else "none yet"),
            ("late", f"{task['late']:,} (in no window)" if task["late"] else None),
        ):
            if value is not None:
                click.echo(f"{label + ':':<12}{printable(str(value))}")


def _known(settings: Settings) -> list[dict[str, Any]]:
    configured = {task.name: task for task in _tasks.load(settings.config_dir)}
    queries = _queries(settings)
    path = settings.data_dir / history_file.NAME
    kept: dict[str, dict[str, Any]] = {}
    if has_data_dir(settings) and path.exists():
        with HistoryReader(path) as reader:
            for name in reader.tasks():
                summary = reader.summary(name)
                if summary is not None:
                    kept[name] = {
                        "sizes_s": reader.sizes(name),
                        "from": rfc3339(summary.from_ms),
                        "to": rfc3339(summary.to_ms),
                        "posts": summary.total,
                        "unscored": summary.unscored,
                        "late": summary.late,
                    }
    names = [*configured, *sorted(kept.keys() - configured.keys())]
    return [_object(name, configured.get(name), queries.get(name, []), kept.get(name)) for name in names]


def _object(name: str, task: Task | None, query: Sequence[str], kept: Mapping[str, Any] | None) -> dict[str, Any]:
    nothing: dict[str, Any] = {"sizes_s": [], "from": None, "to": None, "posts": 0, "unscored": 0, "late": 0}
    return {
        "task": name,
        "configured": task is not None,
        "title": None if task is None else task.title,
        "query": list(query),
        "feeds": [] if task is None else list(task.feeds),
        "languages": None if task is None or task.languages is None else sorted(task.languages),
        **(kept or nothing),
    }


def _queries(settings: Settings) -> dict[str, list[str]]:
    """Queries as they stand in the file, which has been found to be right."""
    values = configfile.read(settings.config_dir / "tasks.yaml").values
    queries = {}
    for entry in values["tasks"] or ():
        query = entry["query"]
        queries[entry["name"].strip()] = [str(part) for part in (query if isinstance(query, list) else [query])]
    return queries


def _row(task: Mapping[str, Any]) -> Sequence[object]:
    return (
        task["task"],
        "yes" if task["configured"] else "no",
        ", ".join(task["feeds"]) or "-",
        _languages(task) if task["configured"] else "-",
        task["from"] or "-",
        task["to"] or "-",
        f"{task['posts']:,}",
        f"{task['unscored']:,}",
        f"{task['late']:,}",
    )


def _languages(task: Mapping[str, Any]) -> str:
    return "all" if task["languages"] is None else ", ".join(task["languages"])
