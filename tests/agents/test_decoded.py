"""What is remembered of windows is what their rows say, and it is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heartbeat.agents import decoded
from heartbeat.agents.decoded import DecodedWindows
from heartbeat.windows.state import WindowState

KEYS = [("task", 10, start) for start in range(0, 80_000, 10_000)]


def window(posts: int, final: bool = False) -> WindowState:
    figures = (posts, 0, posts, 0, 0, 0, posts, 0, 0)
    return WindowState(figures, {"en": figures}, {"x": figures}, {"m/1": posts}, int(final), final, posts, None, True)


class Remembering(RuleBasedStateMachine):
    """A table whose rows come, go and are put back, in any order; nobody tells what is remembered of that."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = DecodedWindows(1)
        self.decoded._most = 3
        self.rows: dict[Any, bytes] = {}
        self.before: list[dict[Any, bytes]] = []

    @rule(key=st.sampled_from(KEYS), posts=st.integers(1, 4), final=st.booleans())
    def write(self, key: Any, posts: int, final: bool) -> None:
        self.before.append(dict(self.rows))
        state = window(posts, final)
        self.rows[key] = state.to_bytes()
        self.decoded.remember(key, self.rows[key], state)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: Any) -> None:
        self.before.append(dict(self.rows))
        self.rows.pop(key, None)
        self.decoded.forget(key)

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        if self.before:
            self.rows = self.before.pop(data.draw(st.integers(0, len(self.before) - 1)))

    @rule(key=st.sampled_from(KEYS))
    def read(self, key: Any) -> None:
        if key in self.rows:
            assert self.decoded.state(key, self.rows[key]) == WindowState.from_bytes(self.rows[key])

    @invariant()
    def bounded(self) -> None:
        assert len(self.decoded) <= 6
        assert self.decoded._newer_bytes == sum(len(row) for row, _ in self.decoded._newer.values())


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_what_was_written_last_is_not_read_again() -> None:
    known, state = DecodedWindows(4), window(3)
    row = state.to_bytes()
    known.remember(KEYS[0], row, state)
    assert known.state(KEYS[0], row) is state
    again = bytes(bytearray(row))
    assert known.state(KEYS[0], again) is not state
    assert known.state(KEYS[0], again) == state


def test_closed_windows_are_not_kept() -> None:
    known, state = DecodedWindows(4), window(3, final=True)
    row = state.to_bytes()
    known.remember(KEYS[0], row, window(3))
    known.remember(KEYS[0], row, state)
    assert len(known) == 0
    assert known.state(KEYS[0], row) == state


def test_it_is_bounded_by_windows_and_by_bytes_for_all_partitions_together(monkeypatch: pytest.MonkeyPatch) -> None:
    state = window(3)
    row = state.to_bytes()
    monkeypatch.setattr(decoded, "MOST_WINDOWS", 40)
    parts = [DecodedWindows(4) for _ in range(4)]
    for part in parts:
        for start in range(100):
            part.remember(("task", 10, start), row, state)
    assert 20 <= sum(map(len, parts)) <= 40
    monkeypatch.setattr(decoded, "MOST_WINDOWS", 4_000)
    monkeypatch.setattr(decoded, "MOST_BYTES", 40 * len(row))
    parts = [DecodedWindows(4) for _ in range(4)]
    for part in parts:
        for start in range(100):
            part.remember(("task", 10, start), row, state)
    assert 20 <= sum(map(len, parts)) <= 40
