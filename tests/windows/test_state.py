"""Adding up, taking back and the life of one window."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.records import Figures, Pulse, Scored
from heartbeat.testing import oracle
from heartbeat.windows import state as life
from heartbeat.windows.ids import Layout, WindowId
from heartbeat.windows.state import WindowState
from heartbeat.windows.tally import Tally, millionths

SIZES = (10, 60)
LAYOUT = Layout(SIZES)


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """A post's score; the floats are as unround as floats are."""
    time_ms, lang = draw(st.integers(0, 120_000)), draw(st.sampled_from(["en", "de", "und"]))
    source, task = draw(st.sampled_from(["x", "reddit"])), draw(st.sampled_from("ab"))
    plain = Scored(str(draw(st.integers(0, 10**9))), source, "demo", task, "add", 0, time_ms, lang, 0.5)
    if draw(st.booleans()):
        return plain._replace(unscored_reason="none")
    pos, neu, neg = (draw(st.floats(0, 1)) for _ in range(3))
    label = draw(st.sampled_from(["positive", "neutral", "negative", "mixed"]))
    return plain._replace(pos=pos, neu=neu, neg=neg, label=label, model=draw(st.sampled_from(["m/1", "n/2"])))


def apply(states: dict[WindowId, WindowState], posts: list[Scored], layout: Layout = LAYOUT) -> None:
    tally = Tally(layout)
    for post in posts:
        tally.count(post)
    for key, delta in tally.deltas().items():
        window = WindowId._make(key)
        after = life.changed(states.get(window), delta, 5)
        if after is None:
            states.pop(window, None)
        else:
            states[window] = after


def expected(posts: list[Scored], sizes: tuple[int, ...] = SIZES) -> dict[oracle.Window, oracle.Held]:
    return oracle.windows(
        (
            oracle.Standing(
                p.task,
                "live",
                p.source,
                p.id,
                p.time_ms,
                oracle.Judged(p.lang, p.label, p.pos or 0.0, p.neu or 0.0, p.neg or 0.0, p.model),
            )
            for p in posts
        ),
        sizes,
    )


def held(states: dict[WindowId, WindowState]) -> dict[oracle.Window, oracle.Held]:
    pulses = [state.pulse(window, 0) for window, state in states.items()]
    return {
        oracle.Window(pulse.task, pulse.size_s, pulse.start_ms): oracle.Held(
            pulse.overall, pulse.by_lang, pulse.by_source, pulse.by_model
        )
        for pulse in pulses
    }


@given(
    st.lists(scored(), max_size=30),
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.sampled_from([SIZES, (4, 6), (7,), (6, 10, 15)]),
)
def test_neither_order_nor_batches_nor_what_was_taken_back_matter(
    posts: list[Scored], seed: int, size: int, sizes: tuple[int, ...]
) -> None:
    dice = random.Random(seed)
    kept = posts[: len(posts) // 2]
    ordered: list[tuple[float, Scored]] = []
    for at, post in enumerate(posts):
        ordered.append((dice.random(), post))
        if at >= len(kept):
            ordered.append((ordered[-1][0] + dice.random(), post._replace(op="retract")))
    ordered.sort(key=lambda pair: pair[0])
    states: dict[WindowId, WindowState] = {}
    for start in range(0, len(ordered), size):
        apply(states, [post for _, post in ordered[start : start + size]], Layout(sizes))
    assert held(states) == expected(kept, sizes)


@given(st.lists(scored(), min_size=1, max_size=10), st.booleans(), st.none() | st.integers(0, 10**13))
def test_a_row_is_read_back_as_it_was(posts: list[Scored], final: bool, published_ms: int | None) -> None:
    states: dict[WindowId, WindowState] = {}
    apply(states, posts)
    for state in states.values():
        kept = state._replace(final=final, published_ms=published_ms)
        assert WindowState.from_bytes(kept.to_bytes()) == kept


def one_post(op: str = "add") -> list[Scored]:
    post = Scored("1", "x", "demo", "a", "add", 0, 3000, "en", 0.9, 0.5, 0.3, 0.2, "positive", None, "m/1")
    return [post._replace(op="retract") if op == "retract" else post]


WINDOW = WindowId("a", 10, 0)


def test_the_life_of_a_window() -> None:
    states: dict[WindowId, WindowState] = {}
    apply(states, one_post())
    state = states[WINDOW]
    assert (state.revision, state.final, state.dirty, state.published_ms) == (0, False, True, None)
    interim = life.published(state, 7)
    assert (interim.revision, interim.final, interim.dirty, interim.published_ms) == (0, False, False, 7)
    closed = life.closed(interim, 8)
    assert (closed.revision, closed.final, closed.dirty, closed.published_ms) == (1, True, False, 8)
    states[WINDOW] = closed
    apply(states, one_post())
    corrected = life.published(states[WINDOW], 9)
    assert (corrected.revision, corrected.final, corrected.dirty, corrected.published_ms) == (2, True, False, 9)
    assert corrected.overall[0] == 2
    assert corrected.pulse(WINDOW, 3) == Pulse(
        *("a", 10, 0, 2, True, 3),
        Figures(2, 0, 2, 0, 0, 0, 1_000_000, 600_000, 400_000),
        {"en": Figures(2, 0, 2, 0, 0, 0, 1_000_000, 600_000, 400_000)},
        {"x": Figures(2, 0, 2, 0, 0, 0, 1_000_000, 600_000, 400_000)},
        {"m/1": 2},
    )


def test_a_window_that_nobody_was_told_of_goes_without_a_trace() -> None:
    states: dict[WindowId, WindowState] = {}
    apply(states, one_post())
    apply(states, one_post("retract"))
    assert not states
    apply(states, one_post() + one_post("retract"))
    assert not states


def test_one_that_was_published_stays_and_says_zero() -> None:
    states: dict[WindowId, WindowState] = {}
    apply(states, one_post())
    states[WINDOW] = life.published(states[WINDOW], 7)
    apply(states, one_post("retract"))
    assert states[WINDOW].dirty
    assert not any(states[WINDOW].overall)
    assert not states[WINDOW].by_lang


def test_what_changes_nothing_is_no_change() -> None:
    states: dict[WindowId, WindowState] = {}
    apply(states, one_post())
    states[WINDOW] = before = life.published(states[WINDOW], 7)
    apply(states, one_post() + one_post("retract"))
    assert states[WINDOW] is before


def test_millionths_round_to_the_nearest() -> None:
    assert [millionths(p) for p in (0.0, 0.1234564, 0.1234566, 1.0)] == [0, 123_456, 123_457, 1_000_000]
    assert all(millionths(a / 1e6) + 1 == millionths(b / 1e6) for a, b in pairwise(range(0, 10**6, 1)) if a % 9973 == 0)


def test_a_row_that_does_not_know_who_scored_its_posts_never_counts_below_zero() -> None:
    """As one of an earlier version, whose posts are taken back after the upgrade."""
    states: dict[WindowId, WindowState] = {}
    apply(states, [one_post()[0]._replace(id=str(number)) for number in range(3)])
    states[WINDOW] = states[WINDOW]._replace(by_model={})
    apply(states, one_post("retract"))
    assert states[WINDOW].by_model == {} and states[WINDOW].overall[0] == 2
    apply(states, [one_post()[0]._replace(id="9")])
    assert states[WINDOW].by_model == {"m/1": 1}
