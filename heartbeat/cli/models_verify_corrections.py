"""`heartbeat models verify --on corrections`: how right each model is where people said what is right, over time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

from heartbeat.cli.common import EXIT_FAILED, counted, require_data_dir
from heartbeat.cli.judging import load
from heartbeat.cli.printing import print_json, print_table
from heartbeat.cli.rightness import LEAST, By, Rightness
from heartbeat.corrections import file
from heartbeat.corrections.rows import Correction
from heartbeat.corrections.store import Corrections
from heartbeat.errors import ModelError
from heartbeat.models.api import UNKNOWN, SentimentModel
from heartbeat.models.catalogue import Entry
from heartbeat.models.choices import NONE
from heartbeat.models.sentiment import NO_TEXT, ConfiguredScorer
from heartbeat.settings import Settings
from heartbeat.sinks.table_writers import rfc3339

CHUNK: Final = 256
LANGUAGES_SHOWN: Final = 12
CAUTION: Final = (
    "People correct what is wrong sooner than they confirm what is right, and what they correct are mistakes of the "
    "models in use. So these shares are no accuracy in general: take them to compare periods, and models that were not "
    "in use with each other."
)


@dataclass(slots=True)
class _Checked:
    """What came of one model: how right it is, and what it was not asked, and why."""

    entry: Entry
    rightness: Rightness
    posts: int = 0
    own: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    cut: int = 0

    def figures(self) -> dict[str, Any]:
        return {
            "model": self.entry.reference,
            "kind": self.entry.card.kind,
            "posts": self.posts,
            "own": self.own,
            "language_not_known": self.left_out["language"],
            "no_text": self.left_out["text"],
            "cut": self.cut,
            **self.rightness.figures(),
        }


def verify_on_corrections(
    settings: Settings, entries: Sequence[Entry], *, since_ms: int | None, by: By, as_json: bool
) -> None:
    """Judge what stands in the data directory, with or without a worker, and print what came of it."""
    require_data_dir(settings)
    with Corrections(settings.data_dir / file.NAME) as kept:
        about = _about(kept, since_ms)
        found, failed = [], 0
        for entry in entries if about["corrections"] else ():
            try:
                found.append(asyncio.run(_check(settings, entry, _pages(kept, since_ms, about["last"]), by)).figures())
            except ModelError as error:
                failed += 1
                click.echo(f"Error: {error}", err=True)
    last = about.pop("last")
    if as_json:
        print_json({"on": "corrections", **about, "by": by, "caution": CAUTION, "models": found})
    elif last:
        _print(about, found, by)
    else:
        when = "" if since_ms is None else f" since {rfc3339(since_ms)}"
        click.echo(
            f"nothing has been corrected{when}, so there is nothing to verify on; see docs/corrections.md", err=True
        )
    if failed:
        click.echo(f"{failed} of {len(entries)} models cannot be used", err=True)
        click.get_current_context().exit(EXIT_FAILED)


def _about(kept: Corrections, since_ms: int | None) -> dict[str, Any]:
    count = confirms = last = 0
    first_ms, last_ms = None, None
    for each in kept.all(since_ms=since_ms):
        count, confirms, last = count + 1, confirms + each.confirms, each.number
        first_ms = each.corrected_ms if first_ms is None else min(first_ms, each.corrected_ms)
        last_ms = each.corrected_ms if last_ms is None else max(last_ms, each.corrected_ms)
    return {
        "corrections": count,
        "confirm": confirms,
        "from": None if first_ms is None else rfc3339(first_ms),
        "to": None if last_ms is None else rfc3339(last_ms),
        "last": last,
    }


def _pages(kept: Corrections, since_ms: int | None, last: int) -> Iterator[list[Correction]]:
    """What stands, up to the last one that was there at the beginning, so that all models judge the same."""
    after = 0
    while rows := kept.page(after, limit=CHUNK, since_ms=since_ms):
        yield [row for row in rows if row.number <= last]
        after = rows[-1].number


async def _check(settings: Settings, entry: Entry, pages: Iterator[list[Correction]], by: By) -> _Checked:
    model = load(entry, settings)
    checked = _Checked(entry, Rightness(by))
    judge = _languages if entry.card.kind == "language" else _labels
    try:
        for page in pages:
            await judge(settings, model, page, checked)
    finally:
        await model.close()
    return checked


async def _labels(settings: Settings, model: SentimentModel, page: Sequence[Correction], checked: _Checked) -> None:
    """Labels are judged in the language that is right, by the same rule for mixed posts as in a worker."""
    scorer = ConfiguredScorer(
        {model.reference: model},
        default=model.reference,
        fast=NONE,
        mixed_from=settings.mixed_from,
        mixed_neutral_to=settings.mixed_neutral_to,
    )
    some = [each for each in page if each.label is not None]
    langs = [each.lang or each.post.lang for each in some]
    scores = await scorer.score(model.reference, [each.post.content for each in some], langs)
    for each, lang, score in zip(some, langs, scores, strict=True):
        checked.posts += 1
        if score.label is None:
            checked.left_out["text" if score.unscored_reason == NO_TEXT else "language"] += 1
            continue
        checked.own += each.post.model == model.reference
        checked.cut += score.cut
        checked.rightness.add(str(each.label), score.label, lang=lang, at_ms=each.corrected_ms)


async def _languages(_: Settings, model: SentimentModel, page: Sequence[Correction], checked: _Checked) -> None:
    """Of a language that it does not know, a model is right to say `und`."""
    some = [each for each in page if each.lang is not None]
    prepared = model.prepare([each.post.content for each in some])
    present = [bool(text) and not text.isspace() for text in prepared]
    rows = (await model.judge([text for text, there in zip(prepared, present, strict=True) if there])).rows
    best = iter(rows.argmax(axis=1).tolist())
    for each, there in zip(some, present, strict=True):
        said = model.card.labels[next(best)] if there else UNKNOWN
        lang = str(each.lang)
        checked.posts += 1
        gold = lang if lang in model.card.languages else UNKNOWN
        checked.rightness.add(gold, said, lang=lang, at_ms=each.corrected_ms)


def _print(about: Mapping[str, Any], found: Sequence[Mapping[str, Any]], by: By) -> None:
    stand = counted(about["corrections"], "correction stands", "corrections stand")
    click.echo(
        f"{stand}, of {about['from'][:10]} to {about['to'][:10]}; {about['confirm']:,} confirm what the models had said"
    )
    click.echo(CAUTION)
    for each in found:
        click.echo()
        _print_model(each, by)


def _print_model(each: Mapping[str, Any], by: By) -> None:
    what = "labels" if each["kind"] == "sentiment" else "languages"
    click.echo(f"{each['model']}: {what} of {counted(each['posts'], 'post', 'posts')}")
    notes = [
        (each["language_not_known"], "in languages that it does not know, left out"),
        (each["no_text"], "without words, left out"),
        (each["cut"], "longer than it reads: only their beginning was judged"),
        (each["own"], "had their label from this very model"),
    ]
    for count, note in notes:
        if count:
            click.echo(f"  {count:,} {note}")
    if not each["judged"]:
        click.echo("  nothing to tell")
        return
    recall = "MACRO RECALL"
    head = ("", "POSTS", "RIGHT", "%", "95 %", recall, "")
    rows = [_row("all", each)]
    rows += [_row(period["period"], period) for period in each["by_period"]]
    languages = list(each["by_language"].items())
    rows += [_row(lang, figures) for lang, figures in languages[:LANGUAGES_SHOWN]] if len(languages) > 1 else []
    print_table(head, rows, right=("POSTS", "RIGHT", "%", "95 %", recall))
    if len(languages) > LANGUAGES_SHOWN:
        click.echo(f"  and {len(languages) - LANGUAGES_SHOWN} more languages (--json has them)")
    if each["kind"] == "sentiment":
        shares = ", ".join(f"{label} {100 * recall:.1f}" for label, recall in each["recall"].items())
        click.echo(f"recall in %: {shares}")
    if len(each["by_period"]) > 1:
        click.echo(f"the newest {by} beside all before it: {each['trend']}")


def _row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = figures["interval"]
    return (
        name,
        f"{figures['judged']:,}",
        f"{figures['right']:,}",
        f"{100 * figures['accuracy']:.1f}",
        f"{100 * low:.1f}–{100 * high:.1f}",
        f"{100 * figures['macro_recall']:.1f}",
        "" if figures["enough"] else f"fewer than {LEAST}: too few to tell",
    )
