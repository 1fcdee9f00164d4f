"""The embedded log: the contract, and what is its own."""

from __future__ import annotations

from pathlib import Path

from heartbeat.clock import Clock
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.testing.log_contract import LogContract


class TestSqliteLog(LogContract):
    def open(self, folder: Path, clock: Clock) -> SqliteLog:
        return SqliteLog.open(folder / "log.db", clock=clock)
