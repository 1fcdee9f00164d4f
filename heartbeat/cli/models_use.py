"""`heartbeat models use`: writes a choice of model into config/heartbeat.yaml and has a running worker follow it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from heartbeat import control
from heartbeat import settings as _settings
from heartbeat.cli.common import Failure, Misuse, with_settings
from heartbeat.cli.config_edit import NAME, Edit, change
from heartbeat.errors import HeartbeatError, ModelError
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.choices import NONE
from heartbeat.settings import Settings
from heartbeat.tasks import LANGUAGES
from heartbeat.tasks.hints import language_of
from heartbeat.tasks.task import NAME as TASK_NAME

_LANG: Final = re.compile("[a-z]{2,3}")


@click.command(short_help="Choose a model, also while a worker runs.")
@click.argument("model", metavar="NAME[/VERSION]")
@click.option("--for-task", "task", help="For this task's posts only.")
@click.option("--for-lang", "lang", help="For posts in this language only (ISO 639-1).")
@with_settings
def use(settings: Settings, *, model: str, task: str | None, lang: str | None) -> None:
    """Choose a model: write it into config/heartbeat.yaml, and have a running worker use it at once.

    A language model finds the language of every post; a sentiment model scores all posts, or those of a task or a
    language; `none` leaves them unscored. A worker tries the model first. If it refuses, the file is put back as it
    was, and the command exits with 1. Where no worker runs, the model is loaded here, so that one starts with it.
    """
    keys = _keys(settings, model, task, lang)
    path = settings.config_dir / NAME
    variable = _overruling(keys[0])
    if variable is not None:
        raise Failure(
            f"{variable} is set and overrules {path}; unset it, or set it to what you want. Nothing was changed"
        )

    connection = control.connect(settings.data_dir)
    if connection is None and model != NONE:
        _load(settings, model)
    edit = change(path, keys, model, _settings.load)
    dotted = ".".join(keys)
    click.echo(f"{edit.path}: {dotted}: {model}" + ("" if edit.changed else " (as it was)"))
    if connection is None:
        click.echo(f"no worker runs on {settings.data_dir}; the next one that starts uses it")
        return
    try:
        (answer,) = control.call(connection, "models use")
    except HeartbeatError as error:
        raise Failure(f"{error}. {edit.path} says {dotted}: {model}; a worker that starts now uses it") from error
    _report(answer, settings, edit, keys, model)


def _load(settings: Settings, model: str) -> None:
    """Load a model and let it go again: a worker that could not load it would not start.

    Raises:
        Failure: it cannot be loaded.
    """
    from heartbeat.cli.judging import load

    async def briefly() -> None:
        await load(Catalogue(settings.models_dir).find(model), settings).close()

    try:
        asyncio.run(briefly())
    except ModelError as error:
        raise Failure(f"{error}. Nothing was changed") from error


def _keys(settings: Settings, model: str, task: str | None, lang: str | None) -> tuple[str, ...]:
    """Where the choice is written, if it makes sense."""
    if task is not None and lang is not None:
        raise Misuse("give --for-task or --for-lang, not both: a task's model goes before a language's")
    if task is not None and not TASK_NAME.fullmatch(task):
        raise Misuse(f"--for-task {task!r}: a task's name has 1 to 64 letters, digits, `-` and `_`")
    if lang is not None and not _LANG.fullmatch(lang):
        raise Misuse(f"--for-lang {lang!r}: is no language's code; give one such as en, de or tr")
    if lang is not None and lang not in LANGUAGES:
        meant = language_of(lang)
        mend = f"that language is {meant} here" if meant else f"it can be {', '.join(sorted(LANGUAGES))}"
        raise Misuse(f"--for-lang {lang!r}: no post is found to be in it; {mend}")
    if model != NONE:
        entry = Catalogue(settings.models_dir).find(model)
        entry.verify()
        if entry.card.kind == "language":
            if task is not None or lang is not None:
                raise Misuse(
                    f"{entry.reference} finds languages, and does so for all posts: leave out --for-task and --for-lang"
                )
            return ("language_model",)
        if lang is not None and lang not in entry.card.languages:
            raise Failure(
                f"model {entry.reference} does not know the language {lang}; "
                f"it knows {', '.join(entry.card.languages)}. Nothing was changed"
            )
    if task is not None:
        return "sentiment_by_task", task
    return ("sentiment_model",) if lang is None else ("sentiment_by_lang", lang)


def _overruling(setting: str) -> str | None:
    """The variable of the environment that the settings take instead of the file's value."""
    wanted = f"{_settings.PREFIX}{setting}".upper()
    return next((name for name, value in os.environ.items() if name.upper() == wanted and value), None)


def _report(answer: Mapping[str, Any], settings: Settings, edit: Edit, keys: tuple[str, ...], model: str) -> None:
    if Path(answer["file"]).resolve() != edit.path:
        raise Failure(
            f"the worker on {settings.data_dir} follows {answer['file']}, not {edit.path}; start it with the same "
            "HEARTBEAT_CONFIG_DIR, or run this command with the worker's"
        )
    if answer["refused"]:
        put_back = f"{edit.path} is as it was before" if edit.take_back() else f"{edit.path} still says so"
        raise Failure(f"the worker goes on with the models that it had: {answer['refused']}. {put_back}")
    followed = answer["settings"][keys[0]]
    if (followed if len(keys) == 1 else followed.get(keys[1])) != model:
        variable = f"{_settings.PREFIX}{keys[0]}".upper()
        raise Failure(
            f"the worker was started with {variable}, which overrules {edit.path}: it goes on with {followed}; "
            "restart it without"
        )
    how = "uses it from now on" if answer["changed"] else "uses it already"
    click.echo(f"the worker {how}; loaded are {', '.join(answer['models'])}")
