from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.windows.ids import Layout, WindowId

TIMES = st.integers(-(10**13), 10**14)
SIZES = st.sets(st.sampled_from([1, 10, 15, 60, 90, 600, 900, 3600, 86400]), min_size=1, max_size=4).map(sorted)


@given(st.text(min_size=1), st.integers(1, 86400), TIMES)
def test_a_window_is_known_by_its_text(task: str, size_s: int, start_ms: int) -> None:
    window = WindowId(task, size_s, start_ms)
    assert WindowId.parse(str(window)) == window
    if task.isascii():
        assert WindowId.from_bytes(window.to_bytes()) == window


@pytest.mark.parametrize("text", ["", "10", "10/5", "x/5/task", "10/y/task"])
def test_other_texts_are_no_windows(text: str) -> None:
    with pytest.raises(ValueError):
        WindowId.parse(text)


def test_windows_are_aligned_to_the_epoch() -> None:
    layout = Layout((60, 10, 900))
    assert layout.windows_of("a", 1_700_000_123_456) == [
        WindowId("a", 10, 1_700_000_120_000),
        WindowId("a", 60, 1_700_000_100_000),
        WindowId("a", 900, 1_700_000_100_000),
    ]
    assert layout.windows_of("a", -1)[0] == WindowId("a", 10, -10_000)
    assert layout.block_ms == 900_000


@given(SIZES, TIMES)
def test_a_time_is_in_its_windows_and_they_in_its_block(sizes: list[int], time_ms: int) -> None:
    layout = Layout(sizes)
    end_ms = layout.block_end(time_ms)
    for window in layout.windows_of("a", time_ms):
        assert window.start_ms % (1000 * window.size_s) == 0
        assert window.start_ms <= time_ms < window.end_ms
        assert end_ms - layout.block_ms <= window.start_ms and window.end_ms <= end_ms
        assert layout.block_end(window.start_ms) == end_ms
    assert layout.whole_blocks(time_ms) == end_ms - layout.block_ms


@pytest.mark.parametrize("sizes", [(), (0,), (-10, 10)])
def test_sizes_that_are_none(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        Layout(sizes)
