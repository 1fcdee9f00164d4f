"""The scores: held against numbers worked out elsewhere, against their properties, and against chance."""

from __future__ import annotations

import random
from math import comb, isclose, sqrt
from statistics import NormalDist, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.insights.shift import LEAST_POSTS, Part, distance, interval, shift, wilson
from heartbeat.insights.spike import LEAST_WINDOWS, spike
from heartbeat.insights.strength import HIGH, MAD_TO_SIGMA, VERY_HIGH, strength

counts = st.integers(0, 100_000)
references = st.lists(counts, min_size=LEAST_WINDOWS, max_size=96)


@st.composite
def parts(draw: st.DrawFn, least: int = 0, most: int = 5_000) -> Part:
    posts = draw(st.integers(least, most))
    return Part(draw(st.integers(0, posts)), posts)


histories = st.lists(parts(), min_size=LEAST_WINDOWS, max_size=60)


def poisson(chance: random.Random, mean: float) -> int:
    """Counts the arrivals of a Poisson process within a unit of time."""
    arrivals, time = 0, chance.expovariate(mean)
    while time < 1:
        arrivals += 1
        time += chance.expovariate(mean)
    return arrivals


def test_the_constant_is_that_of_the_normal_distribution() -> None:
    assert isclose(MAD_TO_SIGMA, 1 / NormalDist().inv_cdf(0.75), rel_tol=1e-12)


def test_a_spike_worked_out_by_hand() -> None:
    # y = 2 √(x + 3/8): 24 × 10 gives 6.4420, a MAD of 0, so a spread of 1; 30 gives 11.0227.
    scored = spike(30, [10] * 24)
    assert scored is not None
    assert scored.z == pytest.approx(2 * sqrt(30.375) - 2 * sqrt(10.375))
    assert round(scored.z, 4) == 4.5807
    assert (scored.strength, scored.usual, scored.windows) == ("high", 10, 24)
    # (6.4420 ± 3.5)² / 4 − 3/8 = 1.79 … 24.33
    assert (scored.low, scored.high) == (2, 24)


def test_where_counts_vary_more_than_chance_the_spread_is_theirs() -> None:
    reference = [5, 20, 80] * 10
    scored = spike(300, reference)
    assert scored is not None
    y = [2 * sqrt(x + 3 / 8) for x in (5, 20, 80)]
    # a third of the distances is 0, a third 9.03 − 4.64, a third 17.93 − 9.03: the median is the one in the middle
    assert scored.z == pytest.approx((2 * sqrt(300.375) - y[1]) / (1.482602 * (y[1] - y[0])), rel=1e-6)
    assert scored.strength == "high"


@given(counts, references)
def test_a_spike_is_a_robust_z(count: int, reference: list[int]) -> None:
    scored = spike(count, reference)
    assert scored is not None
    assert scored.usual == median(reference)
    assert (scored.low <= count <= scored.high) == (scored.strength == "usual")
    assert spike(count, reference[::-1]) == scored
    assert strength(scored.z) == scored.strength


@given(references, counts, counts)
def test_more_posts_never_score_lower(reference: list[int], one: int, other: int) -> None:
    fewer, more = spike(min(one, other), reference), spike(max(one, other), reference)
    assert fewer is not None and more is not None
    assert fewer.z <= more.z


@given(st.lists(st.integers(50, 60), min_size=60, max_size=96), st.integers(0, 9), st.integers(0, 10**6))
def test_a_few_outliers_before_hide_nothing(reference: list[int], many: int, outlier: int) -> None:
    scored = spike(300, [*reference, *[outlier] * many])
    assert scored is not None
    assert scored.strength == "very high"


@given(counts, st.lists(counts, max_size=LEAST_WINDOWS - 1))
def test_of_too_few_windows_nothing_is_said(count: int, reference: list[int]) -> None:
    assert spike(count, reference) is None


@pytest.mark.parametrize(("mean", "most"), [(0.2, 0.003), (2, 0.003), (20, 0.003), (200, 0.003)])
def test_chance_alone_hardly_ever_raises_an_alarm(mean: float, most: float) -> None:
    chance = random.Random(11)
    stream = [poisson(chance, mean) for _ in range(6_000)]
    alarms = sum(
        1 for at in range(96, 6_000) if (s := spike(stream[at], stream[at - 96 : at])) and s.strength != "usual"
    )
    assert alarms / (6_000 - 96) <= most


@pytest.mark.parametrize(("mean", "least"), [(10, 0.8), (30, 0.999), (100, 0.999)])
def test_three_times_as_many_posts_are_found(mean: float, least: float) -> None:
    chance = random.Random(5)
    found = 0
    for _ in range(400):
        scored = spike(poisson(chance, 3 * mean), [poisson(chance, mean) for _ in range(96)])
        found += scored is not None and scored.z >= HIGH
    assert found / 400 >= least


