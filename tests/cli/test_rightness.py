"""Shares and what they may mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.cli.rightness import LEAST, Rightness, period_of, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # the first two stand in R. G. Newcombe, Statistics in Medicine 17 (1998), as method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(right: int, count: int, low: float, high: float) -> None:
    found = wilson(right, count)
    assert found is not None and (round(found[0], 4), round(found[1], 4)) == (low, high)
    other = wilson(count - right, count)
    assert other is not None and round(1 - other[1], 9) == round(found[0], 9)


@given(st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_wilson_holds_the_share(of: tuple[int, int]) -> None:
    right, count = of
    found = wilson(right, count)
    assert found is not None and 0 <= found[0] <= right / count + 1e-12 and right / count - 1e-12 <= found[1] <= 1
    assert wilson(0, 0) is None


def test_periods_are_in_utc() -> None:
    assert period_of(1_764_547_199_999, "month") == "2025-11"
    assert period_of(1_764_547_200_000, "month") == "2025-12"
    assert period_of(1_735_603_200_000, "week") == "2025-W01", "the last days of 2024"
    assert period_of(-1, "month") == "1969-12"


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ((LEAST, LEAST), (LEAST // 2, LEAST), "worse"),
        ((LEAST // 2, LEAST), (LEAST, LEAST), "better"),
        ((LEAST, LEAST), (LEAST - 1, LEAST), "no difference shown"),
        ((LEAST - 1, LEAST - 1), (0, LEAST), "too few to tell"),
        ((LEAST, LEAST), (0, LEAST - 1), "too few to tell"),
        ((0, 0), (LEAST, LEAST), "too few to tell"),
        ((0, 0), (0, 0), "too few to tell"),
    ],
)
def test_the_trend(before: tuple[int, int], now: tuple[int, int], said: str) -> None:
    rightness = Rightness("month")
    for at_ms, (right, count) in ((0, before), (40 * 86_400_000, now)):
        for at in range(count):
            rightness.add("a", "a" if at < right else "b", lang="en", at_ms=at_ms)
    assert rightness.trend == said
