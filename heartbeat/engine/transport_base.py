"""What Faust's consumer and producer have in common on the log: the log itself, and that they make topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mode.utils.times import want_seconds

from heartbeat.engine.log import Log
from heartbeat.topics import Topic

if TYPE_CHECKING:
    from heartbeat.engine.transport import Transport


class OnRecordLog:
    """Mixed into both."""

    transport: Transport

    @property
    def record_log(self) -> Log:
        """The app's log."""
        return self.transport.record_log

    async def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int,
        *,
        retention: Any = None,
        compacting: bool | None = None,
        **options: Any,
    ) -> None:
        """Make a topic, unless it is there."""
        retention_ms = int(want_seconds(retention) * 1000) if retention else None
        wanted = Topic(topic, retention_ms=retention_ms, compact=bool(compacting))
        self.transport.declare(wanted, partitions)
