"""`heartbeat models list` and `show`: what the catalogue has, and what the settings use it for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from heartbeat.cli.common import EXIT_FAILED, printable, with_settings
from heartbeat.cli.printing import print_json, print_table, size
from heartbeat.errors import ModelError, ModelMissing
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.choices import NONE
from heartbeat.settings import Settings


@click.command("list", short_help="Every model and version, and what the settings use it for.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def list_(settings: Settings, *, as_json: bool) -> None:
    """List every model and version, and what the settings use it for.

    Exits with 1 if a model's card cannot be read, or the settings name a model that is not there, or of the wrong kind.
    """
    catalogue = Catalogue(settings.models_dir)
    used, missing = uses(settings, catalogue)
    found = [_summary(entry, used.get(entry.reference, [])) for entry in catalogue.list()]
    if as_json:
        print_json(found)
    elif found:
        head = ("MODEL", "KIND", "FAMILY", "LANGUAGES", "SIZE", "LICENCE", "USED FOR")
        print_table(head, [_row(model) for model in found], right=("LANGUAGES", "SIZE"))
    else:
        click.echo(f"there are no models in {settings.models_dir}; HEARTBEAT_MODELS_DIR names another folder", err=True)
    wrong = [model["problem"] for model in found if model["problem"]] + missing
    for problem in wrong:
        click.echo(f"Error: {problem}", err=True)
    if wrong:
        click.get_current_context().exit(EXIT_FAILED)


@click.command(short_help="What a model says of itself.")
@click.argument("model", metavar="NAME[/VERSION]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def show(settings: Settings, *, model: str, as_json: bool) -> None:
    """Show what a model says of itself: its card, its files' sizes and what the settings use it for."""
    catalogue = Catalogue(settings.models_dir)
    entry = catalogue.find(model)
    card, used = entry.card, uses(settings, catalogue)[0].get(entry.reference, [])
    if as_json:
        more = {"folder": str(entry.folder), "bytes": _bytes(entry), "used_for": used}
        print_json({**card.model_dump(mode="json"), "research_only": card.research_only, **more})
        return
    click.echo(f"{card.reference}: {printable(card.description) or 'no description'}\n")
    limits = f"{card.max_chars} characters" + (f", {card.max_tokens} tokens" if card.max_tokens else "")
    for name, value in (
        ("kind", f"{card.kind}, family {card.family}"),
        ("used for", ", ".join(used) or "nothing"),
        ("labels", ", ".join(card.labels)),
        ("languages", f"{len(card.languages)}: {', '.join(card.languages)}"),
        ("reads", f"at most {limits} of a text"),
        ("licence", printable(card.licence) or "not said"),
        ("commerce", "a source forbids it (marked * below)" if card.research_only else "no source forbids it"),
        ("size", size(_bytes(entry))),
        ("folder", entry.folder),
    ):
        click.echo(f"{name + ':':<11}{value}")
    if card.recall:
        click.echo("\nmacro recall by language, as far as it was measured:")
        click.echo("  " + ", ".join(f"{lang} {recall:.2f}" for lang, recall in sorted(card.recall.items())))
    if card.figures:
        click.echo("\nmeasured:")
        _figures(card.figures, "  ")
    click.echo("\nlearned from:")
    for source in card.training:
        texts = f", {source.texts:,} texts" if source.texts is not None else ""
        said = printable(f"{source.name}: {source.source} ({source.licence}{texts})")
        click.echo(f"  {'*' if source.research_only else ' '} {said}")
    if card.changes:
        click.echo("\nchanges:")
        for change in card.changes:
            click.echo(f"  {printable(change)}")


def uses(settings: Settings, catalogue: Catalogue) -> tuple[dict[str, list[str]], list[str]]:
    """What each model (NAME/VERSION) is used for, and what is wrong with settings that name none of the right kind."""
    named = [
        ("language", "language_model", settings.language_model),
        ("sentiment", "sentiment_model", settings.sentiment_model),
        ("fast sentiment", "sentiment_fast_model", settings.sentiment_fast_model),
        *((f"texts in {lang}", f"sentiment_by_lang.{lang}", name) for lang, name in settings.sentiment_by_lang.items()),
        *((f"task {task}", f"sentiment_by_task.{task}", name) for task, name in settings.sentiment_by_task.items()),
    ]
    used: dict[str, list[str]] = {}
    wrong: list[str] = []
    for use, setting, name in named:
        if name == NONE and setting != "language_model":
            continue
        try:
            entry = catalogue.find(name)
        except ModelMissing as error:
            wrong.append(f"{setting}: {error}")
            continue
        used.setdefault(entry.reference, []).append(use)
        kind = "language" if setting == "language_model" else "sentiment"
        with suppress(ModelError):  # a card that cannot be read is told of with its model
            if entry.card.kind != kind:
                wrong.append(f"{setting}: {entry.reference} is a {entry.card.kind} model; name a {kind} model")
    return used, wrong


def _summary(entry: Entry, used: list[str]) -> dict[str, Any]:
    summary = {"model": entry.reference, "used_for": used, "bytes": _bytes(entry), "problem": None}
    try:
        card = entry.card
    except ModelError as error:
        return {**summary, "problem": str(error)}
    about = card.model_dump(mode="json", include={"kind", "family", "languages", "licence", "description"})
    return {**summary, **about, "research_only": card.research_only}


def _row(model: Mapping[str, Any]) -> tuple[object, ...]:
    if model["problem"]:
        return model["model"], "unusable", "", "", size(model["bytes"]), "", ", ".join(model["used_for"])
    own = printable(str(model["licence"]).split(";")[0]) or "not said"
    licence = f"{own}, research only" if model["research_only"] else own
    return (
        model["model"],
        model["kind"],
        model["family"],
        len(model["languages"]),
        size(model["bytes"]),
        licence,
        ", ".join(model["used_for"]),
    )


def _bytes(entry: Entry) -> int:
    return sum(file.stat().st_size for file in entry.folder.rglob("*") if file.is_file())


def _figures(figures: Mapping[str, Any], indent: str) -> None:
    for name, value in figures.items():
        if not isinstance(value, Mapping):
            click.echo(f"{indent}{printable(f'{name}: {value}')}")
        elif any(isinstance(each, Mapping) for each in value.values()):
            click.echo(f"{indent}{printable(name)}:")
            _figures(value, indent + "  ")
        else:
            click.echo(f"{indent}{printable(name)}: {printable(', '.join(f'{key} {v}' for key, v in value.items()))}")
