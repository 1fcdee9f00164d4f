"""Has the owner of the log do something: the worker that runs, or else this process, which then owns it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from heartbeat import control
from heartbeat.cli.common import require_data_dir
from heartbeat.clock import SystemClock
from heartbeat.engine import sqlite_schema
from heartbeat.engine.ownership import own
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import BadLogUrl
from heartbeat.log_calls import LOG_CALLS
from heartbeat.settings import Settings


def ask_owner(settings: Settings, call: str, **arguments: Any) -> list[Mapping[str, Any]]:
    """Make one of the `log_calls`.

    Raises:
        HeartbeatError: the worker or the log says no.
    """
    require_data_dir(settings)
    connection = control.connect(settings.data_dir)
    if connection is not None:
        return list(control.call(connection, call, **arguments))

    async def alone() -> list[Mapping[str, Any]]:
        path, clock = sqlite_schema.place(settings.broker, settings.data_dir), SystemClock()
        with own(settings.data_dir):
            if not path.exists():
                raise BadLogUrl(f"{path}: there is no log here yet; a worker makes it, or name another directory")
            log = SqliteLog.open(path, clock=clock, durable=settings.durable)
            try:
                return [part async for part in LOG_CALLS[call](log, clock, arguments)]
            finally:
                log.close()

    return asyncio.run(alone())


@contextmanager
def reading(settings: Settings) -> Iterator[SqliteLog]:
    """The log, to be read beside a worker or without one.

    Raises:
        Failure: there is no data directory.
        LogError: the log is not there, or cannot be read.
    """
    require_data_dir(settings)
    path = sqlite_schema.place(settings.broker, settings.data_dir)
    log = SqliteLog.open(path, clock=SystemClock(), read_only=True)
    try:
        yield log
    finally:
        log.close()
