"""`heartbeat influx replay`: windows of the history into InfluxDB again, while a worker runs and when none does."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import click

from heartbeat.cli.common import EXIT_FAILED, Failure, Misuse, counted, printable, require_data_dir, with_settings
from heartbeat.cli.export import configured
from heartbeat.cli.influx_common import place_of
from heartbeat.cli.times import Instant
from heartbeat.clock import SystemClock
from heartbeat.health import HealthBoard
from heartbeat.records import Pulse
from heartbeat.settings import Settings
from heartbeat.sinks import history_file
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.influx import InfluxSink, Unwritten
from heartbeat.sinks.influx_answers import Kind
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.sinks.influx_lines import insight_line, names_of, size_name, window_lines
from heartbeat.sinks.insight_fields import InsightFields
from heartbeat.sinks.table_writers import rfc3339
from heartbeat.tasks import feeds_by_task

WINDOWS_AT_ONCE: Final = 500
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
GIVES_UP_AFTER_S: Final = 300.0
SHOWN: Final = 5


class InstantOrNow(Instant):
    """A time, or `now`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises click's usage error if it is neither."""
        return SystemClock().now_ms() if value == "now" else super().convert(value, param, ctx)


@click.command(short_help="Write windows of the history again.")
@click.option("--from", "from_ms", type=Instant(), required=True, help="The first window: RFC 3339, a date, or ms.")
@click.option("--to", "to_ms", type=InstantOrNow(), default="now", show_default=True, help="The first that is out.")
@click.option("--task", help="One task only  [default: all].")
@click.option("--bucket", help="Another bucket than the configured one; it has to be there.")
@with_settings
def replay(settings: Settings, *, from_ms: int, to_ms: int, task: str | None, bucket: str | None) -> None:
    """Write windows of the history again: into a new bucket, or where something was refused or is missing.

    Works while a worker runs. To write a window again changes nothing, so after a stop the command is simply started
    again. The count of late posts is not part of the history, and is left as it is. A language or source that has gone
    from a window since it was written keeps its old figures where it stands: write into a new bucket if that matters.
    """
    if from_ms >= to_ms:
        raise Misuse("--from has to be before --to")
    place = place_of(settings, bucket)
    require_data_dir(settings)
    with HistoryReader(settings.data_dir / history_file.NAME) as reader:
        tasks = reader.tasks()
        if task is not None and task not in tasks:
            raise Failure(f"the history knows no task {task!r}; it knows {', '.join(map(repr, tasks)) or 'none'}")
        feeds = feeds_by_task(configured(settings))
        job = _Job(reader, place, from_ms, to_ms, tasks if task is None else [task], feeds)
        health = logging.getLogger("heartbeat.health")
        level = health.level
        health.setLevel(logging.CRITICAL)  # what it says is told below
        try:
            asyncio.run(job.run())
        except KeyboardInterrupt:
            raise Failure(f"stopped; {job.summary()}. Start it again and it begins anew; nothing is doubled") from None
        finally:
            health.setLevel(level)
    click.echo(job.summary(), err=True)
    for reason in job.reasons[:SHOWN]:
        click.echo(f"  {printable(reason)}", err=True)
    if job.refused:
        click.get_current_context().exit(EXIT_FAILED)


@dataclass
class _Job:
    """One run, and what came of it."""

    reader: HistoryReader
    place: InfluxPlace
    from_ms: int
    to_ms: int
    tasks: list[str]
    feeds: Mapping[str, Sequence[str]]
    windows: int = 0
    points: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.insights = InsightFields(self.reader, self.feeds)
        self.reasons: list[str] = []

    def summary(self) -> str:
        """What has been done."""
        done = f"{counted(self.windows, 'window', 'windows')} ({counted(self.points, 'point', 'points')}) written"
        where = f" to bucket {self.place.bucket} at {self.place.url}"
        return f"{done}{where}" + (f"; {counted(self.refused, 'point', 'points')} refused" if self.refused else "")

    async def run(self) -> None:
        """Write everything, a few hundred windows at a time."""
        clock = SystemClock()
        sink = InfluxSink(self.place, clock, HealthBoard(clock))
        try:
            for task in self.tasks:
                for size_s in self.reader.sizes(task):
                    pulses = self.reader.pulses(task, size_s, from_ms=self.from_ms, to_ms=self.to_ms)
                    await self._write(sink, task, size_s, pulses)
        finally:
            await sink.close()

    async def _write(self, sink: InfluxSink, task: str, size_s: int, pulses: Iterator[Pulse]) -> None:
        while some := await asyncio.to_thread(lambda: list(islice(pulses, WINDOWS_AT_ONCE))):
            lines = [line for pulse in some for line in window_lines(pulse, late=False)]
            closed = [(pulse.task, pulse.size_s, pulse.start_ms) for pulse in some if pulse.final]
            found = await asyncio.to_thread(self.insights.of, closed)
            lines += [insight_line(window, numbers) for window, numbers in found.items() if numbers]
            refused = await _patiently(sink, lines)
            self.windows += len(some)
            self.points += len(lines) - len(refused)
            self.refused += len(refused)
            for reason in dict.fromkeys(refusal.why for refusal in refused):
                if len(self.reasons) < SHOWN and reason not in self.reasons:
                    self.reasons.append(reason)
            while some_changed := await asyncio.to_thread(self._changed_since, task, size_s, some):
                # a worker that corrected them meanwhile may have been overtaken
                await _patiently(sink, [line for now, before in some_changed for line in _corrected(now, before)])
                newest = {now.start_ms: now for now, _ in some_changed}
                some = [newest.get(pulse.start_ms, pulse) for pulse in some]
            self._show(f"{printable(task)} {size_name(size_s)} {rfc3339(some[-1].start_ms)}: {self.windows:,} windows")
        if not sys.stderr.isatty() and self.windows:
            click.echo(f"{printable(task)} {size_name(size_s)}: done, {self.windows:,} windows so far", err=True)

    def _changed_since(self, task: str, size_s: int, written: list[Pulse]) -> list[tuple[Pulse, Pulse]]:
        """Of the windows that were written, those that are others now: (now, as written)."""
        before = {pulse.start_ms: pulse for pulse in written}
        last_ms = written[-1].start_ms + 1
        now = self.reader.pulses(task, size_s, from_ms=written[0].start_ms, to_ms=last_ms)
        return [(one, before[one.start_ms]) for one in now if one != before.get(one.start_ms, one)]

    def _show(self, line: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{line:79}", err=True, nl=False)


def _corrected(now: Pulse, before: Pulse) -> list[str]:
    return window_lines(now, before=names_of(before), late=False)


async def _patiently(sink: InfluxSink, lines: list[str]) -> list[Any]:
    """Write; wait for what passes, but not for what a person has to mend, nor for ever."""
    wait_s, waited_s = FIRST_WAIT_S, 0.0
    while True:
        try:
            return list(await sink.lane("replay").write(lines))
        except Unwritten as error:
            if error.kind is Kind.DENIED or waited_s > GIVES_UP_AFTER_S:
                raise Failure(
                    f"{error}; `heartbeat influx check` tells more. Start it again when that is mended"
                ) from error
            pause_s = wait_s if error.after_s is None else error.after_s
            click.echo(f"{error}; waits {pause_s:.0f} s", err=True)
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
