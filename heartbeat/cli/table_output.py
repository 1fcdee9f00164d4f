"""Where a command's table goes: standard output, or a file that is whole or not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from heartbeat.cli.common import Failure, writing_out
from heartbeat.sinks.table_writers import Column, Format, write_csv, write_jsonl, write_parquet


def write_table(
    format_: Format, output: Path | None, columns: Sequence[Column], rows: Iterator[Sequence[Any]], spreadsheet: bool
) -> None:
    """Write rows to standard output, or into a file that is replaced once they are all there.

    Raises:
        Failure: that cannot be written.
    """

    def write(out: BinaryIO) -> int:
        if format_ == "csv":
            return write_csv(out, columns, rows, spreadsheet=spreadsheet)
        return (write_jsonl if format_ == "jsonl" else write_parquet)(out, columns, rows)

    if output is None:
        with writing_out():
            out = click.get_binary_stream("stdout")
            write(out)
            out.flush()
        return
    try:
        with _replacing(output) as out:
            count = write(out)
    except OSError as error:
        raise Failure(f"cannot write {output}: {error.strerror or error}") from error
    click.echo(f"{count} rows in {output}", err=True)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole; a pipe or device is written to as it is."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as out:
            yield out
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            yield out
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
