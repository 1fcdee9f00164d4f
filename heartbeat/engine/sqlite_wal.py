"""Cutting the log's WAL, where what was erased in the file can still be read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

from heartbeat.engine.faults import point
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_schema import BUSY_S

_TRY_MS: Final = 100
"""How long one try waits for readers. The writer stands still meanwhile, and all agents with it; with SQLite's usual
seconds they would stand for minutes beside a long reader."""
TRIES: Final = 20
PAUSE_S: Final = 0.4
"""Between two tries. Together ten seconds, of which units are kept waiting for a fifth, never for long: pages and
exports read for some milliseconds, so a reader that is in the way for longer (a backup) is worth a word to a person."""


async def cut_wal(log: SqliteLog) -> bool:
    """Cut the WAL; False if a reader was in the way all the time.

    Raises:
        LogUnavailable: the file cannot be written.
    """

    async def one_try() -> bool:
        return not await log.submit(cut, alone=True)

    return await until_cut(one_try)


async def until_cut(one_try: Callable[[], Awaitable[bool]]) -> bool:
    """Try for some seconds to cut a WAL; whether it was."""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE_S)
        if await one_try():
            return True
    return False


def cut(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], bool]:
    """Copy the WAL into the file and cut it; whether a reader was in the way."""
    point("retention.checkpoint")
    con.execute(f"PRAGMA busy_timeout = {_TRY_MS}")
    try:
        busy = bool(con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    finally:
        con.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")
    return lambda _: busy
