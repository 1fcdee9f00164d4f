"""Whoever deletes or edits a post takes its corrections along, whenever that comes and whoever reads faster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heartbeat.agents.corrections import SWEEP_EVERY_MS, CorrectionsAgent
from heartbeat.agents.history import HistoryPosts
from heartbeat.corrections.rows import SeenPost
from heartbeat.corrections.store import Corrections
from heartbeat.engine.agent import Batch, Event
from heartbeat.engine.log import TP
from heartbeat.errors import PostNotThere, Retry
from heartbeat.records import Heartbeat, Post, Scored
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import DAY_MS
from tests.corrections.material import T0, opened, seen
from tests.sinks.model import StillClock, open_history, scored


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Corrections]:
    with opened(tmp_path) as store:
        for post_id, rev in (("1", 0), ("2", 5), ("3", 0)):
            store.correct(lambda post_id=post_id, rev=rev: seen(post_id, rev=rev), "mixed", "en", now_ms=T0)  # type: ignore[misc]
        yield store


def post(post_id: str, rev: int = 0, op: Any = "upsert", source: str = "x", feed: str = "demo") -> Post:
    return Post(post_id, source, feed, (), op, rev, "" if op == "delete" else "text", T0, T0)


def batch(*values: Any) -> Batch[Any]:
    return Batch(TP("ingest", 0), [Event(at, T0, None, value) for at, value in enumerate(values)])


def emit(*arguments: Any, **more: Any) -> None:
    raise AssertionError("it writes nothing into the log")


def ids(kept: Corrections) -> list[str]:
    return [each.post.id for each in kept.page()]


async def test_deletions_and_edits_take_corrections_along(kept: Corrections) -> None:
    agent = CorrectionsAgent(lambda: kept, 400)
    heartbeat = Heartbeat("demo", 0, T0, True)
    await agent(batch(heartbeat, post("1"), post("2", 5), post("2", 4), post("3", source="y", op="delete")), emit)
    assert ids(kept) == ["1", "2", "3"], "the same revision, an older one, and a namesake of another source"
    await agent(batch(post("2", 6)), emit)
    assert ids(kept) == ["1", "3"]
    for _ in range(2):  # a batch may come again
        await agent(batch(post("1", -1, op="delete"), post("3", 1, feed="replay:1")), emit)
        assert ids(kept) == []


async def test_what_is_old_goes(kept: Corrections) -> None:
    agent, clock = CorrectionsAgent(lambda: kept, 2), FakeClock(T0)
    for partition in (1, 0):
        await agent.tick(partition, clock.now_ms(), emit)
    assert len(ids(kept)) == 3
    later_ms = T0 + 2 * DAY_MS + 1
    await agent.tick(1, later_ms, emit)
    assert len(ids(kept)) == 3, "one partition is enough to look"
    await agent.tick(0, later_ms, emit)
    assert ids(kept) == []
    kept.correct(seen, "mixed", "en", now_ms=T0)
    await agent.tick(0, later_ms + SWEEP_EVERY_MS - 1, emit)
    assert ids(kept) == ["1"], "it does not look all the time"


async def test_a_file_that_cannot_be_used_is_waited_for(kept: Corrections) -> None:
    agent = CorrectionsAgent(lambda: kept, 400)
    kept.close()
    with pytest.raises(Retry, match="are closed"):
        await agent(batch(post("1", op="delete")), emit)


async def test_who_has_just_been_taken_out_of_the_history_cannot_stay_corrected(
    tmp_path: Path, kept: Corrections
) -> None:
    """A deletion that `corrections` has read already, and the history not yet: the post can be corrected in between."""
    history = open_history(tmp_path, StillClock())
    agent = CorrectionsAgent(lambda: kept, 400)
    posts = HistoryPosts(history, agent.retracted)
    one = scored("9", time_ms=T0, content="some text")
    await posts(Batch(TP("sentiment", 0), [Event(0, T0, None, one)]), emit)
    await agent(batch(post("9", op="delete", source=one.source)), emit)

    def find() -> SeenPost:
        with HistoryReader(history.path) as reader:
            row = reader.post(one.task, T0, one.source, "9")
        if row is None or row.content is None:
            raise PostNotThere
        return seen("9", row.content, source=one.source, rev=row.rev)

    kept.correct(find, "mixed", "en", now_ms=T0)
    assert "9" in ids(kept)
    gone: Scored = one._replace(op="retract", content=None)
    await posts(Batch(TP("sentiment", 0), [Event(1, T0, None, gone)]), emit)
    assert "9" not in ids(kept)
    with pytest.raises(PostNotThere):
        kept.correct(find, "mixed", "en", now_ms=T0)
    history.close()


async def test_one_post_is_found_by_its_place(tmp_path: Path) -> None:
    history = open_history(tmp_path, StillClock())
    posts = [scored(f"{at}", time_ms=T0 + at // 2, content=f"text {at}", rev=at) for at in range(6)]
    await history.store_posts(("sentiment", 0), [(at, T0, each) for at, each in enumerate(posts)])
    with HistoryReader(history.path) as reader:
        for at, each in enumerate(posts):
            row = reader.post(each.task, each.time_ms, each.source, each.id)
            assert row is not None and (row.id, row.content, row.rev) == (f"{at}", f"text {at}", at)
        one = posts[0]
        assert reader.post(one.task, one.time_ms + 5, one.source, one.id) is None
        assert reader.post("nowhere", one.time_ms, one.source, one.id) is None
        assert reader.post(one.task, one.time_ms, "nobody", one.id) is None
        assert reader.post(one.task, one.time_ms, one.source, "none") is None
    history.close()
