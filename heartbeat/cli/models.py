"""`heartbeat models …`: the catalogue. A command's module is imported when it runs; listing needs no ONNX Runtime."""

from __future__ import annotations

import click

from heartbeat.cli.lazy import LazyGroup, Place

_PLACES = {
    "list": Place("heartbeat.cli.models_list:list_", "Every model and version, and what the settings use it for."),
    "show": Place("heartbeat.cli.models_list:show", "What a model says of itself."),
    "verify": Place("heartbeat.cli.models_verify:verify", "Check models' files, load them and try them."),
    "bench": Place("heartbeat.cli.models_bench:bench", "Measure a model's speed and memory."),
    "compare": Place("heartbeat.cli.models_compare:compare", "Let two models judge the same posts."),
    "use": Place("heartbeat.cli.models_use:use", "Choose a model, also while a worker runs."),
}


@click.group(cls=LazyGroup, places=_PLACES, short_help="List, check, compare and choose models.")
def models() -> None:
    """List, check, compare and choose models.

    A model is named NAME/VERSION, or NAME for its newest version. See docs/models.md.
    """
