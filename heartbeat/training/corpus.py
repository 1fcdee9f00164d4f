"""Labelled texts as flat arrays of symbols, ready to be drawn from millions of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.text import MAX_CHARS
from heartbeat.training.alphabet import Alphabet, Symbols, symbols_of

WHOLE: Final = 0
"""A text that is always taken whole."""
WORDS: Final = 1
"""A text of which pieces are taken too, a few words long."""
CHARACTERS: Final = 2
"""As `WORDS`, for scripts without spaces: pieces are a few characters long."""


class Texts(NamedTuple):
    """Texts of one label and one source.

    Attributes:
        label: index of the label.
        source: where they come from.
        texts: prepared texts.
        pieces: `WHOLE`, `WORDS` or `CHARACTERS`.
        weight: how often one of these texts is drawn, against other groups' weights.
        shares: float64 [len(texts)], how often each is drawn within the group; None: all alike.
    """

    label: int
    source: str
    texts: Sequence[str]
    pieces: int
    weight: float
    shares: NDArray[np.float64] | None = None


class Corpus(NamedTuple):
    """Texts to train on.

    Attributes:
        symbols: uint16 [S], all texts one after another, each with the spaces around it.
        offsets: int64 [T + 1], text t is `symbols[offsets[t]:offsets[t + 1]]`.
        labels: int16 [T].
        pieces: uint8 [T].
        chances: float64 [T], cumulative, ends with 1: how texts are drawn.
    """

    symbols: Symbols
    offsets: NDArray[np.int64]
    labels: NDArray[np.int16]
    pieces: NDArray[np.uint8]
    chances: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices of `count` texts, drawn with replacement by their weights."""
        return np.searchsorted(self.chances, rng.random(count), side="right").clip(max=len(self.labels) - 1)


def build(groups: Sequence[Texts], alphabet: Alphabet) -> Corpus:
    """Lay texts out flat. Groups without texts are left out.

    Raises:
        ValueError: there is no text at all.
    """
    groups = [group for group in groups if group.texts]
    if not groups:
        raise ValueError("nothing to train on")
    symbols: list[Symbols] = []
    lengths: list[int] = []
    weights: list[NDArray[np.float64]] = []
    for group in groups:
        # NUL folds to a space. Each text gets one before and one behind it.
        framed = [f"\0{text[:MAX_CHARS]}\0" for text in group.texts]
        lengths.extend(map(len, framed))
        codes = np.frombuffer("".join(framed).encode("utf-32-le", "surrogatepass"), "<i4").astype(np.int32)
        symbols.append(symbols_of(codes, alphabet))
        shares = np.ones(len(framed)) if group.shares is None else group.shares
        weights.append(shares * (group.weight / shares.sum()))
    chances = np.cumsum(np.concatenate(weights))
    sizes = [len(group.texts) for group in groups]
    return Corpus(
        np.concatenate(symbols),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        np.repeat([group.label for group in groups], sizes).astype(np.int16),
        np.repeat([group.pieces for group in groups], sizes).astype(np.uint8),
        chances / chances[-1],
    )
