"""Windows and watermarks as pages see them: read from the live tables, changes of open units included.

Nothing here writes. What it shows may be a moment ahead of what is durable.
"""

from __future__ import annotations

from collections.abc import Iterator

from heartbeat.agents.pulse import PulseAgent
from heartbeat.records import END_OF_TIME_MS, Pulse
from heartbeat.topics import partition_of
from heartbeat.windows.ids import WindowId
from heartbeat.windows.progress import Progress
from heartbeat.windows.state import WindowState
from heartbeat.windows.watermarks import FeedProgress


class PulseView:
    """Reads what `pulse` knows.

    Args:
        agent: the one that this worker runs.
        partitions: of the topic `sentiment`.
    """

    def __init__(self, agent: PulseAgent, partitions: int) -> None:
        self._agent, self._partitions = agent, partitions

    def windows(self, task: str, size_s: int | None = None) -> Iterator[tuple[WindowId, WindowState]]:
        """A task's windows that are not sealed, of one size or all, in no particular order."""
        part = self._agent.part(partition_of(task, self._partitions))
        for window in map(WindowId._make, part.schedule.windows(task)):
            if size_s is None or window.size_s == size_s:
                state = part.window(window)
                if state is not None:
                    yield window, state

    def open_windows(self, task: str, size_s: int) -> list[Pulse]:
        """The same as records: figures as they stand now, revisions as last published; by start."""
        late = self.progress(task).late
        pulses = [state.pulse(window, late) for window, state in self.windows(task, size_s)]
        return sorted(pulses, key=lambda pulse: pulse.start_ms)

    def live_window(self, window: WindowId) -> Pulse | None:
        """One of them; None if it has no posts or is sealed."""
        state = self._agent.part(partition_of(window.task, self._partitions)).window(window)
        return None if state is None else state.pulse(window, self.progress(window.task).late)

    def progress(self, task: str) -> Progress:
        """How far a task is for good, and how many late posts it has had."""
        return self._agent.part(partition_of(task, self._partitions)).progress(task)

    def watermark_ms(self, task: str) -> int:
        """Up to where the task's windows are closed by its feeds; `BEFORE_TIME_MS` before the first promise."""
        return self._agent.part(partition_of(task, self._partitions)).watermarks.closing_ms(task)

    def is_through(self, task: str) -> bool:
        """Whether all feeds of a task have ended and every window of it is closed and sealed."""
        through = self.progress(task).sealed_through_ms >= END_OF_TIME_MS
        return through and not self._agent.part(partition_of(task, self._partitions)).schedule.has(task)

    def feeds(self) -> list[FeedProgress]:
        """Every feed that `pulse` has heard of, by name: what all of its partitions know has been promised."""
        found: dict[str, FeedProgress] = {}
        for partition in range(self._partitions):
            for feed in self._agent.part(partition).watermarks.progress():
                known = found.get(feed.feed)
                found[feed.feed] = feed if known is None else known.and_(feed)
        return [found[name] for name in sorted(found)]
