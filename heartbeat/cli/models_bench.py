"""`heartbeat models bench`: how many texts a second, how soon a lone one is answered, how much memory it takes."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from heartbeat.cli.common import Failure, with_settings
from heartbeat.cli.judging import demo_posts, load
from heartbeat.cli.printing import print_json, size
from heartbeat.models.api import SentimentModel
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.text import prepare
from heartbeat.settings import Settings

BATCH: Final = 256


@click.command(short_help="Measure a model's speed and memory.")
@click.argument("model", metavar="NAME[/VERSION]")
@click.option(
    "--on",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSONL, TSV or a text a line  [default: the demo's posts].",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="How long each measurement runs."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def bench(settings: Settings, *, model: str, file: Path | None, seconds: float, as_json: bool) -> None:
    """Measure a model's speed and memory, as a worker would run it, preparation of texts included.

    Texts a second in batches of 256 and one by one, how long a lone text waits for its answer (median and 95th
    percentile), and the memory that the model takes. What else runs on the machine counts.
    """
    entry = Catalogue(settings.models_dir).find(model)
    if file is None:
        texts = [sample.text for sample in demo_posts()]
    else:
        from heartbeat.cli.posts_file import read_posts

        texts = [post.text for post in read_posts(file, None)]
        if not any(map(str.strip, map(prepare, texts))):
            raise Failure(f"{file} holds no words: a model is not asked about links and mentions alone")
    before = _resident()
    loaded_at = time.perf_counter()
    loaded = load(entry, settings)
    load_s = time.perf_counter() - loaded_at
    figures = asyncio.run(_measure(loaded, texts, seconds))
    found: dict[str, Any] = {
        "model": entry.reference,
        "texts": len(texts),
        "mean_chars": round(sum(map(len, texts)) / len(texts), 1),
        **figures,
        "load_seconds": round(load_s, 3),
        "memory_bytes": max(_resident() - before, 0),
        "lanes": settings.lanes if entry.card.family == "encoder" else 1,
        "processors": os.cpu_count(),
    }
    if as_json:
        print_json(found)
        return
    click.echo(f"{entry.reference} on {len(texts):,} texts of {found['mean_chars']:.0f} characters")
    for name, value in (
        (f"in batches of {BATCH}", f"{found['batched_texts_per_second']:,.0f} texts/s"),
        ("one by one", f"{found['single_texts_per_second']:,.0f} texts/s"),
        ("a lone text", f"{found['latency_ms_p50']:.2f} ms (median), {found['latency_ms_p95']:.2f} ms (95 % within)"),
        ("memory", f"{size(found['memory_bytes'])} more than before, ONNX Runtime included"),
        ("loaded in", f"{load_s:.2f} s"),
    ):
        click.echo(f"  {name:<22}{value}")


async def _measure(model: SentimentModel, texts: Sequence[str], seconds: float) -> dict[str, float]:
    async def ask(some: Sequence[str]) -> None:
        prepared = model.prepare(some)
        await model.judge([text for text in prepared if text and not text.isspace()])

    try:
        await ask(texts[:BATCH])  # what is done at the first run alone is nobody's speed
        batched, began, at = 0, time.perf_counter(), 0
        while (took := time.perf_counter() - began) < seconds or not batched:
            some = [texts[(at + step) % len(texts)] for step in range(BATCH)]
            await ask(some)
            batched, at = batched + BATCH, at + BATCH
        took = time.perf_counter() - began
        lone_ms: list[float] = []
        until, at = time.perf_counter() + seconds, 0
        while time.perf_counter() < until or len(lone_ms) < 20:
            asked = time.perf_counter()
            await ask([texts[at % len(texts)]])
            lone_ms.append((time.perf_counter() - asked) * 1000)
            at += 1
        ordered = sorted(lone_ms)
        return {
            "batched_texts_per_second": round(batched / took, 1),
            "single_texts_per_second": round(len(lone_ms) / sum(lone_ms) * 1000, 1),
            "latency_ms_p50": round(ordered[len(ordered) // 2], 3),
            "latency_ms_p95": round(ordered[len(ordered) * 95 // 100], 3),
        }
    finally:
        await model.close()


def _resident() -> int:
    """Bytes of memory that this process holds; where the system does not say, the most that it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
