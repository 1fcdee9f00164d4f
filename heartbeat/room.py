"""Whether there is room for more: how far the agents are behind, how much the log holds, how much the disk has left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from heartbeat.agents import influx, insight_points
from heartbeat.engine.runner import Engine
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.health import HealthBoard, State
from heartbeat.settings import Settings

PART: Final = "disk"
LITTLE_BYTES: Final = 1_000_000_000
TOO_LITTLE_BYTES: Final = 100_000_000
"""Below this, writes are about to fail: each is tried again until it succeeds, but nothing moves."""
NEAR: Final = 0.95
"""Of a cap. What everybody has read is removed from 90 % on, so what is left is not read."""


def free_bytes(folder: Path) -> int:
    """What the disk of a folder has left."""
    return shutil.disk_usage(folder).free


class Room:
    """Asked by feeds before they write, and by `services.upkeep` every second.

    Args:
        settings: the caps, and where the data are.
        board: told how the disk is.
        log: what is capped.
        engine: its agents read it.
        free: gives what the disk has left.
    """

    def __init__(
        self,
        settings: Settings,
        board: HealthBoard,
        log: SqliteLog,
        engine: Engine,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._settings, self._board, self._log, self._engine, self._free = settings, board, log, engine, free

    def lag(self) -> int:
        """Messages that the slowest agent has not finished; InfluxDB, which may be away for days, holds nobody up."""
        others = (influx.NAME, insight_points.NAME)
        return max(agent.lag() for name, agent in self._engine.agents.items() if name not in others)

    def paused_reason(self) -> str | None:
        """Why nothing may be written now, or None."""
        return self._over(1.0)

    def is_near_cap(self) -> bool:
        """Whether a cap is so near that retention should look now rather than in a while."""
        return self._over(NEAR) is not None

    def _over(self, share: float) -> str | None:
        sizes, settings = self._log.sizes(), self._settings
        for topic, size in sizes.items():
            if size > settings.max_topic_bytes * share:
                return f"topic {topic} holds {size:,} bytes, its cap is {settings.max_topic_bytes:,}"
        total = sum(sizes.values())
        if total > settings.max_log_bytes * share:
            return f"the log holds {total:,} bytes, its cap is {settings.max_log_bytes:,}"
        return None

    def look(self) -> None:
        """Tell the board how the disk is."""
        state, why, remedy = self._disk()
        self._board.report(PART, state, why, remedy)

    def _disk(self) -> tuple[State, str, str]:
        folder = self._settings.data_dir
        try:
            free = self._free(folder)
        except OSError as error:
            return State.FAILED, f"{folder} cannot be looked at: {error.strerror}", "look at the disk"
        if free < TOO_LITTLE_BYTES:
            return (
                State.FAILED,
                f"{free // 10**6} MB are left on the disk of {folder}",
                "make room at once: what cannot be written waits, and goes on by itself",
            )
        if reason := self.paused_reason():
            slow = max(self._engine.agents.values(), key=lambda agent: agent.lag()).spec.name
            return (
                State.WAITING,
                f"{reason}; feeds are paused",
                f"they go on by themselves once {slow} has read more; if it never does, look at agent/{slow}, "
                "or raise max_topic_bytes and max_log_bytes",
            )
        if free < LITTLE_BYTES:
            return State.WAITING, f"{free // 10**6} MB are left on the disk of {folder}", "make room soon"
        return State.OK, "", ""
