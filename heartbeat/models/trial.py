"""Tries a model that has just been loaded on sample posts, beside those in use, before it takes over.

What is looked for is the model that loads and yet is wrong: columns in another order, weights of something else,
answers that do not depend on the text. How good a model is, `heartbeat models compare` says.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from heartbeat.errors import ModelUnfit
from heartbeat.models.api import SentimentModel

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from heartbeat.models.chosen import Chosen

LEAST_ALIKE: Final = 0.8
"""The share of the samples that a new language model has to guess the same of as the one in use."""
LEAST_CORRELATION: Final = 0.1
"""Of a new sentiment model's figures with those of the one in use, for `positive` and for `negative` alike. The share
of equal labels tells too little: `sentiment-fast` finds most of the demo's posts neutral, so that itself with negative
and positive mixed up agrees with it on 55 % of them, and what tells praise from complaints by the script on 38 %. Their
correlations are -0.3 and 0.3; those of chance are within 0.1 of 0."""
LEAST_SAMPLES: Final = 20
LEAST_CORRELATED: Final = 100
"""Fewer say nothing: a model of one small language may be new to nearly all of them."""
CHUNK: Final = 32
"""Samples asked about at once: what is live has its turn in between."""
_SIDES: Final = ("positive", "negative")


class Sample(NamedTuple):
    """A post to try models on, and its language."""

    text: str
    lang: str


class Said(NamedTuple):
    """What the models in use say of each sample: its language; how positive and negative it is, None if unscored."""

    langs: Sequence[str]
    sides: Sequence[tuple[float, float] | None]


async def said_by(chosen: Chosen, samples: Sequence[Sample]) -> Said:
    """What models in use say, asked a little at a time."""
    langs: list[str] = []
    sides: list[tuple[float, float] | None] = []
    for at in range(0, len(samples), CHUNK):
        some = samples[at : at + CHUNK]
        langs += [guess.lang for guess in await chosen.language.identify([sample.text for sample in some])]
        found: list[tuple[float, float] | None] = [None] * len(some)
        places: dict[str | None, list[int]] = {}
        for place, sample in enumerate(some):
            places.setdefault(chosen.sentiment.model_for("", sample.lang), []).append(place)
        for model, which in places.items():
            scores = await chosen.sentiment.score(
                model, [some[place].text for place in which], [some[place].lang for place in which]
            )
            for place, score in zip(which, scores, strict=True):
                if score.pos is not None and score.neg is not None:
                    found[place] = score.pos, score.neg
        sides += found
    return Said(langs, sides)


async def check(chosen: Chosen, samples: Sequence[Sample], said: Said) -> None:
    """Hold every model that was loaded for these settings against those in use.

    Raises:
        ModelUnfit: says which model does what, and how much of it.
    """
    for key in sorted(chosen.new):
        model = chosen.models[key]
        if model.card.kind == "language":
            labels = likeliest(model, await answers(model, [sample.text for sample in samples]))
            check_variety(model, labels)
            _check_guesses(model, said.langs, labels)
        else:
            which = [at for at, sample in enumerate(samples) if sample.lang in model.card.languages]
            rows = await answers(model, [samples[at].text for at in which])
            check_variety(model, likeliest(model, rows))
            _check_sides(model, [said.sides[at] for at in which], rows)


async def answers(model: SentimentModel, texts: Sequence[str]) -> NDArray[float32]:
    """What a model of either kind says of each text.

    Returns:
        float32 [texts, labels]: probabilities.

    Raises:
        ModelUnfit: it fails on them, or its answers are no probabilities.
    """
    import numpy as np

    parts = [np.empty((0, len(model.card.labels)), np.float32)]
    for at in range(0, len(texts), CHUNK):
        try:
            rows = (await model.judge(model.prepare(texts[at : at + CHUNK]))).rows
        except Exception as error:  # ONNX Runtime's exceptions have no common type of their own
            raise ModelUnfit(
                f"model {model.reference} cannot be used: it fails on a sample post: {type(error).__name__}"
            ) from error
        if not (np.all(np.isfinite(rows)) and np.all(rows >= 0) and np.allclose(rows.sum(axis=1), 1, atol=1e-3)):
            raise ModelUnfit(
                f"model {model.reference} cannot be used: its answers to sample posts are no probabilities that add "
                "up to 1"
            )
        parts.append(rows)
    return np.concatenate(parts)


def likeliest(model: SentimentModel, rows: NDArray[float32]) -> list[str]:
    """The label of each row's largest figure."""
    return [model.card.labels[column] for column in rows.argmax(axis=1)]


def check_variety(model: SentimentModel, labels: Sequence[str]) -> None:
    """Refuse a model that says the same of everything.

    Raises:
        ModelUnfit: it does.
    """
    if len(labels) >= LEAST_SAMPLES and len(set(labels)) == 1:
        raise ModelUnfit(f"model {model.reference} says {labels[0]!r} of all {len(labels)} sample posts")


def _check_guesses(model: SentimentModel, before: Sequence[str], labels: Sequence[str]) -> None:
    both = [(old, new) for old, new in zip(before, labels, strict=True) if old in model.card.labels]
    alike = sum(old == new for old, new in both)
    if len(both) >= LEAST_SAMPLES and alike < LEAST_ALIKE * len(both):
        raise ModelUnfit(
            f"model {model.reference} guesses the same language as the one in use of {alike / len(both):.0%} of "
            f"{len(both)} sample posts, and has to of {LEAST_ALIKE:.0%}"
        )


def _check_sides(model: SentimentModel, before: Sequence[tuple[float, float] | None], rows: NDArray[float32]) -> None:
    both = [at for at, side in enumerate(before) if side is not None]
    if len(both) < LEAST_CORRELATED:
        return
    for place, label in enumerate(_SIDES):
        old = [side[place] for side in before if side is not None]
        new = [float(figure) for figure in rows[both, model.card.labels.index(label)]]
        if len(set(old)) == 1:
            continue  # it is the one in use that does not look at the text
        found = statistics.correlation(old, new) if len(set(new)) > 1 else 0.0
        if found < LEAST_CORRELATION:
            raise ModelUnfit(
                f"model {model.reference} finds other posts {label} than the model in use: over {len(both)} sample "
                f"posts their figures correlate by {found:.2f}, and have to by {LEAST_CORRELATION}; are its labels in "
                "the order of its output's columns?"
            )
