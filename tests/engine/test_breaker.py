from __future__ import annotations

from heartbeat.engine.breaker import FIRST_PROBE_S, LONGEST_PROBE_S, Breaker


def dead(breaker: Breaker, count: int, partition: int = 0) -> int:
    """How many of so many failing messages are thrown out."""
    for done in range(count):
        if breaker.would_trip(partition):
            return done
        breaker.died(partition)
    return count


def test_the_twentieth_in_a_row_is_not_thrown_out() -> None:
    breaker = Breaker()
    assert dead(breaker, 100) == 19


def test_one_that_goes_through_begins_a_new_row() -> None:
    breaker = Breaker()
    for _ in range(5):
        assert dead(breaker, 19) == 19
        breaker.succeeded(0, 1)


def test_rows_are_counted_for_each_partition() -> None:
    breaker = Breaker()
    for _ in range(19):
        assert dead(breaker, 1, partition=0) == 1
        breaker.succeeded(1, 500)
    assert dead(breaker, 1, partition=0) == 0


def test_a_fifth_of_the_last_500_is_too_many() -> None:
    breaker = Breaker()
    thrown = 0
    while dead(breaker, 1):
        thrown += 1
        breaker.succeeded(0, 3)
    assert thrown == 99
    for _ in range(20):
        breaker.succeeded(0, 100)
    assert dead(breaker, 1) == 1


def test_one_in_six_goes_on_for_ever() -> None:
    breaker = Breaker()
    for _ in range(2000):
        assert dead(breaker, 1) == 1
        breaker.succeeded(0, 5)


def test_only_the_partition_it_stands_in_tries_again_and_ever_more_rarely() -> None:
    breaker = Breaker()
    dead(breaker, 20, partition=2)
    now = 1000.0
    waits = []
    for _ in range(8):
        breaker.trip(2, now)
        waits.append(breaker.wait_s(2, now))
        now += waits[-1]
        assert breaker.wait_s(2, now) == 0
        assert breaker.wait_s(0, now) > 0
    assert waits[0] == FIRST_PROBE_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_PROBE_S


def test_it_closes_when_the_message_goes_through() -> None:
    breaker = Breaker()
    dead(breaker, 20, partition=2)
    breaker.trip(2, 0.0)
    breaker.succeeded(0, 10)
    assert breaker.tripped_by == 2
    breaker.succeeded(2, 1)
    assert breaker.wait_s(2, 0.0) == 0
    assert not breaker.is_open
    assert dead(breaker, 100, partition=2) == 19
