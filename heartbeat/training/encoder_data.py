"""What the encoder learns from and is measured on, as flat arrays of token numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.encoder_text import normalise
from heartbeat.training import data
from heartbeat.training.sentiment_texts import LABELS

MAX_TOKENS: Final = 128
HELD_OUT_IN: Final = 12
"""One tweet in so many is kept back, by its text's checksum: 4,000 of 48,000."""
_POOL: Final = 50
"""So many batches are drawn together and then sorted by length, so that little of a batch is padding."""

# Weight of a text in the loss, by source: tweets are what is scored, comments speak otherwise.
_WEIGHTS: Final = {"semeval": 1.0, "goemotions": 0.5, "tweets": 0.5, "tweets2": 0.5}
_SHARES: Final = {"semeval": 1, "goemotions": 3, "tweets": 2, "tweets2": 2}
"""An epoch takes one text in so many, other ones each time."""
_UNLABELLED: Final = ("tweets", "tweets2")

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Texts(NamedTuple):
    """Labelled texts of one source, normalised.

    Attributes:
        source: where they come from.
        texts: each once.
        labels: int64 [T], 0 negative, 1 neutral, 2 positive.
    """

    source: str
    texts: Sequence[str]
    labels: Numbers


class Encoded(NamedTuple):
    """Texts as tokens, with what a model ought to answer.

    Attributes:
        ids: int32 [S], all texts' tokens one after another.
        offsets: int64 [T + 1], text t is `ids[offsets[t]:offsets[t + 1]]`.
        targets: float32 [T, 3], probabilities of the labels.
        priors: float32 [T, 3], logarithms of the labels' shares in the text's source.
        weights: float32 [T], of a text in the loss.
        shares: int64 [T], an epoch takes one text in so many of its source.
    """

    ids: NDArray[np.int32]
    offsets: Numbers
    targets: Floats
    priors: Floats
    weights: Floats
    shares: Numbers

    @property
    def lengths(self) -> Numbers:
        """Tokens of each text."""
        return np.diff(self.offsets)

    @property
    def labels(self) -> Numbers:
        """The most likely label of each text."""
        return np.asarray(self.targets.argmax(1))


class Sets(NamedTuple):
    """Texts to train on, and the sets to measure with.

    Attributes:
        train: a group for each source.
        unlabelled: tweets without a label (theirs are all 0), which only a student learns from.
        held_out: tweets kept back.
        validation: TweetEval's.
        comments: GoEmotions' own.
    """

    train: list[Texts]
    unlabelled: list[Texts]
    held_out: Texts
    validation: Texts
    comments: Texts


def sets(folder: Path, permissive: bool = False) -> Sets:
    """Read everything. With `permissive`, what is trained on is free of research-only sources."""
    tweets = _read(folder, "semeval", "semeval2013-2016_train")
    back = np.array([data.held_out(text, HELD_OUT_IN) for text in tweets.texts])
    validation = _read(folder, "semeval", "tweeteval_val")
    # Collections overlap once mentions and links are alike: what is measured with is never trained on.
    measured = set(validation.texts)
    known = back | np.array([text in measured for text in tweets.texts])
    train = [_chosen(tweets, ~known), _read(folder, "goemotions", "goemotions_train")]
    kept = _chosen(tweets, back)
    seen = measured | set(kept.texts) | set(train[0].texts)
    return Sets(
        _allowed(train, permissive),
        _allowed(_unlabelled(folder, seen), permissive),
        kept,
        validation,
        _read(folder, "goemotions", "goemotions_dev"),
    )


def _allowed(groups: Sequence[Texts], permissive: bool) -> list[Texts]:
    return [texts for texts in groups if not (permissive and data.terms_of(texts.source).research_only)]


def _unlabelled(folder: Path, seen: set[str]) -> list[Texts]:
    """English tweets from what the languages are learned from, without those that are known with a label."""
    found: dict[str, dict[str, None]] = {source: {} for source in _UNLABELLED}
    for source, *text in data.rows(folder / "language" / "train" / "en.tsv.xz"):
        if source in found and (clean := normalise(" ".join(text))) and clean not in seen:
            found[source][clean] = None
    return [Texts(source, list(texts), np.zeros(len(texts), np.int64)) for source, texts in found.items() if texts]


def _read(folder: Path, source: str, name: str) -> Texts:
    found: dict[str, int] = {}
    for label, *text in data.rows(folder / "sentiment" / f"{name}.tsv.xz"):
        if clean := normalise(" ".join(text)):
            found.setdefault(clean, int(label))
    return Texts(source, list(found), np.array(list(found.values()), np.int64))


def _chosen(texts: Texts, which: NDArray[np.bool_]) -> Texts:
    return Texts(
        texts.source, [text for text, kept in zip(texts.texts, which, strict=True) if kept], texts.labels[which]
    )


def encode(groups: Sequence[Texts], tokenizer: Any, smoothing: float = 0.0) -> Encoded:
    """Tokens of all texts of all groups.

    Args:
        groups: at least one; a source that stands alone is taken whole in every epoch.
        tokenizer: as `encoder_start.tokenizer` gives it.
        smoothing: share of a target that is spread over all labels.
    """
    ids = [_row.ids for group in groups for _row in tokenizer.encode_batch(list(group.texts))]
    labels = np.concatenate([group.labels for group in groups])
    sizes = [len(group.texts) for group in groups]
    priors = [np.log(np.bincount(group.labels, minlength=len(LABELS)) + 1.0) for group in groups]
    alone = len(groups) == 1
    targets = np.eye(len(LABELS), dtype=np.float32)[labels] * (1 - smoothing) + smoothing / len(LABELS)
    return Encoded(
        np.concatenate([np.array(row, np.int32) for row in ids]),
        np.concatenate(([0], np.cumsum([len(row) for row in ids]))).astype(np.int64),
        targets.astype(np.float32),
        np.repeat([prior - np.log(np.exp(prior).sum()) for prior in priors], sizes, axis=0).astype(np.float32),
        np.repeat([1.0 if alone else _WEIGHTS[group.source] for group in groups], sizes).astype(np.float32),
        np.repeat([1 if alone else _SHARES[group.source] for group in groups], sizes).astype(np.int64),
    )


def joined(first: Encoded, second: Encoded) -> Encoded:
    """Both, one after the other."""
    offsets = np.concatenate((first.offsets, second.offsets[1:] + first.offsets[-1]))
    parts = {name: np.concatenate((getattr(first, name), getattr(second, name))) for name in first._fields}
    return Encoded(**{**parts, "offsets": offsets})


def batches(encoded: Encoded, size: int, seed: int, epoch: int) -> list[Numbers]:
    """An epoch's batches, each the indices of up to `size` texts of like length; a function of its arguments alone."""
    rng = np.random.default_rng((seed, epoch))
    # The same for every epoch, so that the epochs take turns through a source of which only a share is taken.
    turns = np.random.default_rng(seed).permutation(len(encoded.shares))
    order = rng.permutation(np.flatnonzero((turns + epoch) % encoded.shares == 0))
    found: list[Numbers] = []
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        pool = pool[np.argsort(encoded.lengths[pool], kind="stable")]
        found += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [found[place] for place in rng.permutation(len(found))]


def padded(encoded: Encoded, which: Numbers) -> tuple[Numbers, Numbers]:
    """Token numbers and mask, both int64 [len(which), L], of some texts; padding is 0 in both."""
    lengths = encoded.lengths[which]
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([encoded.ids[encoded.offsets[text] : encoded.offsets[text + 1]] for text in which])
    return ids, mask.astype(np.int64)
