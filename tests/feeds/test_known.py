from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.engine.log import Put, UnitWrite
from heartbeat.feeds.known import Gone, Known
from heartbeat.feeds.owed import Owed
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Kept:
    """A log and what is known in it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = MemoryLog(self.clock)
        self.owed = Owed(self.log, self.clock, content_ms=DAY_MS)
        self.known = Known(self.log, "f", horizon_ms=DAY_MS, now_ms=self.clock.now_ms, owed=self.owed)

    def write(self, puts: Sequence[Put]) -> None:
        async def write() -> None:
            await self.log.write(UnitWrite(puts=puts))

        asyncio.run(write())

    def add(self, author: str, *ids: str, seen_ms: int = 0) -> None:
        unit = self.known.open([author])
        for post_id in ids:
            unit.add(author, post_id, seen_ms)
        self.write(unit.puts())

    def has(self, author: str, post_id: str, seen_ms: int = 10**15) -> bool:
        return self.known.open([author]).has(author, post_id, seen_ms)

    def take(self, author: str, seen_ms: int) -> list[str]:
        unit = self.known.open([author])
        ids, rest = unit.take(Gone(author, "x", seen_ms), 10**6)
        assert rest is None
        self.write(unit.puts())
        return ids

    def rows(self) -> int:
        return self.log.state("known-f").count(0)

    def forget(self) -> None:
        while puts := self.known.forgotten():
            self.write(puts)


def test_what_was_not_written_is_not_known() -> None:
    kept = Kept()
    unit = kept.known.open(["a"])
    unit.add("a", "1", 5)
    assert unit.has("a", "1", 5) and not unit.has("a", "1", 4)
    assert not kept.has("a", "1")
    kept.write(unit.puts())
    assert kept.has("a", "1") and not kept.has("b", "1")


def test_an_author_who_writes_all_day_costs_a_small_row_with_each_post() -> None:
    kept = Kept()
    for number in range(1000):
        unit = kept.known.open(["a"])
        unit.add("a", str(number), number)
        puts = unit.puts()
        assert sum(len(put.value or b"") for put in puts) < 2000
        kept.write(puts)
    assert all(kept.has("a", str(number)) for number in range(1000))
    assert sorted(kept.take("a", 499), key=int) == [str(number) for number in range(500)]
    assert not kept.has("a", "499") and kept.has("a", "500")
    assert len(kept.take("a", 10**15)) == 500
    assert kept.rows() == 0


def test_an_account_that_wrote_all_day_is_taken_in_bounded_units_which_go_on_after_any_crash() -> None:
    kept = Kept()
    for at in range(0, 20_000, 1000):
        kept.add("a", *map(str, range(at, at + 1000)))
    taken: list[str] = []
    rest: Gone | None = Gone("a", "x", 5)
    while rest is not None:
        kept.known.open(["a"]).take(rest, 100)  # killed before it is durable
        unit = kept.known.open(["a"])
        ids, left = unit.take(rest, 100)
        puts = unit.puts()
        assert len(ids) <= 100 + 32 and len(puts) < len(ids) + 10
        kept.write(puts)
        taken += ids
        rest = kept.known.unfinished()
        assert (rest is None) == (left is None)
    assert sorted(taken, key=int) == [str(number) for number in range(20_000)]
    assert kept.rows() == 0
    assert not any(kept.owed.due()), "not before its time"
    kept.clock.advance(600)
    owed = kept.owed.due()
    assert (len(owed.posts), owed.authors) == (9_999, {"a"}), "of very much, some at a time"
    kept.write(kept.owed.done(owed))
    assert len(kept.owed.due().posts) == 10_000


def test_posts_are_known_for_the_horizon_from_when_they_were_passed_on_last() -> None:
    kept = Kept()
    kept.add("a", *map(str, range(100)))
    kept.add("b", "1")
    kept.clock.advance(12 * 3600)
    kept.add("a", "100")
    kept.add("b", "1")
    kept.clock.advance(13 * 3600)
    kept.forget()
    assert not kept.has("a", "5") and kept.has("a", "100") and kept.has("b", "1")
    kept.clock.advance(13 * 3600)
    kept.forget()
    assert kept.rows() == 0


def test_of_a_post_the_time_that_it_was_delivered_with_last_counts() -> None:
    kept = Kept()
    kept.add("a", *map(str, range(40)), seen_ms=9)
    kept.add("a", "1", "39", seen_ms=3)
    for post_id in ("1", "39"):
        assert kept.has("a", post_id, 3) and not kept.has("a", post_id, 2)
    assert set(kept.take("a", 8)) == {"1", "39"}


class Step(NamedTuple):
    """What is done to one author's posts in a unit."""

    what: str
    author: str
    post_id: str
    seen_ms: int


STEPS = st.lists(
    st.lists(
        st.builds(
            Step,
            st.sampled_from(["add", "add", "add", "take"]),
            st.sampled_from("ab"),
            st.integers(0, 80).map(str),
            st.integers(0, 9),
        ),
        max_size=60,
    ),
    max_size=6,
)


@given(STEPS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_it_knows_what_a_plain_dictionary_knows_whatever_is_lost(units: list[list[Step]], durable: list[bool]) -> None:
    kept, model = Kept(), dict[tuple[str, str], int]()
    for steps, lands in zip(units, durable, strict=False):
        unit, mine = kept.known.open("ab"), dict(model)
        for what, author, post_id, seen_ms in steps:
            if what == "add":
                unit.add(author, post_id, seen_ms)
                mine[author, post_id] = seen_ms
            else:
                taken = {key for key, ms in mine.items() if key[0] == author and ms <= seen_ms}
                ids, rest = unit.take(Gone(author, "x", seen_ms), 10**6)
                assert rest is None and {(author, one) for one in ids} == taken
                mine = {key: ms for key, ms in mine.items() if key not in taken}
            for known in "ab":
                assert unit.has(known, post_id, seen_ms) is (mine.get((known, post_id), 10) <= seen_ms)
        if lands:
            kept.write(unit.puts())
            model = mine
    for author in "ab":
        assert sorted(kept.take(author, 10)) == sorted(post_id for name, post_id in model if name == author)


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9)), max_size=400),
    st.integers(0, 9),
    st.lists(st.tuples(st.integers(1, 150), st.booleans()), max_size=12),
)
def test_taken_in_pieces_an_account_loses_what_it_would_lose_at_once(
    added: list[tuple[int, int]], gone_ms: int, pieces: list[tuple[int, bool]]
) -> None:
    kept, model = Kept(), dict[str, int]()
    for at in range(0, len(added), 50):
        unit = kept.known.open(["a"])
        for post_id, seen_ms in added[at : at + 50]:
            unit.add("a", str(post_id), seen_ms)
            model[str(post_id)] = seen_ms
        kept.write(unit.puts())
    rest: Gone | None = Gone("a", "x", gone_ms)
    taken: set[str] = set()
    for most, lands in [*pieces, *[(150, True)] * 20]:
        if rest is None:
            break
        unit = kept.known.open(["a"])
        ids, left = unit.take(rest, most)
        if lands:
            kept.write(unit.puts())
            taken |= set(ids)
            rest = left
            assert kept.known.unfinished() == left
    later = {post_id for post_id, ms in model.items() if ms > gone_ms}
    assert taken == model.keys() - later
    assert later <= {post_id for post_id in model if kept.has("a", post_id)} <= later | taken
