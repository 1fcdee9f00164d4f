"""Whether the new model still says what the original says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.export.errors import ExportFailed

Probabilities = NDArray[np.float32]

_CHANCE: Final = 0.01
"""How often a model that keeps what is promised may be refused, because the posts happened to be against it."""

_EXACT: Final = 1e-3
"""What a graph in 32-bit floats may be off by: rounding makes some 10⁻⁶."""


class Tokenizes(Protocol):
    """Something that turns texts into tokens."""

    def ids(self, text: str) -> list[int]:
        """A prepared text's tokens."""
        ...


@dataclass(frozen=True)
class Agreement:
    """How far two models' answers to the same posts agree.

    Attributes:
        posts: how many.
        same: how many got the same label.
        largest, mean: the difference of probabilities, over all posts and labels.
    """

    posts: int
    same: int
    largest: float
    mean: float

    @property
    def share(self) -> float:
        """Of posts with the same label."""
        return self.same / self.posts


def compare(original: Probabilities, new: Probabilities) -> Agreement:
    """Hold float32 [N, K] against float32 [N, K].

    Raises:
        ExportFailed: an answer is not a row of probabilities.
    """
    if new.shape != original.shape or not np.isfinite(new).all() or not np.allclose(new.sum(axis=1), 1, atol=1e-3):
        raise ExportFailed(
            "the exported graph answers with something else than a row of probabilities for each post; this is a fault "
            "of the export: please report it, with the model's name"
        )
    difference = np.abs(original.astype(np.float64) - new)
    same = int((original.argmax(axis=1) == new.argmax(axis=1)).sum())
    return Agreement(len(new), same, float(difference.max()), float(difference.mean()))


def require_same_tokens(original: Tokenizes, new: Tokenizes, texts: Sequence[str]) -> int:
    """Check that two tokenizers agree on every text; how many there were.

    Raises:
        ExportFailed: they do not; says on which text, without giving it away.
    """
    for number, text in enumerate(texts, 1):
        expected, found = original.ids(text), new.ids(text)
        if expected != found:
            at = next(
                (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
                min(len(expected), len(found)),
            )
            raise ExportFailed(
                f"the exported tokenizer differs from the original on text {number} of {len(texts)} ({len(text)} "
                f"characters), from token {at + 1}; this model's tokenizer cannot be run without transformers: choose "
                "another model"
            )
    return len(texts)


def require_same_graph(found: Agreement) -> None:
    """Check that a graph in 32-bit floats computes what the original computes.

    Raises:
        ExportFailed: it does not.
    """
    if found.largest > _EXACT:
        raise ExportFailed(
            f"the exported graph is not the same function as the original: probabilities differ by up to "
            f"{found.largest:.4f} before anything was quantised; use the versions of deploy/requirements-export.lock"
        )


def enough(found: Agreement, least: float) -> bool:
    """Whether enough posts got the label that the original gives them.

    A few posts tell little: 1 of 100 with another label is no proof against 99.3 %. What is not enough is a number of
    other labels that a model which keeps `least` would show once in a hundred times.
    """
    different = found.posts - found.same
    return not different or chance_of(different, found.posts, 1 - least) >= _CHANCE


def require(found: Agreement, least: float, advice: str) -> None:
    """Check that it is `enough`.

    Raises:
        ExportFailed: there are too many other labels.
    """
    if not enough(found, least):
        different = found.posts - found.same
        raise ExportFailed(
            f"the exported model gives {different} of {found.posts} posts another label than the original "
            f"({found.share:.2%} agree, {least:.1%} are wanted); {advice}"
        )


def chance_of(least: int, tries: int, probability: float) -> float:
    """The chance of `least` or more hits among independent tries (binomial, upper tail)."""
    if probability <= 0:
        return float(least <= 0)
    if probability >= 1:
        return float(least <= tries)
    below = math.fsum(
        math.exp(
            math.lgamma(tries + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(tries - hits + 1)
            + hits * math.log(probability)
            + (tries - hits) * math.log1p(-probability)
        )
        for hits in range(least)
    )
    return max(0.0, 1 - below)
