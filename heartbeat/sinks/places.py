"""What keeps posts or their figures outside of log and history, and has to be told when something is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from heartbeat.sinks.history_forgetting import Window

PostId: TypeAlias = tuple[str, str]
"""(source, id)"""


class Place(Protocol):
    """Such as InfluxDB, or a file of corrections."""

    @property
    def name(self) -> str:
        """What `heartbeat forget` calls it."""
        ...

    async def check(self) -> None:
        """Asked before anything is forgotten.

        Raises:
            HeartbeatError: it cannot be told anything now; says what to do.
        """
        ...

    async def forget_posts(self, posts: Sequence[PostId], windows: Sequence[Window]) -> int:
        """Forget these posts; gives how many things that were.

        Args:
            posts: by source and id, whether they are kept there or not.
            windows: those that the posts were counted in, as far as history has them. It holds their figures without
                the posts by now.
        """
        ...

    async def forget_task(self, task: str) -> int:
        """Forget everything of a task; gives how many things that were."""
        ...
