"""Throws out training texts that are not in the language they are filed under.

Translations of manuals have untranslated lines, Malay web pages are Indonesian or English at times, subtitles are
misfiled. A first, short training learns from sources that can be trusted; where it is sure that a text of another
source is in another language than it says, the text is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from heartbeat.training import corpus, trainer
from heartbeat.training.alphabet import Alphabet
from heartbeat.training.corpus import Texts
from heartbeat.training.features import Hashing
from heartbeat.training.trainer import Model

TRUSTED: Final = frozenset({"cv", "cv-old", "ud", "dsl", "words", "other", "noise", "udhr", "own"})
"""Sources that people filed one text at a time: what looks wrong there is a hard case, to be learned."""

_TRUSTED_ENOUGH: Final = 1000
"""A language with fewer trusted texts than this learns from all of its sources at first."""

_SURE: Final = 0.8
_DOUBTFUL: Final = 0.05
_ROUGH: Final = {"xed": (0.5, 0.2)}
"""(sure, doubtful) of sources in which much is misfiled: a fifth of the subtitles filed as Serbian are Croatian."""


def trusted(groups: Sequence[Texts]) -> list[Texts]:
    """The groups to learn from at first."""
    counts = Counter[int]()
    for group in groups:
        counts[group.label] += len(group.texts) * (group.source in TRUSTED - {"words"})
    return [group for group in groups if group.source in TRUSTED or counts[group.label] < _TRUSTED_ENOUGH]


def clean(groups: Sequence[Texts], first: Model, alphabet: Alphabet, how: Hashing) -> tuple[list[Texts], int]:
    """Groups without misfiled texts, and how many were thrown out. Weights of groups stay.

    Args:
        groups: everything to train on.
        first: a model trained on `trusted(groups)`.
        alphabet: of `first`.
        how: of `first`.
    """
    kept: list[Texts] = []
    thrown = 0
    for group in groups:
        if group.source in TRUSTED or not group.texts:
            kept.append(group)
            continue
        packed = corpus.build([group], alphabet)
        scores = trainer.scores(packed.symbols, packed.offsets, how.numbers, how.bits, *first)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        scores /= scores.sum(1, keepdims=True)
        sure, doubtful = _ROUGH.get(group.source, (_SURE, _DOUBTFUL))
        misfiled = (scores[:, group.label] < doubtful) & (scores.max(1) > sure)
        texts = [text for text, wrong in zip(group.texts, misfiled.tolist(), strict=True) if not wrong]
        shares = None if group.shares is None else group.shares[~misfiled]
        thrown += len(group.texts) - len(texts)
        kept.append(group._replace(texts=texts, shares=shares))
    return kept, thrown
