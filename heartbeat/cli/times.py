"""Times and lengths of time, as commands take them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from heartbeat.topics import DAY_MS, HOUR_MS

_UNITS: Final = {"m": 60_000, "h": HOUR_MS, "d": DAY_MS}


class Instant(click.ParamType):
    """A time: RFC 3339, a date (its beginning in UTC), or milliseconds since the epoch. Becomes milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises click's usage error if it is none of these."""
        if isinstance(value, int):
            return value
        if value.lstrip("-").isascii() and value.lstrip("-").isdigit():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time: give 2025-11-22T10:00:00Z, 2025-11-22 or milliseconds since 1970", param, ctx
            )
        if moment.tzinfo is None:
            if "T" in value.upper() or " " in value:
                self.fail(f"{value!r} does not say its zone: add Z for UTC, or an offset such as +02:00", param, ctx)
            moment = moment.replace(tzinfo=UTC)
        delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


class Span(click.ParamType):
    """A length of time: `90m`, `12h`, `7d`. Becomes milliseconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises click's usage error if it is none."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,6})([mhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time: give 90m, 12h or 7d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]
