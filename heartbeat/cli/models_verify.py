"""`heartbeat models verify`: each model's files, its graph, and its answers to the demo's posts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from heartbeat.cli.common import EXIT_FAILED, Failure, with_settings
from heartbeat.cli.judging import demo_posts, load
from heartbeat.errors import ModelError
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.trial import Sample, answers, check_variety, likeliest
from heartbeat.settings import Settings


@click.command(short_help="Check models' files, load them and try them.")
@click.argument("models", metavar="[NAME[/VERSION]]…", nargs=-1)
@with_settings
def verify(settings: Settings, *, models: Sequence[str]) -> None:
    """Check models' files against their checksums, load them and try them on the demo's posts.

    Without a name: all that there are. Exits with 1 if any of them cannot be used; what is wrong is on standard error.
    """
    catalogue = Catalogue(settings.models_dir)
    entries = [catalogue.find(name) for name in models] if models else catalogue.list()
    if not entries:
        raise Failure(f"there are no models in {settings.models_dir}; HEARTBEAT_MODELS_DIR names another folder")
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
