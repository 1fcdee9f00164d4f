"""`heartbeat backup`: log and history in one file."""

from __future__ import annotations

from pathlib import Path

import click

from heartbeat import backup as _backup
from heartbeat.cli.common import require_data_dir, with_settings
from heartbeat.cli.printing import print_json, size
from heartbeat.clock import SystemClock
from heartbeat.settings import Settings


@click.command(short_help="Write log and history into one file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@with_settings
def backup(settings: Settings, *, file: Path, force: bool, as_json: bool) -> None:
    """Write a backup of the data directory into FILE (.tar.gz), also while a worker runs.

    It holds log and history as of moments that fit each other, and their checksums; FILE appears when it is whole. It
    holds posts' texts as long as they are kept, so it can be read by its owner alone, and is yours to delete in time.
    """
    require_data_dir(settings)
    manifest = _backup.make(settings.data_dir, file.absolute(), now_ms=SystemClock().now_ms(), replace=force)
    if as_json:
        print_json(manifest)
    total = sum(said["bytes"] for said in manifest["files"].values())
    click.echo(f"{', '.join(manifest['files'])} ({size(total)}) in {file} ({size(file.stat().st_size)})", err=True)
