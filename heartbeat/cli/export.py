"""`heartbeat export windows|posts|insights`: the history as a table, while a worker runs and when none does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from heartbeat import tasks as _tasks
from heartbeat.cli.common import Failure, Misuse, require_data_dir, with_settings
from heartbeat.cli.insight_rows import INSIGHT_COLUMNS, insight_rows
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.table_output import write_table
from heartbeat.cli.times import Instant
from heartbeat.errors import ConfigError
from heartbeat.settings import Settings
from heartbeat.sinks import history_file
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rows import By
from heartbeat.sinks.table_writers import Column, Format, rfc3339

WINDOW_COLUMNS: Final = (
    Column("task", "text"),
    Column("window_start", "time"),
    Column("window_seconds", "integer"),
    Column("by", "text"),
    Column("key", "text"),
    Column("total", "integer"),
    Column("scored", "integer"),
    Column("positive", "integer"),
    Column("neutral", "integer"),
    Column("negative", "integer"),
    Column("mixed", "integer"),
    Column("unscored", "integer"),
    Column("pos_mean", "number"),
    Column("neu_mean", "number"),
    Column("neg_mean", "number"),
    Column("revision", "integer"),
    Column("final", "boolean"),
)
POST_COLUMNS: Final = (
    Column("id", "text"),
    Column("source", "text"),
    Column("task", "text"),
    Column("time", "time"),
    Column("lang", "text"),
    Column("lang_confidence", "number"),
    Column("label", "text"),
    Column("pos", "number"),
    Column("neu", "number"),
    Column("neg", "number"),
    Column("model", "text"),
    Column("unscored_reason", "text"),
    Column("late", "boolean"),
)

F = TypeVar("F", bound=Callable[..., Any])


def table_options(command: F) -> F:
    """What both tables can be asked for."""
    for option in reversed(
        (
            click.option(
                "--format",
                "format_",
                type=click.Choice(["csv", "jsonl", "parquet"]),
                default="csv",
                show_default=True,
                help="How to write it.",
            ),
            click.option("--task", help="One task only  [default: all]."),
            click.option("--from", "from_ms", type=Instant(), help="The first time that is in: RFC 3339 or ms."),
            click.option("--to", "to_ms", type=Instant(), help="The first time that is out: RFC 3339 or ms."),
            click.option(
                "--output",
                type=click.Path(dir_okay=False, path_type=Path),
                help="The file to write  [default: standard output].",
            ),
            click.option("--spreadsheet", is_flag=True, help="CSV: disarm cells that begin like formulas."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=HelpfulGroup, short_help="Write windows, posts or insights as CSV, JSONL or Parquet.")
def export() -> None:
    """Write the history as a table: windows, posts or insights, as CSV, JSON lines or Parquet.

    Works while a worker runs and when none does. See docs/export.md for the columns.
    """


@export.command()
@table_options
@click.option("--size", "size_s", type=click.IntRange(min=1), help="Windows of this many seconds  [default: all].")
@click.option(
    "--by",
    type=click.Choice(["all", "lang", "source", "model"]),
    default="all",
    show_default=True,
    help="How to cut them.",
)
@with_settings
def windows(
    settings: Settings,
    *,
    format_: Format,
    task: str | None,
    from_ms: int | None,
    to_ms: int | None,
    output: Path | None,
    spreadsheet: bool,
    size_s: int | None,
    by: By,
) -> None:
    """Write windows that start in [--from, --to), ordered by task, size, start and key."""
    _check(format_, from_ms, to_ms, output, spreadsheet)
    with _history(settings, task) as reader:
        sizes = reader.sizes(task)
        if size_s is not None and sizes and size_s not in sizes:
            raise Failure(f"there are no windows of {size_s} s; there are {', '.join(map(str, sizes))}")
        rows = reader.windows(task, size_s=size_s, from_ms=from_ms, to_ms=to_ms, by=by)
        write_table(format_, output, WINDOW_COLUMNS, rows, spreadsheet)


@export.command()
@table_options
@with_settings
def posts(
    settings: Settings,
    *,
    format_: Format,
    task: str | None,
    from_ms: int | None,
    to_ms: int | None,
    output: Path | None,
    spreadsheet: bool,
) -> None:
    """Write posts whose time is in [--from, --to), without their texts, ordered by task, time, source and id."""
    _check(format_, from_ms, to_ms, output, spreadsheet)
    with _history(settings, task) as reader:
        rows = (row[: len(POST_COLUMNS)] for row in reader.posts(task, from_ms=from_ms, to_ms=to_ms))
        write_table(format_, output, POST_COLUMNS, rows, spreadsheet)


@export.command()
@table_options
@click.option(
    "--size", "size_s", type=click.IntRange(min=1), help="Windows of this many seconds  [default: the largest]."
)
@with_settings
def insights(
    settings: Settings,
    *,
    format_: Format,
    task: str | None,
    from_ms: int | None,
    to_ms: int | None,
    output: Path | None,
    spreadsheet: bool,
    size_s: int | None,
) -> None:
    """Write how windows that start in [--from, --to) stand to others, ordered by task and start.

    Share of voice, changes, spikes and shifts; see docs/figures.md.
    """
    _check(format_, from_ms, to_ms, output, spreadsheet)
    with _history(settings, task) as reader:
        size_s = _judged_size(settings, reader.sizes(task), size_s)
        names = reader.tasks() if task is None else [task]
        tasks = configured(settings)
        rows = (
            row for name in names for row in insight_rows(reader, name, size_s, tasks, from_ms=from_ms, to_ms=to_ms)
        )
        write_table(format_, output, INSIGHT_COLUMNS, rows, spreadsheet)


def _judged_size(settings: Settings, sizes: Sequence[int], size_s: int | None) -> int:
    """The size that is asked for, or the largest; of those that are counted, not of those that are added up later."""
    counted = [size for size in sizes if size in settings.window_sizes_s] or sizes
    if size_s is not None and counted and size_s not in counted:
        raise Failure(f"there are no insights into windows of {size_s} s; there are for {', '.join(map(str, counted))}")
    return size_s if size_s is not None else max(counted, default=1)


def _check(format_: Format, from_ms: int | None, to_ms: int | None, output: Path | None, spreadsheet: bool) -> None:
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        raise Misuse(f"--from ({rfc3339(from_ms)}) is after --to ({rfc3339(to_ms)})")
    if spreadsheet and format_ != "csv":
        raise Misuse("--spreadsheet is about CSV only")
    if format_ == "parquet" and output is None and sys.stdout.isatty():
        raise Misuse("Parquet is binary: give --output FILE, or send it into a pipe")


@contextmanager
def _history(settings: Settings, task: str | None) -> Iterator[HistoryReader]:
    """The history of the data directory, if it knows the task, or if that is at least configured."""
    path = settings.data_dir / history_file.NAME
    require_data_dir(settings)
    with HistoryReader(path) as reader:
        if task is not None and task not in (known := reader.tasks()):
            if task not in {each.name for each in configured(settings)}:
                have = f"there are {', '.join(known)}" if known else "there are none yet"
                raise Failure(f"there is no task {task!r} in {path}; {have}")
            click.echo(f"nothing has been counted for {task} yet", err=True)
        yield reader


def configured(settings: Settings) -> Sequence[_tasks.Task]:
    """The configured tasks; none if they are wrong. That is the worker's affair: what is in the history can be had."""
    try:
        return _tasks.load(settings.config_dir)
    except ConfigError:
        return ()
