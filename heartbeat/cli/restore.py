"""`heartbeat restore`: a data directory from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from heartbeat import backup as _backup
from heartbeat.cli.common import with_settings
from heartbeat.settings import Settings


@click.command(short_help="Make a data directory of a backup.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_settings
def restore(settings: Settings, *, file: Path) -> None:
    """Make the data directory anew from the backup FILE.

    The directory has to be empty or not there, and no worker may run on it. Every checksum is looked at first; the
    directory appears when it is whole.
    """
    manifest = _backup.restore(file, settings.data_dir)
    click.echo(f"{settings.data_dir} is as it was at {manifest['time']}", err=True)
