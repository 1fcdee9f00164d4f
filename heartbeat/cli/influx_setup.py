"""`heartbeat influx setup` and `heartbeat influx check`."""

from __future__ import annotations

import click

from heartbeat.cli.common import Failure, printable, with_settings
from heartbeat.cli.influx_common import Duration, lasting, place_of
from heartbeat.cli.printing import print_json
from heartbeat.clock import SystemClock
from heartbeat.errors import InfluxError
from heartbeat.settings import Settings
from heartbeat.sinks.influx_admin import MOST_SKEW_S, Bucket, InfluxAdmin, Server


@click.command(short_help="Make the bucket, unless it is there.")
@click.option(
    "--retention", "retention_s", type=Duration(), default="400d", show_default=True, help="How long points are kept."
)
@with_settings
def setup(settings: Settings, *, retention_s: int) -> None:
    """Make the bucket that the settings name, unless it is there; then check as `heartbeat influx check` does.

    The token has to be one that may make buckets (an operator's or an all-access token). For the worker, a token that
    may write to this bucket alone is enough.
    """
    with InfluxAdmin(place_of(settings), SystemClock()) as admin:
        _say_server(admin)
        bucket = admin.bucket()
        if bucket is None:
            bucket = admin.make_bucket(retention_s)
            click.echo(f"bucket {printable(bucket.name)}: made; keeps points {lasting(bucket.retention_s)}")
        else:
            _say_bucket(bucket)
            if bucket.retention_s != retention_s and not _is_default("retention_s"):
                raise Failure(
                    f"the bucket is left as it is: change it with `influx bucket update --id {bucket.id} --retention …`"
                )
        _say_rights(admin)


@click.command(short_help="See whether InfluxDB can be written to, and what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def check(settings: Settings, *, as_json: bool) -> None:
    """See whether InfluxDB answers, its clock agrees, the bucket is there and the token may write to it.

    Writes nothing. Exits with 1 if the worker could not write; what is wrong is on standard error.
    """
    with InfluxAdmin(place_of(settings), SystemClock()) as admin:
        server = admin.server() if as_json else _say_server(admin)
        try:
            bucket = admin.bucket()
        except InfluxError:  # a token for writing alone may not look; whether it may write is what counts
            bucket = None
        if as_json:
            admin.try_to_write()
            print_json(
                {
                    "url": admin.place.url,
                    "version": server.version,
                    "ahead_s": server.ahead_s,
                    "bucket": admin.place.bucket,
                    "retention_s": None if bucket is None else bucket.retention_s,
                    "may_write": True,
                }
            )
            return
        if bucket is not None:
            _say_bucket(bucket)
            if bucket.retention_s and bucket.retention_s < settings.history_days * 86_400:
                click.echo(f"note: the history is kept for {settings.history_days} days, longer than the bucket keeps")
        _say_rights(admin)


def _say_server(admin: InfluxAdmin) -> Server:
    server = admin.server()
    click.echo(f"{admin.place.url}: answers{f', version {printable(server.version)}' if server.version else ''}")
    if server.ahead_s is not None and abs(server.ahead_s) > MOST_SKEW_S:
        way = "ahead of" if server.ahead_s > 0 else "behind"
        click.echo(
            f"note: its clock is {abs(server.ahead_s):,.0f} s {way} ours; it removes points by its own. Set both by NTP"
        )
    return server


def _say_bucket(bucket: Bucket) -> None:
    click.echo(f"bucket {printable(bucket.name)}: is there; keeps points {lasting(bucket.retention_s)}")


def _say_rights(admin: InfluxAdmin) -> None:
    admin.try_to_write()
    click.echo("token: may write to the bucket")


def _is_default(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.DEFAULT
