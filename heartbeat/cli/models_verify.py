"""`heartbeat models verify`: each model's files, its graph, and its answers: to the demo's posts, or corrected ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from heartbeat.cli.common import EXIT_FAILED, Failure, Misuse, with_settings
from heartbeat.cli.judging import demo_posts, load
from heartbeat.cli.rightness import By
from heartbeat.cli.times import Instant
from heartbeat.errors import ModelError
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.trial import Sample, answers, check_variety, likeliest
from heartbeat.settings import Settings


@click.command(short_help="Check models' files, load them and try them.")
@click.argument("names", metavar="[NAME[/VERSION]]…", nargs=-1)
@click.option("--models", "listed", metavar="A,B|all", help="The same as a list, or `all`, which is the default.")
@click.option("--on", type=click.Choice(["corrections"]), help="Say how right they are by what people corrected.")
@click.option("--since", "since_ms", type=Instant(), help="With --on: what was corrected at this time or later.")
@click.option(
    "--by", type=click.Choice(["month", "week"]), help="With --on: the periods that are compared  [default: month]."
)
@click.option("--json", "as_json", is_flag=True, help="With --on: as JSON.")
@with_settings
def verify(
    settings: Settings,
    *,
    names: Sequence[str],
    listed: str | None,
    on: str | None,
    since_ms: int | None,
    by: By | None,
    as_json: bool,
) -> None:
    """Check models' files against their checksums, load them and try them on the demo's posts.

    Without a name: all that there are. Exits with 1 if any of them cannot be used; what is wrong is on standard error.

    With --on corrections, models are verified on new data: each judges the posts that people corrected or confirmed on
    the page (sentiment models their labels, language models their languages), overall, by language, and by the month or
    week in which people said so. See docs/corrections.md.
    """
    if on is None and (since_ms is not None or by is not None or as_json):
        raise Misuse("--since, --by and --json belong to --on corrections")
    catalogue = Catalogue(settings.models_dir)
    wanted = [*names, *(name.strip() for name in (listed or "").split(",") if name.strip())]
    everything = not wanted or "all" in wanted
    entries = catalogue.list() if everything else [catalogue.find(name) for name in wanted]
    if not entries:
        raise Failure(f"there are no models in {settings.models_dir}; HEARTBEAT_MODELS_DIR names another folder")
    if on is None:
        _verify(settings, entries)
        return
    from heartbeat.cli.models_verify_corrections import verify_on_corrections

    verify_on_corrections(settings, entries, since_ms=since_ms, by=by or "month", as_json=as_json)


def _verify(settings: Settings, entries: Sequence[Entry]) -> None:
    samples, failed = demo_posts(), 0
    for entry in entries:
        try:
            tried = asyncio.run(_try(entry, settings, samples))
        except ModelError as error:
            failed += 1
            click.echo(f"{entry.reference}: FAILED")
            click.echo(f"Error: {error}", err=True)
        else:
            click.echo(f"{entry.reference}: ok (files are whole; tried on {tried} posts)")
    if failed:
        click.echo(f"{failed} of {len(entries)} models cannot be used", err=True)
        click.get_current_context().exit(EXIT_FAILED)


async def _try(entry: Entry, settings: Settings, samples: Sequence[Sample]) -> int:
    model = load(entry, settings)
    try:
        known = [sample.text for sample in samples if sample.lang in entry.card.languages]
        check_variety(model, likeliest(model, await answers(model, known)))
        return len(known)
    finally:
        await model.close()
