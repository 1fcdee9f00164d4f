"""What a worker logs: a line for a change of state, not for every part that starts."""

from __future__ import annotations

from typing import Any, Final

_CHATTY: Final = ("faust", "mode", "aiohttp", "asyncio", "heartbeat.engine.faust", "heartbeat.engine.transport")


def quiet(level: str) -> dict[str, Any]:
    """Faust's `logging_config`: its own lines from warnings on, unless everything is asked for."""
    if level == "debug":
        return {"merge": True, "version": 1}
    return {"merge": True, "version": 1, "loggers": {name: {"level": "WARNING"} for name in _CHATTY}}
