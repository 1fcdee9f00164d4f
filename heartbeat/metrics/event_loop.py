"""How late the event loop is: what everything else in the process has to wait beside its own work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 0.25


async def watch_delay(told: Callable[[float], None], every_s: float = EVERY_S) -> None:
    """Sleep again and again, until cancelled, and tell by how much each sleep was too long, in seconds."""
    now = asyncio.get_running_loop().time
    while True:
        due = now() + every_s
        await asyncio.sleep(every_s)
        told(max(now() - due, 0.0))
