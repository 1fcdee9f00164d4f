"""What a batch of the agent `influx` makes of windows, and which of its messages are in doubt."""

from __future__ import annotations

from typing import NamedTuple

from heartbeat.engine.agent import Batch, Event
from heartbeat.records import Late, Pulse
from heartbeat.sinks.influx_lines import NO_NAMES, Names, names_of
from heartbeat.windows.ids import WindowKey


class Change(NamedTuple):
    """The newest values of a window in a batch, and the message that they come from.

    Attributes:
        knows_late: whether the count of late posts is among them; history does not keep it.
        gone: what the window may have been written with, beside what is remembered of it.
    """

    event: Event[Pulse | Late]
    pulse: Pulse
    knows_late: bool
    gone: Names


class Doubts:
    """Which messages of a partition count as of unknown outcome.

    The first of each life do, as many as a batch may hold: so many may have been under way when the life before was
    killed. So do those of a batch whose request hung or broke, when it comes again.
    """

    def __init__(self, first: int) -> None:
        self._left, self._seen, self._until = first, -1, -1

    def cover(self, batch: Batch[Pulse | Late]) -> bool:
        """Whether a batch holds such messages; to be asked for each in order."""
        for event in batch:
            if not self._left:
                break
            if event.offset > self._seen:
                self._left -= 1
                self._seen = event.offset
                self._until = max(self._until, event.offset)
        return batch.events[0].offset <= self._until

    def add(self, batch: Batch[Pulse | Late]) -> None:
        """A batch's request had an unknown outcome."""
        self._until = max(self._until, batch.events[-1].offset)


def newest(batch: Batch[Pulse | Late]) -> dict[WindowKey, Change]:
    """The last record of each window, in the order of those."""
    found: dict[WindowKey, Change] = {}
    for event in batch:
        pulse = event.value
        if type(pulse) is Pulse:
            window = pulse.task, pulse.size_s, pulse.start_ms
            found[window] = after(found.pop(window, None), Change(event, pulse, True, NO_NAMES))
    return found


def after(before: Change | None, change: Change) -> Change:
    """A window's newest values, knowing those of before in the same batch.

    What only those name may have been written all the same, by a life that was killed with a shorter batch under way.
    """
    if before is None:
        return change
    pulse = change.pulse if change.knows_late else change.pulse._replace(late=before.pulse.late)
    gone = both(change.gone, both(before.gone, names_of(before.pulse)))
    return Change(change.event, pulse, change.knows_late or before.knows_late, gone)


def both(one: Names, other: Names) -> Names:
    """The names of both."""
    if one == other or other == NO_NAMES:
        return one
    return Names(*(tuple(sorted({*mine, *theirs})) for mine, theirs in zip(one, other, strict=True)))


def is_in(post: Late, window: Pulse) -> bool:
    """Whether a post's time lies in a window."""
    return window.start_ms <= post.time_ms < window.start_ms + 1000 * window.size_s


def shown(line: str) -> str:
    """A point's series and time, without its fields: they would fill a letter."""
    series, _, rest = line.partition(" ")
    while series.endswith("\\"):  # the space was part of a name
        more, _, rest = rest.partition(" ")
        series = f"{series} {more}"
    return f"{series} at {rest.rpartition(' ')[2]}"
