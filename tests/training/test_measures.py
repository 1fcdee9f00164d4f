"""Figures against ones reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from heartbeat.training import measures


def test_macro_recall_counts_every_class_the_same() -> None:
    labels = np.array([0, 0, 0, 0, 1])
    assert measures.macro_recall(labels, np.array([0, 0, 0, 1, 1]), 3) == pytest.approx((0.75 + 1) / 2)


def test_auroc_counts_pairs_in_order_and_ties_half() -> None:
    positive, negative = np.array([0.9, 0.5, 0.5], np.float32), np.array([0.5, 0.1], np.float32)
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert measures.auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))


def test_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.8, 0.2]] * 10, np.float32)
    assert measures.calibration_error(probabilities, np.array([0] * 8 + [1] * 2)) == pytest.approx(0, abs=1e-6)
    assert measures.calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.3)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    sharp = np.exp(logits * 2) / np.exp(logits * 2).sum(1, keepdims=True)
    assert measures.best_temperature(sharp.astype(np.float32), labels) == pytest.approx(2, rel=0.06)
