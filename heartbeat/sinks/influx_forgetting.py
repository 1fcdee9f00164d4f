"""Forgetting in InfluxDB: points of a task, and of windows that a post was taken out of.

Windows that the stream corrects are written by the agent `influx`. What only the history corrects, since the stream
does not remember the post any more, is written from there: a window's points are deleted first, since a language or a
source may have gone out of it with the post.

The agent comes first: it may still have older records to write, and windows to write again after requests of unknown
outcome. What these would bring back is amended before anything is told to the server. What it wrote meanwhile may have
been newer than what the history said: so the history is asked again once it holds all that the agent may have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from heartbeat.errors import InfluxError
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.influx import AGAIN_AFTER_MS, InfluxSink, Unwritten
from heartbeat.sinks.influx_answers import Answer, answer_of, answer_to_error
from heartbeat.sinks.influx_client import opened
from heartbeat.sinks.influx_lines import PULSE, insight_line, size_name, window_lines
from heartbeat.sinks.insight_fields import InsightFields

LANE: Final = "forgetting"
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_LAST_MS: Final = round(_LAST.timestamp() * 1000)
_LOOK_EVERY_S: Final = 0.05

Key: TypeAlias = tuple[str, int, int]
"""(task, size_s, start_ms)"""
Amend: TypeAlias = Callable[[str, Callable[[Key], Sequence[str] | None]], Awaitable[None]]
"""Given a task, and what windows of its partition are to be written again with; see `agents.influx.InfluxAgent`."""
Left: TypeAlias = Callable[[], Callable[[], int]]
"""Begins to wait; gives how many of the messages of `pulse` that are there now an agent has not finished."""


class InfluxForgetting:
    """See the top of the module; a `places.Place`.

    Args:
        sink: where the points are, and how it is.
        history: the history's file.
        feeds: the feeds of each configured task, for insights.
        unwritten: of the agent.
        unstored: of history.
        amend: has the agent forget, too.
    """

    name = "InfluxDB"
    again_after_ms = AGAIN_AFTER_MS

    def __init__(
        self,
        sink: InfluxSink,
        history: Path,
        *,
        feeds: Mapping[str, Collection[str]],
        unwritten: Left,
        unstored: Left,
        amend: Amend,
    ) -> None:
        self._sink, self._history, self._feeds, self._amend = sink, history, feeds, amend
        self._unwritten, self._unstored = unwritten, unstored
        self.waits_for = ""

    async def forget_windows(self, windows: Sequence[Window]) -> None:
        """Write these windows as the history has them now, and nothing else of them.

        Raises:
            InfluxError: the server does not take it now; says why, and what to do.
        """
        with _explained():
            await self._forget_windows(windows)

    async def forget_task(self, task: str, before_ms: int) -> None:
        """Delete every point of a task before then. InfluxDB does not say how many there were.

        Raises:
            InfluxError: as above.
        """
        with _explained():
            await self._forget_task(task, before_ms)

    async def _forget_windows(self, windows: Sequence[Window]) -> None:
        await self._until_none(self._unwritten(), "are still to be written to it before")
        known: dict[Window, list[str]] = {}
        while True:
            read = await asyncio.to_thread(self._read, windows)
            changed = {window: points for window, points in read.items() if points != known.get(window)}
            if not changed:
                break
            await self._replace(changed)
            known |= changed
            await self._until_none(self._unstored(), "have still to reach the history")
        insights = await asyncio.to_thread(self._insights, windows)
        if insights:
            await self._sink.lane(LANE).write(insights)

    async def _forget_task(self, task: str, before_ms: int) -> None:
        await self._until_none(self._unwritten(), "are still to be written to it before")
        await self._amend(task, lambda window: () if window[0] == task and window[2] < before_ms else None)
        await self._delete(_of_task(task), _FIRST, _moment(before_ms - 1))  # it may take the end as included

    async def _replace(self, windows: Mapping[Window, Sequence[str]]) -> None:
        for task in {window.task for window in windows}:
            await self._amend(task, lambda key: windows.get(Window(*key)))
        for window in windows:
            at = window.start_ms
            await self._delete(_of_task(window.task, window.size_s), _moment(at), _moment(at + 1))
        lines = [line for points in windows.values() for line in points]
        if lines:
            await self._sink.lane(LANE).write(lines)

    async def _until_none(self, left: Callable[[], int], what: str) -> None:
        """Wait until an agent is through with what was there before.

        Raises:
            InfluxError: the server does not take what the agent has.
        """
        try:
            while count := left():
                if trouble := self._sink.trouble_beside(LANE):
                    raise InfluxError(trouble)
                self.waits_for = f"{count:,} records of windows {what}"
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            self.waits_for = ""

    def _read(self, windows: Sequence[Window]) -> dict[Window, list[str]]:
        """The points of windows as the history has them: none of those that have become empty.

        Without windows that it does not keep any more: their other posts would be gone from InfluxDB, too.
        """
        with HistoryReader(self._history) as reader:
            points = {window: _points(reader, window) for window in windows}
        # after that: what is swept out meanwhile is not taken for empty
        kept = history_forgetting.kept(self._history, windows)
        return {window: lines for window, lines in points.items() if window in kept}

    def _insights(self, windows: Sequence[Window]) -> list[str]:
        """Insights stand beside a window's figures, and went with them."""
        with HistoryReader(self._history) as reader:
            found = InsightFields(reader, self._feeds).of(
                (task, size_s, start_ms) for task, size_s, start_ms in windows
            )
        return [insight_line(window, numbers) for window, numbers in found.items() if numbers]

    async def _delete(self, predicate: str, begin: datetime, end: datetime) -> None:
        sink = self._sink
        sink.check_gate()
        client = opened(sink.place)
        try:
            await client.delete_api().delete(begin, end, predicate, sink.place.bucket)
        except Exception as error:
            answer = self._answer(error)
            if answer is None:
                raise
            raise sink.failed(LANE, answer) from error
        finally:
            await client.close()
        sink.well(LANE)

    def _answer(self, error: Any) -> Answer | None:
        status = getattr(error, "status", None)
        if status is None:
            return answer_to_error(error)
        now = datetime.fromtimestamp(self._sink.clock.now_ms() / 1000, UTC)
        return answer_of(int(status), error.body, error.headers, now)


def _points(reader: HistoryReader, window: Window) -> list[str]:
    task, size_s, start_ms = window
    found = reader.pulses(task, size_s, from_ms=start_ms, to_ms=start_ms + 1)
    return [line for pulse in found for line in window_lines(pulse, late=False)]


@contextmanager
def _explained() -> Iterator[None]:
    """Say what a person has to do, too: whoever asked for it reads this, and may not see how the sink is."""
    try:
        yield
    except Unwritten as error:
        raise InfluxError(f"{error}; {error.remedy}" if error.remedy else str(error)) from error


def _of_task(task: str, size_s: int | None = None) -> str:
    """A predicate for a window's or a task's points."""
    quoted = task.replace("\\", "\\\\").replace('"', '\\"')
    size = "" if size_s is None else f' AND size="{size_name(size_s)}"'
    return f'_measurement="{PULSE}" AND task="{quoted}"{size}'


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(at_ms, 0), _LAST_MS) / 1000, UTC)
