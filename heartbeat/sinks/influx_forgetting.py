"""Forgetting in InfluxDB: points of a task, and of windows that a post was taken out of.

Windows that the stream corrects are written by the agent `influx`. What only the history corrects, since the stream
does not remember the post any more, is written from there: a window's points are deleted first, since a language or a
source may have gone out of it with the post.

The agent comes first: it may still have older records to write, and windows to write again after requests of unknown
outcome. What these would bring back is amended before anything is told to the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from heartbeat.errors import InfluxError
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_answers import Kind, answer_of, answer_to_error
from heartbeat.sinks.influx_client import InfluxClient, opened
from heartbeat.sinks.influx_lines import PULSE, body_of, insight_line, size_name, window_lines
from heartbeat.sinks.insight_fields import InsightFields
from heartbeat.sinks.places import PostId

_WINDOWS_AT_ONCE: Final = 200
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_LOOK_EVERY_S: Final = 0.05

Key: TypeAlias = tuple[str, int, int]
"""(task, size_s, start_ms)"""
Amend: TypeAlias = Callable[[str, Callable[[Key], Sequence[str] | None]], Awaitable[None]]
"""Given a task, and what windows of its partition are to be written again with; see `agents.influx.InfluxAgent`."""


class InfluxForgetting:
    """See the top of the module; a `places.Place`.

    Args:
        sink: where the points are, and how it is.
        history: the history's file.
        feeds: the feeds of each configured task, for insights.
        waits: begins to wait; gives how many of the messages that are there now the agent has still to write.
        amend: has the agent forget, too.
    """

    name = "InfluxDB"

    def __init__(
        self,
        sink: InfluxSink,
        history: Path,
        *,
        feeds: Mapping[str, Collection[str]],
        waits: Callable[[], Callable[[], int]],
        amend: Amend,
    ) -> None:
        self._sink, self._place, self._clock = sink, sink.place, sink.clock
        self._history, self._feeds, self._waits, self._amend = history, feeds, waits, amend

    async def check(self) -> None:
        """See whether points can be written now.

        Raises:
            InfluxError: they cannot.
        """
        await self._write(b"")

    async def forget_posts(self, posts: Sequence[PostId], windows: Sequence[Window]) -> int:
        """Write these windows as the history has them now; gives how many."""
        await self._caught_up()
        for at in range(0, len(windows), _WINDOWS_AT_ONCE):
            some = windows[at : at + _WINDOWS_AT_ONCE]
            known = await asyncio.to_thread(self._read, some)
            while True:  # the agent may have written newer values meanwhile: what the history says last, stands
                for task in {window.task for window in some}:
                    await self._amend(task, known.get)
                for window in some:
                    await self._delete(_of_task(window.task, window.size_s), window.start_ms, window.start_ms + 1)
                lines = [line for window in known.values() for line in window]
                if lines:
                    await self._write(body_of(lines))
                again = await asyncio.to_thread(self._read, some)
                if again == known:
                    break
                known = again
        insights = await asyncio.to_thread(self._insights, windows)
        for at in range(0, len(insights), self._sink.most_points):
            await self._write(body_of(insights[at : at + self._sink.most_points]))
        return len(windows)

    async def forget_task(self, task: str) -> int:
        """Delete every point of a task. InfluxDB does not say how many there were."""
        await self._caught_up()
        await self._amend(task, lambda window: () if window[0] == task else None)
        await self._delete(_of_task(task), None, None)
        return 1

    async def _caught_up(self) -> None:
        """Wait until the agent has written what was there before."""
        left = self._waits()
        while left():
            if self._sink.trouble:
                raise InfluxError(f"InfluxDB cannot be told: {self._sink.trouble}; start the command again later")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _read(self, windows: Sequence[Window]) -> dict[Key, list[str]]:
        """The points of windows as the history has them; none of those that have become empty."""
        points: dict[Key, list[str]] = {}
        with HistoryReader(self._history) as reader:
            for task, size_s, start_ms in windows:
                found = reader.pulses(task, size_s, from_ms=start_ms, to_ms=start_ms + 1)
                points[task, size_s, start_ms] = [line for pulse in found for line in window_lines(pulse, late=False)]
        return points

    def _insights(self, windows: Sequence[Window]) -> list[str]:
        """Insights stand beside a window's figures, and went with them."""
        with HistoryReader(self._history) as reader:
            found = InsightFields(reader, self._feeds).of(
                (task, size_s, start_ms) for task, size_s, start_ms in windows
            )
        return [insight_line(window, numbers) for window, numbers in found.items() if numbers]

    async def _write(self, body: bytes) -> None:
        client = InfluxClient(self._place, self._clock)
        try:
            answer = await client.write(body)
        finally:
            await client.close()
        if answer.kind is not Kind.WRITTEN:
            raise InfluxError(f"InfluxDB cannot be told: {answer.why}; {answer.remedy or 'try again later'}")

    async def _delete(self, predicate: str, from_ms: int | None, to_ms: int | None) -> None:
        client = opened(self._place)
        try:
            await client.delete_api().delete(
                _moment(from_ms, _FIRST), _moment(to_ms, _LAST), predicate, self._place.bucket
            )
        except Exception as error:
            raise self._explained(error) from error
        finally:
            await client.close()

    def _explained(self, error: Any) -> Exception:
        status = getattr(error, "status", None)
        if status is not None:
            now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
            answer = answer_of(int(status), error.body, error.headers, now)
        else:
            known = answer_to_error(error)
            if known is None:
                return error  # type: ignore[no-any-return]
            answer = known
        return InfluxError(f"InfluxDB cannot be told to forget: {answer.why}; {answer.remedy or 'try again later'}")


def _of_task(task: str, size_s: int | None = None) -> str:
    """A predicate for a window's or a task's points."""
    quoted = task.replace("\\", "\\\\").replace('"', '\\"')
    size = "" if size_s is None else f' AND size="{size_name(size_s)}"'
    return f'_measurement="{PULSE}" AND task="{quoted}"{size}'


def _moment(at_ms: int | None, otherwise: datetime) -> datetime:
    return otherwise if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
