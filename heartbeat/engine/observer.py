"""Who is told how long units of work take. The engine knows nothing of what is made of it."""

from __future__ import annotations

from typing import Protocol

from heartbeat.engine.unit import Unit


class Observer(Protocol):
    """Told on the event loop, once for each unit, never for each message. May not raise, and has to be quick."""

    def handled(self, agent: str, seconds: float) -> None:
        """A handler has returned or raised."""
        ...

    def committed(self, unit: Unit, seconds: float) -> None:
        """A unit has become durable, so long after it was handed over."""
        ...


class Unobserved:
    """Makes nothing of it."""

    def handled(self, agent: str, seconds: float) -> None:
        """See `Observer`."""

    def committed(self, unit: Unit, seconds: float) -> None:
        """See `Observer`."""
