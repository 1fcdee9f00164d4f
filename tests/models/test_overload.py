"""Overload: in time, back again, and without flapping, whatever the load does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.health import HealthBoard, State
from heartbeat.models.overload import LEAST_FAST_MS, PART, Overload
from heartbeat.testing.clock import FakeClock


class Load:
    """An overload whose lag and clock are the test's."""

    def __init__(self, most: int = 1000) -> None:
        self.clock, self.waiting = FakeClock(), 0
        self.board = HealthBoard(self.clock)
        self.overload = Overload(self.clock, self.board, most_posts=most, longest_s=30, model="fast")
        self.overload.lag = lambda: self.waiting

    def look(self, age_s: float | None = 0.0, partition: int = 0) -> bool:
        return self.overload.look(partition, None if age_s is None else self.clock.now_ms() - round(age_s * 1000))


def test_there_is_time_until_too_many_wait() -> None:
    it = Load()
    it.waiting = 999
    assert not it.look()
    assert it.board.get(PART) is None
    it.waiting = 1000
    assert it.look()
    status = it.board.get(PART)
    assert status is not None and status.state is State.WAITING and "scored by fast" in status.why


def test_there_is_time_until_the_oldest_waits_too_long() -> None:
    it = Load()
    assert not it.look(29.9)
    assert it.look(30)


@pytest.mark.parametrize("waiting, age_s, back", [(100, 3, True), (101, 3, False), (100, 3.1, False), (0, 0, True)])
def test_it_goes_back_only_when_it_has_caught_up(waiting: int, age_s: float, back: bool) -> None:
    it = Load()
    it.waiting = 1000
    it.look()
    it.clock.advance(LEAST_FAST_MS / 1000)
    it.waiting = waiting
    assert it.look(age_s) is not back
    assert (it.board.get(PART).state is State.OK) is back  # type: ignore[union-attr]


def test_it_does_not_flap() -> None:
    it = Load()
    switches, before = 0, False
    for second in range(600):  # more comes than can be scored: it piles up, and the fast model clears it at once
        it.waiting = 0 if before else min(it.waiting + 500, 5000)
        now = it.look()
        switches, before = switches + (now is not before), now
        it.clock.advance(1)
        assert second < 600
    assert switches <= 2 * 600 // 60 + 1


def test_what_waits_in_another_partition_counts_until_it_is_read() -> None:
    it = Load()
    assert it.look(40, partition=1)
    it.clock.advance(100)
    assert it.look(0, partition=0), "partition 1 was old when it was last looked at"
    assert not it.look(None, partition=1)


def test_a_setting_turns_it_off() -> None:
    it = Load(most=0)
    it.waiting = 10**6
    assert not it.look(10**6)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100), st.floats(-50, 100)), max_size=60))
def test_it_never_changes_back_sooner_than_it_says(steps: list[tuple[int, float, float]]) -> None:
    it = Load()
    began_ms: int | None = None
    for waiting, age_s, seconds in steps:
        it.waiting = waiting
        now = it.look(age_s)
        at_ms = it.clock.now_ms()
        if now and began_ms is None:
            began_ms = at_ms
        elif not now and began_ms is not None:
            assert at_ms - began_ms >= LEAST_FAST_MS
            began_ms = None
        if began_ms is not None and at_ms < began_ms:
            began_ms = at_ms
        it.clock.advance(seconds)
