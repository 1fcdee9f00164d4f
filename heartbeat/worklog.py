"""What a worker logs: a line for a change of state, not for every part that starts; and nothing that a post says.

A message of an exception that is not ours may quote whatever was being worked on: a `KeyError` its key, a `ValueError`
its value. So of those only the kind and the places are logged, whoever logs them. asyncio quotes callbacks with their
arguments; of its messages only the words before that are kept.
"""

from __future__ import annotations

import copy
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from mode.utils.logging import DEFAULT_COLORS, ExtensionFormatter

from heartbeat.errors import HeartbeatError

_CHATTY: Final = (
    "faust",
    "mode",
    "aiohttp",
    "asyncio",
    "heartbeat.engine.faust",
    "heartbeat.engine.faust_lists",
    "heartbeat.engine.faust_services",
    "heartbeat.engine.faust_web",
    "heartbeat.engine.faust_worker",
    "heartbeat.engine.transport",
    "heartbeat.engine.transport_consumer",
    "heartbeat.engine.transport_producer",
)
_LINE: Final = "[%(asctime)s] [%(process)s] [%(levelname)s] %(log_color)s%(message)s"
_BEFORE_QUOTES: Final = re.compile(r"[^<(\[{'\"\n]*")


def quiet(level: str, form: str = "text") -> dict[str, Any]:
    """Faust's `logging_config`: its own lines from warnings on, unless everything is asked for.

    Args:
        level: the setting `log_level`.
        form: the setting `log_format`: `text` or `json`.
    """
    made = {"()": f"{__name__}.TextFormatter", "format": _LINE, "log_colors": DEFAULT_COLORS}
    formatters: dict[str, Any] = {"default": {**made, "no_color": True}, "colored": made}  # Faust's names
    if form == "json":
        formatters = dict.fromkeys(formatters, {"()": f"{__name__}.JsonFormatter"})
    config: dict[str, Any] = {"merge": True, "version": 1, "formatters": formatters}
    if level != "debug":
        config["loggers"] = {name: {"level": "WARNING"} for name in _CHATTY}
    return config


def discreet() -> None:
    """For a command that runs agents without a worker: what it is warned of is printed with no value either."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(TextFormatter(fmt="%(message)s", no_color=True))


class TextFormatter(ExtensionFormatter):  # type: ignore[misc]
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; below it the places of an exception."""
        return str(super().format(without_values(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The places and kinds of an exception and of what led to it."""
        return "\n".join(_told(ei[1]))


class JsonFormatter(logging.Formatter):
    """A JSON object: `at`, `level`, `logger`, `message`, and of an exception `error` and `trace`, a list of lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        clean = without_values(record)
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean.getMessage(),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            said |= {"error": named(error), "trace": [line.strip() for line in _told(error)]}
        return orjson.dumps(said).decode()


def named(error: BaseException) -> str:
    """What an exception may be called: ours speak for themselves, of others only the kind is told."""
    if isinstance(error, HeartbeatError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def without_values(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that quotes nothing but words of ours."""
    clean = copy.copy(record)
    clean.exc_text = None  # another handler may have put the whole of it there
    if isinstance(record.args, tuple):
        clean.args = tuple(_Named(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
    if record.name == "asyncio" and record.levelno >= logging.WARNING:
        begin = _BEFORE_QUOTES.match(record.getMessage())
        clean.msg, clean.args = (begin[0] if begin else "").strip(), ()
    return clean


class _Named:
    def __init__(self, error: BaseException) -> None:
        self._name = named(error)

    def __str__(self) -> str:
        return self._name

    __repr__ = __str__


def _told(error: BaseException | None) -> list[str]:
    """Where an exception was raised, and before it those that led to it; source lines, but no values."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        places = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__))
        lines = [line.rstrip() for line in places.format()] + [named(error), *(["led to:"] if lines else []), *lines]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines
