"""What late retractions have made of windows, as the history tells others."""

from __future__ import annotations

from pathlib import Path

from heartbeat.records import Figures
from tests.sinks.model import T0, late, open_history, pulse, scored

TP = ("pulse", 0)


async def test_windows_are_told_once_the_retraction_is_stored(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    posts = [scored("1"), scored("2", lang="de", time_ms=T0 + 1)]
    minute = T0 // 60_000 * 60_000
    gone = [late(post._replace(op="retract")) for post in posts]
    await history.store_windows(TP, [(0, pulse(10, T0, posts)), (1, pulse(60, minute, posts))])
    assert await history.holding(TP, 2, gone[:1]) is None
    await history.store_windows(TP, [(2, gone[0])])
    left = await history.holding(TP, 2, gone[:1])
    assert left == [pulse(10, T0, posts[1:], revision=2), pulse(60, minute, posts[1:], revision=2)]
    await history.store_windows(TP, [(3, gone[1])])
    empty = await history.holding(TP, 3, gone)
    assert empty is not None
    assert [(one.size_s, one.revision, one.final, one.overall) for one in empty] == [
        (10, 3, True, Figures()), (60, 3, True, Figures()),
    ]  # fmt: skip
    history.close()
    history.start()
    assert await history.holding(TP, 3, gone) == empty
    history.close()


async def test_of_a_window_that_was_never_here_nothing_is_told(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    gone = late(scored("1", op="retract"))
    await history.store_windows(TP, [(0, pulse(10, T0 + 10_000, [scored()])), (1, gone)])
    assert await history.holding(TP, 1, [gone]) == []
    history.close()