def test_intervals_are_those_of_the_paper() -> None:
    # Newcombe 1998, table II: 56/70 − 48/80 and 9/10 − 3/10, method 10
    assert [round(bound, 4) for bound in interval(Part(56, 70), Part(48, 80))] == [0.0524, 0.3339]
    assert [round(bound, 4) for bound in interval(Part(9, 10), Part(3, 10))] == [0.1705, 0.8090]
    # Newcombe 1998 (one proportion), table I: 15 of 148 and 0 of 20
    assert [round(bound, 4) for bound in wilson(Part(15, 148))] == [0.0624, 0.1605]
    assert [round(bound, 4) for bound in wilson(Part(0, 20))] == [0.0, 0.1611]


def test_a_shift_worked_out_by_hand() -> None:
    # asin √(60.375/100.75) = 0.885317, asin √(480.375/2400.75) = 0.463765; noise √(1/100.5 + 1/2400.5) = 0.101818
    scored = shift(Part(60, 100), [Part(20, 100)] * 24)
    assert scored is not None
    assert scored.z == pytest.approx(8.2805, abs=5e-4)
    assert (scored.strength, scored.share, scored.usual) == ("very high", 0.6, 0.2)
    assert (scored.posts, scored.reference_posts, scored.spread) == (100, 2400, 1.0)
    assert scored.difference == pytest.approx(0.4)


def test_one_of_one_is_no_alarm() -> None:
    assert shift(Part(1, 1), [Part(1, 100)] * 96) is None
    assert shift(Part(LEAST_POSTS - 1, LEAST_POSTS - 1), [Part(1, 100)] * 96) is None
    assert distance(Part(1, 1), Part(10, 100)) < HIGH


@given(parts(LEAST_POSTS), histories)
def test_a_shift_says_where_the_share_lies(now: Part, reference: list[Part]) -> None:
    scored = shift(now, reference)
    before = sum(part.posts for part in reference)
    assert (scored is None) == (before < LEAST_POSTS)
    if scored is None:
        return
    assert -1 <= scored.low <= scored.difference <= scored.high <= 1
    assert scored.spread >= 1
    assert shift(now, reference[::-1]) == scored
    other = shift(
        Part(now.posts - now.hits, now.posts), [Part(part.posts - part.hits, part.posts) for part in reference]
    )
    assert other is not None
    assert other.z == pytest.approx(-scored.z, abs=1e-6)
    assert other.difference == pytest.approx(-scored.difference)


@given(parts(LEAST_POSTS), parts(LEAST_POSTS))
def test_a_large_distance_is_a_difference(one: Part, other: Part) -> None:
    low, high = interval(one, other)
    assert distance(one, other) == pytest.approx(-distance(other, one))
    if abs(distance(one, other)) >= HIGH:
        assert low > 0 or high < 0


def tail(share: float, posts: int, reference: Part) -> float:
    """The exact probability that chance alone raises an alarm, of either sign."""
    return sum(
        comb(posts, hits) * share**hits * (1 - share) ** (posts - hits)
        for hits in range(posts + 1)
        if abs(distance(Part(hits, posts), reference)) >= HIGH
    )


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("posts", [20, 50, 200])
def test_chance_alone_hardly_ever_shifts_a_share(share: float, posts: int) -> None:
    assert tail(share, posts, Part(round(100_000 * share), 100_000)) < 0.002


def test_the_common_score_would_raise_false_alarms() -> None:
    def pooled(hits: int) -> float:
        p, q = (hits + 1) / 22, 5_001 / 100_002
        both = (hits + 5_002) / 100_024
        return (p - q) / sqrt(both * (1 - both) * (1 / 22 + 1 / 100_002))

    alarms = sum(comb(20, hits) * 0.05**hits * 0.95 ** (20 - hits) for hits in range(21) if pooled(hits) >= HIGH)
    assert 1 / 70 < alarms < 1 / 50
    assert tail(0.05, 20, Part(5_000, 100_000)) < 1e-4


def test_shares_that_always_vary_are_no_alarm() -> None:
    chance = random.Random(3)

    def window(share: float) -> Part:
        return Part(sum(chance.random() < share for _ in range(1_000)), 1_000)

    restless = [window(chance.choice((0.2, 0.3, 0.4))) for _ in range(96)]
    steady = [window(0.3) for _ in range(96)]
    now = window(0.38)
    calm, sure = shift(now, restless), shift(now, steady)
    assert calm is not None and sure is not None
    assert calm.strength == "usual" and calm.spread > 3
    assert sure.strength in ("high", "very high") and sure.spread < 1.5


def test_words_begin_at_their_bounds() -> None:
    words = [strength(z) for z in (-VERY_HIGH, -HIGH, -3.49, 0, 3.49, HIGH, VERY_HIGH)]
    assert words == ["very low", "low", "usual", "usual", "usual", "high", "very high"]
