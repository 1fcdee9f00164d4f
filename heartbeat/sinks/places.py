"""What keeps figures of windows outside of log and history, and has to be told when something is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from heartbeat.sinks.history_forgetting import Window


class Place(Protocol):
    """Such as InfluxDB. It is told by `telling.Telling`; to be told again of the same has to change nothing."""

    @property
    def name(self) -> str:
        """What `heartbeat forget` calls it; stands in the history while there is something that it was not told."""
        ...

    @property
    def again_after_ms(self) -> Sequence[int]:
        """How long after it was told it is told again, and once more: what was on its way to it may arrive later."""
        ...

    @property
    def waits_for(self) -> str:
        """What is in the way while it is being told; empty if nothing is."""
        ...

    async def forget_windows(self, windows: Sequence[Window]) -> None:
        """Keep of these windows what the history holds of them now, and nothing else.

        Raises:
            HeartbeatError: it could not be told, or may not have been; says why.
        """
        ...

    async def forget_task(self, task: str, before_ms: int) -> None:
        """Forget every window of a task that starts before then: later ones are of a new task of the same name.

        Raises:
            HeartbeatError: as above.
        """
        ...
