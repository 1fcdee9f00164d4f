"""`heartbeat config check|show`: what is wrong with the configuration, and where each value comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from pydantic import SecretStr

from heartbeat import configfile
from heartbeat import settings as _settings
from heartbeat.cli.common import EXIT_FAILED, counted, printable, with_settings, writing_out
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.models_list import uses
from heartbeat.cli.printing import print_json, print_table
from heartbeat.configfile import ConfigFile
from heartbeat.doctor import setup
from heartbeat.errors import ConfigError
from heartbeat.models.catalogue import Catalogue
from heartbeat.settings import PREFIX, Settings
from heartbeat.tasks import Task, loading

HIDDEN: Final = "****"
_LONGEST: Final = 60


class Value(NamedTuple):
    """A setting as `config show` shows it."""

    setting: str
    value: Any
    source: str


@click.group(cls=HelpfulGroup, short_help="Check the configuration, and show where each value comes from.")
def config() -> None:
    """Check config/heartbeat.yaml, config/tasks.yaml and the environment, and show what they come to."""


@config.command(short_help="Everything that is wrong, with its place.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def check(*, as_json: bool) -> None:
    """Say everything that is wrong with settings, tasks and chosen models: file, line, key and problem.

    Nothing is started or changed. Exits with 1 if anything is wrong; warnings alone are 0.
    """
    found = _settings.examine()
    warnings: list[ConfigError] = []
    tasks: tuple[Task, ...] = ()
    problems: list[ConfigError] = []
    if isinstance(found, Settings):
        tasks, problems = loading.examine(found.config_dir)
        problems += [*_models(found), *_influx(found)]
        names = [task.name for task in tasks]
        warnings = [_at(found, *said) for said in (*setup.idle(found), *setup.unused_choices(found, names))]
    else:
        folder = os.environ.get(f"{PREFIX}CONFIG_DIR")
        problems = [
            *found,
            *loading.examine(Path(folder) if folder else Settings.model_fields["config_dir"].default)[1],
        ]
    with writing_out():
        if as_json:
            print_json(
                [*(_object(each, "wrong") for each in problems), *(_object(each, "warning") for each in warnings)]
            )
        else:
            for problem in problems:
                click.echo(printable(str(problem)))
            for warning in warnings:
                click.echo(f"warning: {printable(str(warning))}")
    if problems:
        click.echo(counted(len(problems), "problem", "problems"), err=True)
        raise click.exceptions.Exit(EXIT_FAILED)
    if not as_json and isinstance(found, Settings):
        click.echo(f"{found.config_dir} is right: {counted(len(tasks), 'task', 'tasks')}", err=True)


@config.command(short_help="Each value, and where it comes from.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--changed", is_flag=True, help="Only what is not the default.")
@with_settings
def show(settings: Settings, *, as_json: bool, changed: bool) -> None:
    """Show each setting, its value, and where that comes from: the default, a line of heartbeat.yaml, or a variable.

    The environment overrules the file. Secrets are never shown, only whether they are set.
    """
    path = settings.config_dir / "heartbeat.yaml"
    file = configfile.read(path) if path.exists() else None
    values = [value for value in _values(settings, file) if not changed or value.source != "default"]
    with writing_out():
        if as_json:
            print_json({value.setting: {"value": value.value, "source": value.source} for value in values})
        else:
            print_table(
                ("SETTING", "VALUE", "FROM"), [(value.setting, _cell(value.value), value.source) for value in values]
            )


def _values(settings: Settings, file: ConfigFile | None) -> Iterator[Value]:
    dumped = settings.model_dump(mode="json")
    written = file.values if file is not None and isinstance(file.values, dict) else {}
    variables = {name.upper(): name for name, value in os.environ.items() if value}
    option = click.get_current_context().params.get("data_dir")
    for name in Settings.model_fields:
        source = "default"
        if file is not None and name in written and name != "config_dir":
            source = f"{file.path}:{file.lines[name]}"
        if variable := variables.get(f"{PREFIX}{name}".upper()):
            source = "--data-dir" if name == "data_dir" and option is not None else f"environment {variable}"
        value = getattr(settings, name)
        yield Value(name, _hidden(value) if isinstance(value, SecretStr) else dumped[name], source)


def _hidden(value: SecretStr) -> str:
    return HIDDEN if value.get_secret_value() else ""


def _models(settings: Settings) -> list[ConfigError]:
    """Models that are named and not there, or not of the kind that is needed."""
    _, missing = uses(settings, Catalogue(settings.models_dir))
    problems = []
    for said in missing:
        key, _, problem = said.partition(": ")
        problems.append(_at(settings, key, problem))
    return problems


def _influx(settings: Settings) -> list[ConfigError]:
    """An InfluxDB of which only part is named: a worker does not start with it."""
    return [_at(settings, "influx_url", said) for said in setup.half_of_influx(settings)]


def _at(settings: Settings, key: str, problem: str) -> ConfigError:
    """An error at the place that a setting's value comes from."""
    variable = f"{PREFIX}{key.partition('.')[0]}".upper()
    path = settings.config_dir / "heartbeat.yaml"
    if variable in os.environ or not path.exists():
        return ConfigError(problem, key=variable)
    return configfile.read(path).error(key, problem)


def _object(problem: ConfigError, level: str) -> Mapping[str, Any]:
    return {
        "level": level,
        "file": None if problem.file is None else str(problem.file),
        "line": problem.line,
        "key": problem.key,
        "problem": problem.problem,
    }


def _cell(value: Any) -> str:
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    elif isinstance(value, dict):
        text = ", ".join(f"{key}: {each}" for key, each in value.items())
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
