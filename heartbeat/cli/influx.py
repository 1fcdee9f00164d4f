"""`heartbeat influx …`: prepare InfluxDB, see whether it can be written to, write the history into it again."""

from __future__ import annotations

import click

from heartbeat.cli.lazy import LazyGroup, Place

_PLACES = {
    "setup": Place("heartbeat.cli.influx_setup:setup", "Make the bucket, unless it is there."),
    "check": Place("heartbeat.cli.influx_setup:check", "See whether InfluxDB can be written to, and what is wrong."),
    "replay": Place("heartbeat.cli.influx_replay:replay", "Write windows of the history again."),
}


@click.group(cls=LazyGroup, places=_PLACES, short_help="Prepare InfluxDB, check it, write the history again.")
def influx() -> None:
    """Prepare InfluxDB, check it, write the history into it again.

    Where it is: HEARTBEAT_INFLUX_URL, _ORG and _BUCKET, or heartbeat.yaml; HEARTBEAT_INFLUX_TOKEN comes from the
    environment alone. See docs/influxdb.md.
    """
