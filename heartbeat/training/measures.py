"""Figures of classifiers: accuracy by class, calibration, and how well one class stands apart."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]

_TEMPERATURES: Final = np.geomspace(0.4, 3.0, 121)


def recalls(labels: Labels, predicted: Labels, classes: int) -> dict[int, float]:
    """Share of each class's texts that were told right, for the classes that occur."""
    return {
        label: float((predicted[labels == label] == label).mean())
        for label in range(classes)
        if (labels == label).any()
    }


def macro_recall(labels: Labels, predicted: Labels, classes: int) -> float:
    """Mean of `recalls`: every class counts the same."""
    return float(np.mean(list(recalls(labels, predicted, classes).values())))


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int = 15) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of confidence."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = sum(
        abs(float(confidence[place == b].sum()) - float(right[place == b].sum()))
        for b in range(bins)
        if (place == b).any()
    )
    return total / len(labels)


def auroc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Chance that a positive scores higher than a negative; ties count half."""
    values, inverse, counts = np.unique(np.concatenate((positive, negative)), return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle[inverse][: len(positive)]
    n, m = len(positive), len(negative)
    del values
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))


def best_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The temperature that makes these probabilities (given at temperature 1) most likely to have been right."""
    logits = np.log(np.maximum(probabilities, 1e-30))
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[rows, labels]))

    return float(_TEMPERATURES[np.argmin([loss(t) for t in _TEMPERATURES])])
