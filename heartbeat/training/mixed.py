"""When a post is mixed: the thresholds of that rule, held against contrastive examples and plain ones.

    python -m heartbeat.training.mixed

`contrasts.tsv` has texts in five languages, written for this: some praise and blame at once, others only one of them.
A post is mixed when pos and neg both reach one threshold and neu stays below another. For each pair of thresholds this
prints how many of the mixed texts are found, and how many of the plain ones are taken for mixed.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heartbeat.models import load_scorer
from heartbeat.settings import load

EXAMPLES: Final = Path(__file__).with_name("contrasts.tsv")
FROM: Final = (0.10, 0.15, 0.20, 0.25, 0.30, 0.35)
NEUTRAL_TO: Final = (0.20, 0.30, 0.40, 0.50, 0.60, 0.80)


class Example(NamedTuple):
    """A text, its language, and what it is: mixed, positive or negative."""

    lang: str
    label: str
    text: str


class Found(NamedTuple):
    """Shares in [0, 1]: of mixed texts that are found, and of plain ones that are taken for mixed."""

    mixed_from: float
    neutral_to: float
    found: float
    taken: float


def examples() -> list[Example]:
    """All of them."""
    rows = [line.split("\t") for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    return [Example(lang, label, text) for lang, label, text in rows]


def grid(scores: NDArray[np.float64], mixed: NDArray[np.bool_]) -> Iterator[Found]:
    """Every pair of thresholds.

    Args:
        scores: [N, 3], pos, neu, neg of each text.
        mixed: [N], which texts are.
    """
    pos, neu, neg = scores.T
    for mixed_from in FROM:
        for neutral_to in NEUTRAL_TO:
            said = (pos >= mixed_from) & (neg >= mixed_from) & (neu <= neutral_to)
            yield Found(mixed_from, neutral_to, float(said[mixed].mean()), float(said[~mixed].mean()))


def best(found: Sequence[Found], *, most_taken: float = 0.05) -> Found:
    """The pair that finds most, while at most so many plain texts are taken for mixed; of equals the strictest."""
    fit = [each for each in found if each.taken <= most_taken] or list(found)
    return max(fit, key=lambda each: (each.found, -each.taken, each.mixed_from, -each.neutral_to))


async def scored(texts: Sequence[Example]) -> tuple[NDArray[np.float64], list[str]]:
    """Scores [N, 3] (pos, neu, neg) with the models that the settings choose, and the models' names."""
    scorer = load_scorer(load())
    rows, models = [], []
    for example in texts:
        model = scorer.model_for("", example.lang)
        (said,) = await scorer.score(model, [example.text], [example.lang])
        rows.append((said.pos or 0.0, said.neu or 0.0, said.neg or 0.0))
        models.append(said.model or "none")
    await scorer.close()
    return np.array(rows), models


def main() -> None:
    """Print the tables, by model, and the best pair of each."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    texts = examples()
    scores, models = asyncio.run(scored(texts))
    mixed = np.array([example.label == "mixed" for example in texts])
    for model in sorted(set(models)):
        mine = np.array([each == model for each in models])
        langs = ", ".join(sorted({example.lang for example, is_mine in zip(texts, mine, strict=True) if is_mine}))
        table = list(grid(scores[mine], mixed[mine]))
        print(f"\n{model} ({langs}): {int(mixed[mine].sum())} mixed, {int((~mixed[mine]).sum())} plain")
        for each in table:
            print(f"  from {each.mixed_from:.2f}, neutral to {each.neutral_to:.2f}: ", end="")
            print(f"{each.found:4.0%} of mixed, {each.taken:4.0%} of plain")
        chosen = best(table)
        print(f"  best: from {chosen.mixed_from:.2f}, neutral to {chosen.neutral_to:.2f}")


if __name__ == "__main__":
    main()
