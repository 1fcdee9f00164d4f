"""Forgetting in InfluxDB: points of a task, and of windows that a post was taken out of.

Windows that the stream corrects are written by the agent `influx`. What only the history corrects, since the stream
does not remember the post any more, is written from there: a window's points are deleted first, since a language or a
source may have gone out of it with the post.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from heartbeat.clock import Clock
from heartbeat.errors import InfluxError
from heartbeat.records import Pulse
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.influx_answers import Kind, answer_of, answer_to_error
from heartbeat.sinks.influx_client import InfluxClient, InfluxPlace, opened
from heartbeat.sinks.influx_lines import PULSE, body_of, size_name, window_lines
from heartbeat.sinks.places import PostId

_WINDOWS_AT_ONCE: Final = 200
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


class InfluxForgetting:
    """See the top of the module; a `places.Place`.

    Args:
        place: where the points are.
        history: the history's file.
        clock: for dates that the server names.
    """

    name = "InfluxDB"

    def __init__(self, place: InfluxPlace, history: Path, clock: Clock) -> None:
        self._place, self._history, self._clock = place, history, clock

    async def check(self) -> None:
        """See whether points can be written now.

        Raises:
            InfluxError: they cannot.
        """
        await self._write(b"")

    async def forget_posts(self, posts: Sequence[PostId], windows: Sequence[Window]) -> int:
        """Write these windows as the history has them now; gives how many."""
        for at in range(0, len(windows), _WINDOWS_AT_ONCE):
            some = windows[at : at + _WINDOWS_AT_ONCE]
            pulses = await asyncio.to_thread(self._read, some)
            while True:  # the agent may have written newer values meanwhile: what the history says last, stands
                for window in some:
                    await self._delete(_of_task(window.task, window.size_s), window.start_ms, window.start_ms + 1)
                lines = [line for pulse in pulses for line in window_lines(pulse, late=False)]
                if lines:
                    await self._write(body_of(lines))
                again = await asyncio.to_thread(self._read, some)
                if again == pulses:
                    break
                pulses = again
        return len(windows)

    async def forget_task(self, task: str) -> int:
        """Delete every point of a task. InfluxDB does not say how many there were."""
        await self._delete(_of_task(task), None, None)
        return 1

    def _read(self, windows: Sequence[Window]) -> list[Pulse]:
        with HistoryReader(self._history) as reader:
            return [
                pulse
                for window in windows
                for pulse in reader.pulses(
                    window.task, window.size_s, from_ms=window.start_ms, to_ms=window.start_ms + 1
                )
            ]

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
