"""Any interleaving of what may happen to the stream's agents, and that the machine would notice what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from heartbeat.agents import deliveries, pulse, sentiment
from heartbeat.agents.pulse_part import PulsePart
from heartbeat.engine import superseding
from heartbeat.engine.memory_table import MemoryPart
from heartbeat.records import END_OF_TIME_MS
from heartbeat.windows import spans, state, tally, watermarks
from tests.agents.stream_machine import SETTINGS, FileStreamMachine, StreamMachine

Patch = Callable[[pytest.MonkeyPatch], None]


def test_every_window_closes_once_and_every_post_counts_once() -> None:
    run_state_machine_as_test(StreamMachine, settings=settings(SETTINGS, max_examples=60, stateful_step_count=30))


def test_the_same_on_the_embedded_log() -> None:
    run_state_machine_as_test(FileStreamMachine, settings=settings(SETTINGS, max_examples=25, stateful_step_count=25))


# Each of these breaks one thing.


def the_partition_that_is_ahead_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead(feed: Any, origins: int) -> None:
        feed.watermark_ms = max(mark.watermark_ms for mark in feed.marks.values())
        feed.connected = any(mark.connected for mark in feed.marks.values())

    monkeypatch.setattr(watermarks._Feed, "refresh", ahead)


def feeds_that_are_away_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermarks.Watermarks, "passed_ms", watermarks.Watermarks.closing_ms)


def retractions_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tally.Tally.count
    monkeypatch.setattr(tally.Tally, "count", lambda self, post: honest(self, post) if post.op == "add" else None)


def duplicates_count(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = deliveries.delivered

    def forgetful(row: Any, post: Any, *rest: Any) -> Any:
        return honest(None if row is not None and row.rev == post.rev and not row.deleted else row, post, *rest)

    monkeypatch.setattr(sentiment, "delivered", forgetful)


def deletions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = deliveries.delivered

    def forgiving(row: Any, post: Any, *rest: Any) -> Any:
        return honest(None if row is not None and row.deleted else row, post, *rest)

    monkeypatch.setattr(sentiment, "delivered", forgiving)


def a_changelog_row_is_dropped_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, count = MemoryPart.seal, iter(range(10**9))

    def sloppy(self: Any, unit: Any, undo: dict[Any, Any]) -> None:
        honest(self, unit, undo)
        if self._table.name == "windows" and unit.appends and next(count) % 5 == 0:
            unit.appends.pop()

    monkeypatch.setattr(MemoryPart, "seal", sloppy)


def closing_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = state.closed
    monkeypatch.setattr(state, "closed", lambda *given: honest(*given)._replace(final=False))


def sealed_windows_are_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PulsePart, "seal_through", lambda part, task, time_ms: None)


def late_posts_replace_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pulse.PulseAgent._publish_late

    async def keyed(self: Any, part: Any, late: Any, now_ms: int, partition: int, emit: Any) -> None:
        def same(topic: Any, value: Any, *, key: str, partition: int) -> None:
            emit(topic, value, key="late" if key.startswith("late/") else key, partition=partition)

        await honest(self, part, late, now_ms, partition, same)

    monkeypatch.setattr(pulse.PulseAgent, "_publish_late", keyed)


def the_newest_is_superseded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = superseding._without

    def eager(row: Any, newest: Any, low: int, *, first: bool) -> Any:
        return honest(row, {key: place + 1 for key, place in newest.items()}, low, first=first)

    monkeypatch.setattr(superseding, "_without", eager)


def a_size_that_is_new_takes_back_what_it_never_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "changed", lambda *given: ())


def what_was_live_under_a_size_that_is_gone_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = spans.changed

    def abandoned(*given: Any) -> Any:
        return tuple(span for span in honest(*given) if span.to_ms == END_OF_TIME_MS)

    monkeypatch.setattr(spans, "changed", abandoned)


IN_MEMORY: Final = [
    the_partition_that_is_ahead_decides,
    feeds_that_are_away_are_not_waited_for,
    retractions_are_skipped,
    duplicates_count,
    deletions_are_forgotten,
    a_changelog_row_is_dropped_now_and_then,
    closing_is_told_again,
    sealed_windows_are_opened_again,
    late_posts_replace_each_other,
    a_size_that_is_new_takes_back_what_it_never_counted,
    what_was_live_under_a_size_that_is_gone_is_left_as_it_was,
]


@pytest.mark.parametrize("wrong", IN_MEMORY)
def test_it_notices_when(wrong: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch)
    assert _noticed(StreamMachine)


def test_it_notices_when_the_log_forgets_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    the_newest_is_superseded_too(monkeypatch)
    assert _noticed(FileStreamMachine)


def _noticed(machine: type[StreamMachine]) -> bool:
    """Found by the same search, without making the example small."""
    search = settings(SETTINGS, max_examples=200, stateful_step_count=30, phases=(Phase.generate,), derandomize=True)
    try:
        run_state_machine_as_test(machine, settings=search)
    except Exception:  # an assertion here or in the oracle, or agents that come to a stop
        return True
    return False
