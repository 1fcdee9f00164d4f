"""When a post is mixed: the thresholds of that rule, held against contrastive examples and plain ones.

    python -m heartbeat.training.mixed

`contrasts.tsv` has texts in five languages, written for this: some praise and blame at once, others only one of them.
A post is mixed when pos and neg both reach one threshold and neu stays below another. For each pair of thresholds this
prints how many of the mixed texts are found, how many of the plain ones are taken for mixed, and how many of the posts
out there that people called positive or negative (tweets; subtitles in other languages; none trained on). The pair that
finds most, while at most one in twenty of either is taken, is what a model's card says (`mixed_from`,
`mixed_neutral_to`).
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ConfigError
from heartbeat.models import load_scorer
from heartbeat.settings import load
from heartbeat.training import data

EXAMPLES: Final = Path(__file__).with_name("contrasts.tsv")
FROM: Final = (0.10, 0.15, 0.18, 0.20, 0.22, 0.24, 0.26, 0.28, 0.30, 0.35, 0.40, 0.45)
NEUTRAL_TO: Final = (0.20, 0.30, 0.40, 0.60)
MOST_TAKEN: Final = 0.05
_NEUTRAL: Final = 1
_SUBTITLES: Final = 3_000


class Example(NamedTuple):
    """A text, its language, and what it is: mixed, positive or negative."""

    lang: str
    label: str
    text: str


class Found(NamedTuple):
    """Shares in [0, 1]: of mixed texts that are found; of plain ones, and of real ones, that are taken for mixed."""

    mixed_from: float
    neutral_to: float
    found: float
    taken: float
    real: float = 0.0


def examples() -> list[Example]:
    """All of them."""
    rows = [line.split("\t") for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    return [Example(lang, label, text) for lang, label, text in rows]


def real_posts(folder: Path) -> list[Example]:
    """Tweets and subtitles that people called positive or negative, and that no model of ours has learned from."""
    moods = [("tweeteval_val", row) for row in data.moods(folder, "tweeteval_val")]
    subtitles = [("xed", row) for row in data.moods(folder, "xed_train") if row[0] != "en" and data.held_out(row[2])]
    random.Random(1).shuffle(subtitles)
    plain = [row for _, row in moods + subtitles[:_SUBTITLES] if row[1] != _NEUTRAL]
    return [Example(lang, "negative" if mood < _NEUTRAL else "positive", text) for lang, mood, text in plain]


def grid(
    scores: NDArray[np.float64], mixed: NDArray[np.bool_], real: NDArray[np.float64] | None = None
) -> Iterator[Found]:
    """Every pair of thresholds.

    Args:
        scores: [N, 3], pos, neu, neg of each text.
        mixed: [N], which texts are.
        real: [M, 3], the same of posts out there that are not mixed, or hardly ever.
    """
    for mixed_from in FROM:
        for neutral_to in NEUTRAL_TO:
            said = _is_mixed(scores, mixed_from, neutral_to)
            out_there = 0.0 if real is None else float(_is_mixed(real, mixed_from, neutral_to).mean())
            yield Found(mixed_from, neutral_to, float(said[mixed].mean()), float(said[~mixed].mean()), out_there)


def _is_mixed(scores: NDArray[np.float64], mixed_from: float, neutral_to: float) -> NDArray[np.bool_]:
    pos, neu, neg = scores.T
    said: NDArray[np.bool_] = (pos >= mixed_from) & (neg >= mixed_from) & (neu <= neutral_to)
    return said


def best(found: Sequence[Found], *, most_taken: float = MOST_TAKEN) -> Found:
    """The pair that finds most, while at most so many plain texts are taken for mixed; of equals the strictest."""
    fit = [each for each in found if max(each.taken, each.real) <= most_taken] or list(found)
    return max(fit, key=lambda each: (each.found, -each.taken, each.mixed_from, -each.neutral_to))


async def scored(texts: Sequence[Example]) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Scores [N, 3] (pos, neu, neg) with the models that the settings choose, and the models' names [N]."""
    scorer = load_scorer(load())
    chosen = [scorer.model_for("", example.lang) for example in texts]
    rows, models = np.zeros((len(texts), 3)), np.full(len(texts), "none", dtype="<U64")
    for model in sorted({model for model in chosen if model is not None}):
        mine = [at for at, each in enumerate(chosen) if each == model]
        said = await scorer.score(model, [texts[at].text for at in mine], [texts[at].lang for at in mine])
        for at, score in zip(mine, said, strict=True):
            if score.model is not None:
                rows[at], models[at] = (score.pos or 0.0, score.neu or 0.0, score.neg or 0.0), score.model
    await scorer.close()
    return rows, models


def main() -> None:
    """Print the tables, by model, and the best pair of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the training data")
    options = parser.parse_args()
    texts = examples()
    try:
        real = real_posts(data.data_folder(options.data))
    except ConfigError as error:
        print(f"without posts from out there: {error}")
        real = []
    scores, models = asyncio.run(scored([*texts, *real]))
    count = len(texts)
    mixed = np.array([example.label == "mixed" for example in texts])
    for model in sorted(set(models[:count])):
        mine = models[:count] == model
        theirs = scores[count:][models[count:] == model]
        langs = ", ".join(sorted({example.lang for example, is_mine in zip(texts, mine, strict=True) if is_mine}))
        table = list(grid(scores[:count][mine], mixed[mine], theirs if len(theirs) else None))
        print(f"\n{model} ({langs}): {int(mixed[mine].sum())} mixed, {int((~mixed[mine]).sum())} plain, ", end="")
        print(f"{len(theirs)} posts from out there")
        for each in table:
            print(f"  from {each.mixed_from:.2f}, neutral to {each.neutral_to:.2f}: ", end="")
            print(f"{each.found:4.0%} of mixed, {each.taken:4.0%} of plain, {each.real:5.1%} of those out there")
        chosen = best(table)
        print(f"  best: from {chosen.mixed_from:.2f}, neutral to {chosen.neutral_to:.2f}")


if __name__ == "__main__":
    main()
