"""`heartbeat models compare`: two models on the same posts. Texts are shown only when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from heartbeat.cli.agreement import Judged, Verdict, farthest_apart, figures
from heartbeat.cli.common import Misuse, printable, with_settings
from heartbeat.cli.judging import Post, load
from heartbeat.cli.posts_file import MIXED, read_posts
from heartbeat.cli.printing import print_json, print_table
from heartbeat.models import load_identifier
from heartbeat.models.api import UNKNOWN, SentimentModel
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.choices import NONE
from heartbeat.models.sentiment import ConfiguredScorer
from heartbeat.settings import Settings

_CHUNK: Final = 256


@click.command(short_help="Let two models judge the same posts.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--on",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSONL (content, lang?, label?), TSV (label<TAB>text) or a text a line; also .gz and .xz.",
)
@click.option("--show", type=click.IntRange(min=0), default=0, help="Show the N posts they are farthest apart on.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def compare(settings: Settings, *, a: str, b: str, file: Path, show: int, as_json: bool) -> None:
    """Let models A and B (NAME or NAME/VERSION, of one kind) judge the posts of a file, and say how they agree.

    Where the file has gold labels, it says how right each of them is. A language that the file does not give is found
    by the model that the settings name. Posts' texts are shown only with --show.
    """
    catalogue = Catalogue(settings.models_dir)
    entries = [catalogue.find(a), catalogue.find(b)]
    if entries[0].card.kind != entries[1].card.kind:
        kinds = " and ".join(f"{entry.reference} a {entry.card.kind} model" for entry in entries)
        raise Misuse(f"only models of one kind can be compared; {kinds}")
    posts = read_posts(file, [*dict.fromkeys([*entries[0].card.labels, *entries[1].card.labels])])
    models = [load(entry, settings) for entry in entries]
    judge = _languages if entries[0].card.kind == "language" else _sentiments
    judged = asyncio.run(judge(settings, models, posts))
    found = {"a": entries[0].reference, "b": entries[1].reference, **figures(judged)}
    shown = farthest_apart(judged, show)
    if as_json:
        if show:
            found["farthest_apart"] = [_shown(each) for each in shown]
        print_json(found)
        return
    _print(found)
    if show:
        click.echo("\nfarthest apart:")
        for each in shown:
            gold = f", gold {each.post.label}" if each.post.label else ""
            click.echo(f"  line {each.post.line}, {each.lang}: A {each.a.label}, B {each.b.label}{gold}")
            click.echo(f"    {printable(' '.join(each.post.text.split()))}")


async def _languages(_: Settings, models: Sequence[SentimentModel], posts: Sequence[Post]) -> list[Judged]:
    said: list[list[Verdict]] = []
    for model in models:
        verdicts: list[Verdict] = []
        for at in range(0, len(posts), _CHUNK):
            rows = (await model.judge(model.prepare([post.text for post in posts[at : at + _CHUNK]]))).rows
            shares = [dict(zip(model.card.labels, row, strict=True)) for row in rows.tolist()]
            verdicts += [Verdict(max(each, key=each.__getitem__), each) for each in shares]
        said.append(verdicts)
        await model.close()
    # A gold label is the language; without one, what A says is as good as any to sort posts by. A language that neither
    # of them has is rightly called unknown.
    has = {label for model in models for label in model.card.labels}
    golds = [post.label or (post.lang if post.lang in has or not post.lang else UNKNOWN) for post in posts]
    return [
        Judged(replace(post, label=gold), gold or str(a.label), a, b)
        for post, gold, a, b in zip(posts, golds, *said, strict=True)
    ]


async def _sentiments(settings: Settings, models: Sequence[SentimentModel], posts: Sequence[Post]) -> list[Judged]:
    langs = await _langs(settings, posts)
    gold = {post.label for post in posts} - {None}
    # Gold labels that know no `mixed` are compared with the largest of the three figures.
    mixed_from = 1.0 if gold and MIXED not in gold else settings.mixed_from
    said: list[list[Verdict]] = []
    for model in models:
        scorer = ConfiguredScorer(
            {model.reference: model},
            default=model.reference,
            fast=NONE,
            mixed_from=mixed_from,
            mixed_neutral_to=settings.mixed_neutral_to,
        )
        verdicts: list[Verdict] = []
        for at in range(0, len(posts), _CHUNK):
            texts = [post.text for post in posts[at : at + _CHUNK]]
            for score in await scorer.score(model.reference, texts, langs[at : at + _CHUNK]):
                shares = {"positive": score.pos or 0.0, "neutral": score.neu or 0.0, "negative": score.neg or 0.0}
                verdicts.append(Verdict(score.label, shares))
        said.append(verdicts)
        await scorer.close()
    return [Judged(post, lang, a, b) for post, lang, a, b in zip(posts, langs, *said, strict=True)]


async def _langs(settings: Settings, posts: Sequence[Post]) -> list[str]:
    if all(post.lang for post in posts):
        return [str(post.lang) for post in posts]
    identifier = load_identifier(settings)
    langs: list[str] = []
    for at in range(0, len(posts), _CHUNK):
        some = posts[at : at + _CHUNK]
        guesses = await identifier.identify([post.text for post in some])
        langs += [post.lang or guess.lang for post, guess in zip(some, guesses, strict=True)]
    await identifier.close()
    return langs


def _shown(each: Judged) -> dict[str, Any]:
    verdicts = {
        name: {"label": said.label, **{label: round(share, 6) for label, share in said.shares.items() if share > 0.005}}
        for name, said in (("a", each.a), ("b", each.b))
    }
    post = each.post
    return {"line": post.line, "lang": each.lang, "gold": post.label, **verdicts, "content": post.text}


def _print(found: Mapping[str, Any]) -> None:
    click.echo(f"A is {found['a']}, B is {found['b']}; {found['posts']:,} posts")
    click.echo(
        f"judged by A {found['judged_by_a']:,}, by B {found['judged_by_b']:,}, by both {found['judged_by_both']:,}; "
        f"of these they say the same of {_percent(found['agreement'])}"
    )
    if (gold := found["gold"]) is not None:
        click.echo(f"\nheld against {gold['posts']:,} gold labels (%; unscored counts as wrong):")
        rows = [(name.replace("_", " "), _percent(gold["a"][name]), _percent(gold["b"][name])) for name in gold["a"]]
        print_table(("", "A", "B"), rows, right=("A", "B"))
    if len(by_language := found["by_language"]) > 1:
        click.echo("\nby language:")
        rows = [(lang, f"{each['posts']:,}", _percent(each["agreement"])) for lang, each in by_language.items()]
        print_table(("LANG", "POSTS", "SAME"), rows, right=("POSTS", "SAME"))
    _print_confusion(found["confusion"])


def _print_confusion(confusion: Mapping[str, Mapping[str, int]]) -> None:
    columns = sorted({label for row in confusion.values() for label in row})
    if 0 < len(columns) <= 4 and len(confusion) <= 4:
        click.echo("\nA says (rows), B says (columns):")
        counts = [(a, *(row.get(b, 0) for b in columns)) for a, row in confusion.items()]
        print_table(("", *columns), counts, right=columns)
        return
    apart = sorted(((n, a, b) for a, row in confusion.items() for b, n in row.items() if a != b), reverse=True)
    if apart:
        click.echo("\nmost often apart:")
        print_table(("A SAYS", "B SAYS", "POSTS"), [(a, b, n) for n, a, b in apart[:15]], right=("POSTS",))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
