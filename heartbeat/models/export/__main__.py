"""`python -m heartbeat.models.export MODEL …`, which `make export-model MODEL=…` calls."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, get_args

import click

from heartbeat.errors import HeartbeatError
from heartbeat.models.export.request import AGREEMENT, Quantize, Request, Wording

_FAILED: Final = 1
_INTERRUPTED: Final = 130


def _listed(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("model")
@click.option("--name", default="", help="What to call it in the catalogue [the model's own name].")
@click.option("--version", default="1", show_default=True, help="Its version in the catalogue.")
@click.option(
    "--quantize",
    type=click.Choice(get_args(Quantize)),
    default="weights",
    show_default=True,
    help="8 bits, scaled in small blocks; or with one scale for a post's activations, or as calibrated on --posts; "
    "or 32-bit floats.",
)
@click.option(
    "--posts",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Posts to calibrate on and to compare: a post a line, or .jsonl with content and lang [the demo's].",
)
@click.option("--languages", default="", callback=_listed, help="ISO 639-1, with commas [as the model's README says].")
@click.option("--licence", default="", help="The model's licence [as its README says].")
@click.option("--labels", default="", callback=_listed, help="What the outputs mean, if they are called LABEL_0 …")
@click.option(
    "--wording",
    type=click.Choice(get_args(Wording)),
    default="tweets",
    show_default=True,
    help="tweets: mentions become @user and links http, as models of tweets were trained; tweets-words: emoji become "
    "words too; plain: nothing does.",
)
@click.option("--models-dir", type=click.Path(file_okay=False, path_type=Path), default=Path("onnx_models"))
@click.option("--max-tokens", type=click.IntRange(8), help="Longest post in tokens [128, or the model's longest].")
@click.option("--max-chars", type=click.IntRange(1, 4000), default=4000, show_default=True, help="Longest post.")
@click.option("--revision", help="Which revision on the hub [the newest].")
@click.option("--research-only", is_flag=True, help="Its training data forbids commercial use.")
@click.option(
    "--agreement",
    type=click.FloatRange(0, 1),
    default=AGREEMENT,
    show_default=True,
    help="The share of posts that must keep the original's label.",
)
@click.option("--force", is_flag=True, help="Replace a model of this name and version.")
def main(**given: Any) -> None:
    """Put MODEL, a sequence classifier on the Hugging Face hub or in a local folder, into the catalogue."""
    signal.signal(signal.SIGTERM, _terminated)
    from heartbeat.models.export.exporting import export

    try:
        folder = export(Request(**given), lambda line: click.echo(line, err=True))
    except HeartbeatError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_FAILED)
    except ModuleNotFoundError as error:
        click.echo(f"Error: {error.name} is not installed here; call this by `make export-model`", err=True)
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        click.echo("Stopped; nothing was written.", err=True)
        sys.stderr.flush()
        os._exit(_INTERRUPTED)  # threads of torch may be at work still: there is nothing left to wait for
    name = folder.parent.name
    click.echo(f"Use it with: heartbeat models use {name}", err=True)
    click.echo(folder)


def _terminated(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
