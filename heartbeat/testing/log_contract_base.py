"""What every part of the contract of logs begins with: a log under test, with three topics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from heartbeat.clock import Clock
from heartbeat.engine.log import TP, Append, Log
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic

EVENTS: Final = Topic("events")
OTHERS: Final = Topic("others")
NEWEST: Final = Topic("newest", retention_ms=None, compact=True)
SOURCE: Final = TP("events", 0)


def appends(topic: str, partition: int, *values: bytes) -> list[Append]:
    """Messages whose keys are their values."""
    return [Append(topic, partition, value, value) for value in values]


class LogUnderTest:
    """How the log is opened and closed."""

    forgets = False

    def open(self, folder: Path, clock: Clock) -> Any:
        """A log in that folder: a new one, or the one that was closed there."""
        raise NotImplementedError

    def close(self, log: Any) -> None:
        """Close it."""
        if hasattr(log, "close"):
            log.close()

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The log's clock."""
        return FakeClock()

    @pytest.fixture
    def log(self, tmp_path: Path, clock: FakeClock) -> Iterator[Log]:
        """A new log with three topics."""
        log = self.open(tmp_path, clock)
        log.create_topic(EVENTS, 3)
        log.create_topic(OTHERS, 2)
        log.create_topic(NEWEST, 2)
        yield log
        self.close(log)
