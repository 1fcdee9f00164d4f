"""What the commands of `heartbeat influx` share."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from heartbeat.cli.common import Misuse
from heartbeat.errors import InfluxError
from heartbeat.settings import Settings
from heartbeat.sinks.influx_client import InfluxPlace

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Duration(click.ParamType):
    """A duration such as `400d` or `36h`, or `0` for ever. Becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises click's usage error if it is none."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})([smhdw])", value)
        if value == "0":
            return 0
        if found is None:
            self.fail(f"{value!r} is no duration: give 400d, 36h or 90m, or 0 for ever", param, ctx)
        seconds = int(found[1]) * _UNITS[found[2]]
        if 0 < seconds < 3_600:
            self.fail("InfluxDB keeps points for an hour at least", param, ctx)
        return seconds


def place_of(settings: Settings, bucket: str | None = None) -> InfluxPlace:
    """Where the settings say that InfluxDB is.

    Raises:
        Misuse: they do not say it, or not all of it.
    """
    try:
        place = InfluxPlace.of(settings)
    except InfluxError as error:
        raise Misuse(str(error)) from error
    if place is None:
        raise Misuse(
            "no InfluxDB is configured: set HEARTBEAT_INFLUX_URL, HEARTBEAT_INFLUX_ORG, HEARTBEAT_INFLUX_BUCKET and "
            "HEARTBEAT_INFLUX_TOKEN"
        )
    return InfluxPlace(place.url, place.org, bucket, place.token) if bucket else place


def lasting(seconds: int) -> str:
    """A retention in words."""
    if not seconds:
        return "for ever"
    for unit, name in ((86_400, "day"), (3_600, "hour"), (1, "second")):
        if seconds % unit == 0:
            count = seconds // unit
            return f"for {count:,} {name}{'' if count == 1 else 's'}"
    raise AssertionError
