"""Faust's worker as Heartbeat runs it: the process that a HeartbeatApp lives in, from signals to exit status."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from faust.worker import Worker as FaustWorker

from heartbeat.errors import HeartbeatError

if TYPE_CHECKING:
    from heartbeat.engine.faust import HeartbeatApp

stopped = logging.getLogger("heartbeat.worker")
"""Says that a worker has stopped; this module's own lines are of use only to whoever looks for a fault."""


def _not_ours(record: logging.LogRecord) -> bool:
    """Keep tracebacks of our own errors out of the log: their message says it all, and is shown by itself."""
    return not (record.exc_info and isinstance(record.exc_info[1], HeartbeatError))


class Worker(FaustWorker):
    """Faust's worker, which shows our own errors as they are and ends without a second's sleep."""

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped; the exit status is 0 only if nothing went wrong."""
        self.log.logger.addFilter(_not_ours)
        try:
            super().execute_from_commandline()
        except SystemExit as end:
            fatal = self.app.fatal or self.crash_reason
            if isinstance(fatal, HeartbeatError):
                self.quiet = False  # it may have kept the banner back; this has to be said
                self.carp(f"heartbeat: {fatal}")
            elif not end.code:
                stopped.info("stopped")
            raise
        raise SystemExit(0)

    async def start(self) -> None:
        """Start everything, and remember what was in the way."""
        try:
            await super().start()
        except Exception as error:
            self.app.fatal = self.app.fatal or error
            raise

    def install_signal_handlers(self) -> None:
        """Take up signals. If one came while modules were imported (see `heartbeat.cli.main`), nothing is begun."""
        if signal.sigpending() & {signal.SIGINT, signal.SIGTERM}:
            raise asyncio.CancelledError
        super().install_signal_handlers()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))

    def _on_sigint(self) -> None:
        """Stop as for SIGTERM, without the noise."""
        self._on_sigterm()

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)


def run_worker(app: HeartbeatApp, *, log_level: str = "info", **options: Any) -> NoReturn:
    """Run an app as `faust worker` does, and exit: with 0 after SIGTERM or Ctrl-C, else not."""
    Worker(app, loglevel=log_level, **options).execute_from_commandline()
