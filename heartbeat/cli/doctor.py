"""`heartbeat doctor`: what is wrong and how to mend it; with --salvage, what can be kept of a damaged log."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import click

from heartbeat import settings as _settings
from heartbeat import sqlite_files
from heartbeat.cli.common import EXIT_FAILED, Failure, counted, data_dir_option, printable, writing_out
from heartbeat.cli.models_list import uses
from heartbeat.cli.printing import print_json
from heartbeat.corrections import file as corrections_file
from heartbeat.doctor import files, machine, setup
from heartbeat.doctor.findings import Finding, Level
from heartbeat.engine import sqlite_schema
from heartbeat.engine.ownership import owner
from heartbeat.engine.salvage import salvage
from heartbeat.engine.salvage_report import Report, as_object, missing
from heartbeat.errors import ConfigError, HeartbeatError
from heartbeat.models.catalogue import Catalogue
from heartbeat.settings import PREFIX, Settings
from heartbeat.sinks import history_file
from heartbeat.tasks import loading

_MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.WRONG: "wrong  "}
_SHOWN = 50


@click.command(short_help="What is wrong, and how to mend it.")
@data_dir_option
@click.option(
    "--salvage",
    "target",
    type=click.Path(path_type=Path),
    metavar="NEW_DIRECTORY",
    help="Recover what can be read of a damaged log into a new data directory.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(data_dir: Path | None, target: Path | None, as_json: bool) -> None:
    """Look at Python, packages, configuration, models, disk, log, history, rights, port, clock, limits and feeds.

    Changes nothing and does not disturb a running worker. Exits with 1 if something is wrong; warnings alone are 0.

    With --salvage, whatever can be read of a damaged log goes into a new data directory, on which a worker starts; it
    is said what is missing. The damaged one stays as it is. Exits with 1 if nothing could be read.
    """
    if data_dir is not None:
        os.environ[f"{PREFIX}DATA_DIR"] = str(data_dir.absolute())
    found = _settings.examine()
    settings, problems = (found, []) if isinstance(found, Settings) else (None, found)
    place = settings.data_dir if settings else Path(os.environ.get(f"{PREFIX}DATA_DIR") or "data").absolute()
    if target is not None:
        _salvage(place, target.absolute(), as_json=as_json)
        return
    findings: list[Finding] = []
    with writing_out():
        for finding in _examine(settings, problems, place):
            findings.append(finding)
            if not as_json:
                _print(finding)
        if as_json:
            print_json([finding._asdict() for finding in findings])
    counts = Counter(finding.level for finding in findings)
    if not as_json:
        click.echo(f"{counts[Level.WRONG]} wrong, {counts[Level.WARNING]} to be looked at", err=True)
    if counts[Level.WRONG]:
        raise click.exceptions.Exit(EXIT_FAILED)


def _examine(settings: Settings | None, problems: Sequence[ConfigError], data_dir: Path) -> Iterator[Finding]:
    yield from machine.python()
    yield from machine.packages()
    yield from machine.limits()
    yield from machine.clocks(data_dir)
    tasks, more = loading.examine(settings.config_dir) if settings else ((), [])
    yield from setup.configuration([*problems, *more], str(settings.config_dir) if settings else "")
    if settings is not None:
        used, missing_ = uses(settings, Catalogue(settings.models_dir))
        yield from (Finding("models", Level.WRONG, said, "name one of the models that are there") for said in missing_)
        yield from setup.models(settings, list(used))
        mend = "a worker does not start so; see docs/influxdb.md"
        yield from (Finding("influx", Level.WRONG, said, mend) for said in setup.half_of_influx(settings))
        yield from (Finding("influx", Level.WARNING, said, "see docs/influxdb.md") for _, said in setup.idle(settings))
    yield from machine.disk(data_dir)
    yield from files.rights(data_dir)
    yield from files.running(data_dir)
    worker = owner(data_dir) is not None
    if not data_dir.is_dir() or sqlite_files.why_unreadable(data_dir) is None:
        yield from files.log(data_dir / sqlite_schema.FILE_NAME, beside_worker=worker)
        yield from files.history(data_dir / history_file.NAME, beside_worker=worker)
        yield from files.corrections(data_dir / corrections_file.NAME)
    if settings is not None:
        yield from setup.port(settings.web_host, settings.web_port, worker=worker)
        yield from setup.addresses(settings, tasks)


def _print(finding: Finding) -> None:
    mark = click.style(_MARKS[finding.level], fg={Level.WRONG: "red", Level.WARNING: "yellow"}.get(finding.level))
    click.echo(f"{mark}  {finding.check:<12} {printable(finding.says)}")
    if finding.remedy:
        click.echo(f"{'':<23}{printable(finding.remedy)}")


def _salvage(data_dir: Path, target: Path, *, as_json: bool) -> None:
    """Make a new data directory of what is left of this one."""
    damaged = data_dir / sqlite_schema.FILE_NAME
    if not damaged.exists():
        raise Failure(f"there is no log {damaged}; name its data directory with --data-dir")
    if owner(data_dir) is not None:
        raise Failure(f"process {owner(data_dir)} works on {data_dir}; stop it first")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Failure(f"{target} is there already; name a new directory")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        report = salvage(damaged, target / sqlite_schema.FILE_NAME)
        kept = _copy_history(data_dir / history_file.NAME, target / history_file.NAME)
        _copy_corrections(data_dir / corrections_file.NAME, target / corrections_file.NAME)
    except (HeartbeatError, OSError) as error:
        with suppress(OSError):
            target.rmdir()
        raise Failure(str(error)) from error
    with writing_out():
        if as_json:
            print_json({**as_object(report), "history": kept, "directory": str(target)})
        else:
            _tell(report, target, kept)


def _tell(report: Report, target: Path, history: bool) -> None:
    click.echo(f"salvaged into {target}:")
    for topic, count in report.messages.items():
        click.echo(f"  {topic}: {counted(count, 'message', 'messages')}")
    for store, count in report.rows.items():
        click.echo(f"  state store {store}: {counted(count, 'row', 'rows')}")
    click.echo(f"  history: {'all of it' if history else 'none; it is made again of what the topics still hold'}")
    lost = list(missing(report))
    click.echo("missing:" if lost else "nothing is missing")
    for line in lost[:_SHOWN]:
        click.echo(f"  {line}")
    if len(lost) > _SHOWN:
        click.echo(f"  … and {len(lost) - _SHOWN:,} more; see --json")
    click.echo(f"start on it with: heartbeat worker --data-dir {target}", err=True)


def _copy_history(source: Path, target: Path) -> bool:
    """Take the history along, if it is whole."""
    if not source.exists() or any(
        finding.level is Level.WRONG for finding in files.history(source, beside_worker=False)
    ):
        return False
    with closing(history_file.open_for_reading(source, of_any_version=True)) as con:
        sqlite_files.copy(con, target)
    return True


def _copy_corrections(source: Path, target: Path) -> None:
    """The same with people's corrections."""
    if all(finding.level is Level.OK for finding in files.corrections(source)):
        con = corrections_file.open_for_reading(source)
        if con is not None:
            with closing(con):
                sqlite_files.copy(con, target)
