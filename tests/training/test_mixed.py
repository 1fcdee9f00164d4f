"""The rule for mixed posts on contrastive examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from heartbeat.training.mixed import Found, best, examples, grid


def test_there_are_enough_examples_in_five_languages() -> None:
    counts = Counter((example.lang, example.label) for example in examples())
    assert {lang for lang, _ in counts} == {"de", "en", "es", "fr", "it"}
    assert sum(count for (_, label), count in counts.items() if label == "mixed") >= 100
    assert all(counts[lang, label] >= 8 for lang, _ in counts for label in ("mixed", "positive", "negative"))
    assert len({example.text for example in examples()}) == len(examples())


def test_the_grid_counts_what_the_rule_says() -> None:
    scores = np.array([[0.45, 0.10, 0.45], [0.90, 0.05, 0.05], [0.30, 0.40, 0.30]])
    found = {(each.mixed_from, each.neutral_to): each for each in grid(scores, np.array([True, False, True]))}
    assert found[0.30, 0.30][2:] == (0.5, 0.0, 0.0)
    assert found[0.30, 0.40][2:] == (1.0, 0.0, 0.0)
    assert found[0.35, 0.40][2:] == (0.5, 0.0, 0.0)
    assert found[0.10, 0.60][2:] == (1.0, 0.0, 0.0)


def test_the_grid_counts_posts_out_there_that_are_taken_for_mixed() -> None:
    scores, real = (
        np.array([[0.45, 0.10, 0.45], [0.90, 0.05, 0.05]]),
        np.array([[0.30, 0.40, 0.30], [0.35, 0.25, 0.40]]),
    )
    found = {(each.mixed_from, each.neutral_to): each.real for each in grid(scores, np.array([True, False]), real)}
    assert found[0.30, 0.30] == 0.5 and found[0.30, 0.40] == 1.0 and found[0.40, 0.60] == 0.0


def test_the_best_pair_takes_few_plain_texts() -> None:
    table = [Found(0.1, 0.8, 0.9, 0.2), Found(0.2, 0.5, 0.6, 0.05), Found(0.3, 0.3, 0.6, 0.01)]
    assert best(table) == table[2]
    assert best(table[:1]) == table[0]
    assert best(table, most_taken=0.3) == pytest.approx(table[0])
    assert best([table[1], table[2]._replace(found=0.7, real=0.06)]) == table[1]
