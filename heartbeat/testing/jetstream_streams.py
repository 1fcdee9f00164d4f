"""What a Jetstream host of ours has to send: events by their number, given ones or those of a story."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from heartbeat.testing.jetstream_story import Said, Story


class Stream(Protocol):
    """Events by their number, from 0 on."""

    def size(self) -> int:
        """How many there are by now."""
        ...

    def said(self, number: int) -> Said:
        """The event of that number."""
        ...

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it."""
        ...


class Told:
    """A stream of given events; more can be told while it runs."""

    def __init__(self, events: Iterable[Said] = ()) -> None:
        self.events = list(events)

    def tell(self, *events: Said) -> None:
        """Add events."""
        self.events += events

    def size(self) -> int:
        """How many there are by now."""
        return len(self.events)

    def said(self, number: int) -> Said:
        """The event of that number."""
        return self.events[number]

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it, or after the last that is before it."""
        return next((at for at, event in enumerate(self.events) if event.us >= us), len(self.events))


class Playing:
    """A story up to an event; then, or from the beginning, at the pace of the clock.

    Args:
        story: its events.
        count: so many are there from the beginning, and no more of the story; None: it goes on as time does.
    """

    def __init__(self, story: Story, count: int | None = None) -> None:
        self._story, self._count = story, count
        self._began_us = time.time_ns() // 1000

    def size(self) -> int:
        """How many there are by now. After a story has ended, ten times a second something that is no post."""
        now_us = time.time_ns() // 1000
        if self._count is None:
            return self._story.find(now_us)
        return self._count + (now_us - self._began_us) // 100_000

    def said(self, number: int) -> Said:
        """The event of that number."""
        if self._count is None or number < self._count:
            return self._story.said(number)
        return Said(self._began_us + (number - self._count) * 100_000, "did:plc:somebody", "other")

    def find(self, us: int) -> int:
        """The number of the first event at a time or after it."""
        number = self._story.find(us)
        if self._count is None or number < self._count:
            return number
        return self._count + max(0, -(-(us - self._began_us) // 100_000))
