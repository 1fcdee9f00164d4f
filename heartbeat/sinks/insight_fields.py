"""Insights as fields of points: for sinks that keep numbers beside each closed window.

What it gives is a function of what the history holds when it is asked, and of nothing else. Whoever asks for a window
right after it has closed gets what was known then; whoever asks when everything is sealed that it is made from (the
window itself, those of its reference, and the same windows of all tasks that are compared) gets the same ever after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

from heartbeat.insights.company import company_of
from heartbeat.insights.fields import fields
from heartbeat.insights.insight import Judge, spans_of
from heartbeat.sinks.history_reader import HistoryReader

Window: TypeAlias = tuple[str, int, int]
"""(task, size_s, start_ms); equal to `windows.ids.WindowKey`."""
LEAST_SIZE_S: Final = 60
"""Smaller windows come so often, and hold so few posts, that reading for their scores is not worth it."""


class InsightFields:
    """Works out fields of closed windows.

    Args:
        reader: of the history; used by one thread at a time.
        feeds: the feeds of each configured task.
        least_size_s: windows smaller than this get no fields.
    """

    def __init__(
        self, reader: HistoryReader, feeds: Mapping[str, Collection[str]], *, least_size_s: int = LEAST_SIZE_S
    ) -> None:
        self._reader, self._feeds, self._least_size_s = reader, feeds, least_size_s

    def has_stored(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the history holds everything of a partition up to this offset."""
        return self._reader.through(topic, partition) > offset

    def of(self, windows: Iterable[Window]) -> dict[Window, dict[str, float]]:
        """The fields of closed windows (see `insights.fields`). Blocks for about a millisecond a window.

        A window that is not stored, or stored as one that is still open, has none: it is not known here yet.
        """
        together: dict[tuple[int, int], list[str]] = {}
        for task, size_s, start_ms in windows:
            if size_s >= self._least_size_s:
                together.setdefault((size_s, start_ms), []).append(task)
        found: dict[Window, dict[str, float]] = {}
        for (size_s, start_ms), tasks in together.items():
            company = {task: company_of(task, self._feeds) for task in tasks}
            pasts = self._reader.around(size_s).pasts(company, spans_of(size_s, start_ms))
            for task, past in pasts.items():
                if start_ms in past.windows and start_ms not in past.unfinished:
                    insight = Judge(past).insight(start_ms, final=True)
                    found[task, size_s, start_ms] = fields(insight)
        return found


def as_text(numbers: Mapping[str, float]) -> str:
    """Fields in line protocol, each behind a comma: `,voice_share=0.25,spike_z=4.5`."""
    return "".join(f",{name}={value!r}" for name, value in numbers.items())
