"""The services of an app (feeds and the like): started in order, stopped in the opposite one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import faust
from mode import Service

logger = logging.getLogger(__name__)

SERVICES_STOP_S: Final = 1.0
"""How long services together may take to stop before the pipelines are stopped regardless."""


class Services:
    """What runs beside the agents of an app, between its recovery and its stop."""

    def __init__(self) -> None:
        self._declared: list[Service | Callable[[], Service]] = []
        self._running: list[Service] = []

    def add(self, service: Service | Callable[[], Service]) -> None:
        """Add a service, or what makes one, behind the others."""
        self._declared.append(service)

    async def start(self, app: faust.App) -> None:
        """Start them; none of them once the app is to stop."""
        for made in self._declared:
            if app.should_stop:
                break
            service = made if isinstance(made, Service) else made()
            self._running.append(service)
            await app.add_runtime_dependency(service)

    async def stop(self) -> None:
        """Stop them, the last one first; those that take long go on stopping meanwhile."""
        stopping = asyncio.ensure_future(self._stop_all())
        _, late = await asyncio.wait([stopping], timeout=SERVICES_STOP_S)
        if late:
            logger.warning("services take long to stop; the agents are stopped meanwhile")

    async def _stop_all(self) -> None:
        for service in reversed(self._running):
            try:
                await service.stop()
            except Exception:
                logger.exception("%s did not stop as it should", service.label)
