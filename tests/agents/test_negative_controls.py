"""The tests against the oracle would notice: each of these breaks one rule, and is found out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heartbeat.agents import deliveries, sentiment
from heartbeat.agents.pulse import PulseAgent
from heartbeat.agents.pulse_part import PulsePart
from heartbeat.agents.sentiment import SentimentAgent
from heartbeat.engine.agent import Batch, Emit
from heartbeat.records import Heartbeat
from heartbeat.testing import oracle
from heartbeat.windows import state, tally, watermarks
from tests.agents.plans import Plan, run
from tests.agents.test_stream_against_oracle import check_exact
from tests.agents.world import SIZES

SEEDS = range(24)


def noticed(*, order: str = "drained", batch: int = 512, hurry_ms: int = 0, trouble: bool = False) -> bool:
    """Whether one of some plans fails the test that passes them all when nothing is broken."""
    for seed in SEEDS:
        plan = Plan(seed, order=order, hurry_ms=hurry_ms, trouble=trouble, batch=batch, disorder_s=5)
        try:
            asyncio.run(check_exact(plan))
        except (AssertionError, KeyError):
            return True
    return False


@pytest.mark.parametrize("trouble", [False, True])
def test_nothing_is_noticed_where_nothing_is_broken(trouble: bool) -> None:
    assert not noticed(trouble=trouble)
    assert not noticed(trouble=trouble, hurry_ms=120_000)


def test_a_watermark_that_follows_the_partition_that_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead(feed: Any, origins: int) -> None:
        feed.watermark_ms = max(mark.watermark_ms for mark in feed.marks.values())
        feed.connected = any(mark.connected for mark in feed.marks.values())

    monkeypatch.setattr(watermarks._Feed, "refresh", ahead)
    assert noticed()


def test_sealing_without_waiting_for_disconnected_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermarks.Watermarks, "passed_ms", watermarks.Watermarks.closing_ms)
    assert noticed()


def test_heartbeats_that_overtake_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SentimentAgent.__call__

    async def hasty(agent: SentimentAgent, batch: Batch[Any], emit: Emit) -> None:
        first = sorted(batch, key=lambda event: not isinstance(event.value, Heartbeat))
        await honest(agent, Batch(batch.tp, first), emit)

    monkeypatch.setattr(SentimentAgent, "__call__", hasty)
    assert noticed()


def test_heartbeats_in_one_partition_only(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SentimentAgent.__call__

    async def sparing(agent: SentimentAgent, batch: Batch[Any], emit: Emit) -> None:
        def some(topic: Any, value: Any, *, key: str, partition: int) -> None:
            if not isinstance(value, Heartbeat) or partition == value.origin_partition:
                emit(topic, value, key=key, partition=partition)

        await honest(agent, batch, some)

    monkeypatch.setattr(SentimentAgent, "__call__", sparing)
    assert noticed()


def test_duplicates_that_count_again(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = deliveries.delivered

    def forgetful(row: Any, post: Any, *rest: Any) -> Any:
        return honest(None if row is not None and row.rev == post.rev and not row.deleted else row, post, *rest)

    monkeypatch.setattr(sentiment, "delivered", forgetful)
    assert noticed()


def test_deletions_that_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = deliveries.delivered

    def forgiving(row: Any, post: Any, *rest: Any) -> Any:
        return honest(None if row is not None and row.deleted else row, post, *rest)

    monkeypatch.setattr(sentiment, "delivered", forgiving)
    assert noticed()


def test_retractions_that_are_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tally.Tally.count

    def rough(self: tally.Tally, post: Any) -> None:
        honest(self, post._replace(pos=round(post.pos, 3)) if post.op == "retract" and post.pos else post)

    monkeypatch.setattr(tally.Tally, "count", rough)
    assert noticed()


def test_what_was_made_from_rows_and_not_undone_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PulsePart, "refresh", lambda part: None)
    assert noticed(trouble=True)


def test_corrections_that_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = state.changed

    def once(before: Any, delta: Any, now_ms: int) -> Any:
        after = honest(before, delta, now_ms)
        return after._replace(dirty=False) if after is not None and after.final else after

    monkeypatch.setattr(state, "changed", once)
    assert noticed(order="evenly", batch=1, hurry_ms=120_000)


@pytest.mark.parametrize("windows_first", [True, False])
def test_late_retractions_have_to_come_after_the_last_word_on_their_windows(
    windows_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retraction that is published before its windows' figures would be added to what already lacks the post."""
    honest = PulseAgent.__call__

    async def shuffled(agent: PulseAgent, batch: Batch[Any], emit: Emit) -> None:
        held: list[tuple[Any, Any, str, int]] = []

        def hold(topic: Any, value: Any, *, key: str, partition: int) -> None:
            held.append((topic, value, key, partition))

        await honest(agent, batch, hold)
        if not windows_first:
            held.sort(key=lambda output: type(output[1]).__name__ == "Pulse")
        for topic, value, key, partition in held:
            emit(topic, value, key=key, partition=partition)

    monkeypatch.setattr(PulseAgent, "__call__", shuffled)
    wrong = 0
    for seed in range(60):
        outcome = asyncio.run(run(Plan(seed, hurry_ms=1_000_000, batch=512, order="drained", windows_a_unit=1)))
        try:
            reader = asyncio.run(outcome.world.reader())
            wrong += reader.windows() != oracle.windows(reader.in_time(), SIZES)
        except KeyError:
            wrong += 1  # taken back from a window that nobody has been told of
    assert (wrong == 0) == windows_first
