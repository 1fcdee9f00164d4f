"""Figures, and what they are refused for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.models.export.agreement import (
    Agreement,
    chance_of,
    compare,
    require,
    require_same_graph,
    require_same_tokens,
)
from heartbeat.models.export.errors import ExportFailed

ROWS = np.asarray([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]], np.float32)


class Letters:
    def __init__(self, *, dropped: str = "") -> None:
        self._dropped = dropped

    def ids(self, text: str) -> list[int]:
        return [ord(sign) for sign in text if sign not in self._dropped or not self._dropped]


def test_figures() -> None:
    other = np.asarray([[0.6, 0.3, 0.1], [0.1, 0.4, 0.5], [0.3, 0.3, 0.4]], np.float32)
    found = compare(ROWS, other)
    assert (found.posts, found.same) == (3, 2)
    assert found.share == pytest.approx(2 / 3)
    assert found.largest == pytest.approx(0.1)
    assert found.mean == pytest.approx(0.4 / 9)


@pytest.mark.parametrize("broken", [ROWS[:2], ROWS * 2, ROWS * np.float32("nan"), ROWS[:, :2]])
def test_answers_that_are_no_probabilities(broken: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    with pytest.raises(ExportFailed, match="something else than a row of probabilities"):
        compare(ROWS, broken)


def test_too_many_other_labels_are_refused() -> None:
    require(Agreement(1000, 993, 0.1, 0.01), 0.993, "advice")
    require(Agreement(105, 104, 0.1, 0.01), 0.993, "advice")  # 99.05 %, but one of 105 proves nothing
    require(Agreement(10, 10, 0.1, 0.01), 1.0, "advice")
    with pytest.raises(
        ExportFailed, match=r"40 of 1000 posts another label .*96.00% agree, 99.3% are wanted\); advice"
    ):
        require(Agreement(1000, 960, 0.1, 0.01), 0.993, "advice")
    with pytest.raises(ExportFailed):
        require(Agreement(10, 9, 0.1, 0.01), 1.0, "advice")


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.floats(0, 1))
def test_chances(tries: int, probability: float) -> None:
    chances = [chance_of(least, tries, probability) for least in range(tries + 2)]
    assert chances[0] == 1
    assert chances[-1] == pytest.approx(0, abs=1e-9)
    assert all(0 <= later <= sooner + 1e-9 for sooner, later in zip(chances, chances[1:], strict=False))
    expected = 1 - (1 - probability) ** tries
    assert chances[1] == pytest.approx(expected, abs=1e-9)


def test_a_graph_that_computes_something_else() -> None:
    require_same_graph(Agreement(10, 10, 1e-5, 1e-6))
    with pytest.raises(ExportFailed, match="not the same function"):
        require_same_graph(Agreement(10, 10, 0.02, 0.001))


def test_a_tokenizer_that_differs_is_refused_without_giving_the_text_away() -> None:
    assert require_same_tokens(Letters(), Letters(), ["a secret", "b"]) == 2
    with pytest.raises(ExportFailed, match=r"differs from the original on text 2 of 2 \(8 characters\), from token 3"):
        require_same_tokens(Letters(), Letters(dropped="s"), ["nothing", "a secret"])
