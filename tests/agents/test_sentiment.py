from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat import topics
from heartbeat.agents.deliveries import SUPERSEDED
from heartbeat.agents.scored import Counted, Given, PostKey, Result, ScoredRow, scored_table
from heartbeat.agents.sentiment import SentimentAgent
from heartbeat.engine.agent import AgentSpec
from heartbeat.health import HealthBoard
from heartbeat.models.api import Sentiment
from heartbeat.models.overload import LEAST_FAST_MS, Overload
from heartbeat.records import END_OF_TIME_MS, Detected, Heartbeat, Post, Scored
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from tests.agents.world import FAST_MODEL, HORIZON_MS, START_MS, Models, lang_of, post, sentiment_of

HOUR_S = 3600


class Bench:
    """The agent alone on the driver."""

    def __init__(self, partitions: int = 1, languages: dict[str, Sequence[str] | None] | None = None) -> None:
        self.models, self.partitions, self.languages = Models(), partitions, languages or {}
        self.driver = Driver(self._build, partitions=partitions, clock=FakeClock(START_MS))
        self.waiting = 0
        self.overload = Overload(
            self.driver.clock, HealthBoard(self.driver.clock), most_posts=1000, longest_s=30, model="fast"
        )
        self.overload.lag = lambda: self.waiting

    def _build(self) -> list[AgentSpec]:
        self.table = scored_table()
        agent = SentimentAgent(
            self.models,
            self.table,
            partitions=self.partitions,
            languages=self.languages,
            horizon_ms=HORIZON_MS,
            overload=self.overload,
        )
        return [agent.spec(max_messages=512)]

    async def send(self, *values: Post | Heartbeat) -> None:
        for value in values:
            if isinstance(value, Heartbeat):
                await self.driver.send(topics.LANGUAGE, value, key=value.feed, partition=value.origin_partition)
            else:
                lang = lang_of(value.content) if value.op == "upsert" else "und"
                await self.driver.send(
                    topics.LANGUAGE,
                    Detected._make((*value, lang, 0.9, "language/1")),
                    key=topics.post_key(value.source, value.id),
                )

    async def out(self, *values: Post | Heartbeat, limit: int | None = None) -> list[Scored]:
        """What comes of these messages."""
        before = len(await self.driver.values(topics.SENTIMENT))
        await self.send(*values)
        await self.driver.run_until_idle(limit=limit)
        assert not await self.driver.dead_letters()
        values_ = (await self.driver.values(topics.SENTIMENT))[before:]
        return [value for value in values_ if isinstance(value, Scored)]

    def rows(self) -> int:
        return sum(self.driver.log.state("scored").count(partition) for partition in range(self.partitions))


async def bench(**how: object) -> Bench:
    made = Bench(**how)  # type: ignore[arg-type]
    await made.driver.start()
    return made


def brief(scored: Sequence[Scored]) -> list[tuple[str, str, int]]:
    return [(value.op, value.task, value.rev) for value in scored]


async def test_while_too_much_waits_live_posts_go_to_the_fast_model_and_replays_wait() -> None:
    it = await bench()
    assert [value.model for value in await it.out(post(1, 0, text="hello"))] == ["sentiment/1"]
    it.waiting = 1000
    replays = [post(f"r{number}", 0, text="hello", feed="replay:1") for number in range(3)]
    mostly = await it.out(post(0, 0, text="hello"), *replays)
    assert {value.model for value in mostly} == {"sentiment/1"}, "what waits is the replay's, and may wait"
    live, other = post(2, 0, text="hello"), post(4, 0, text="hello")
    replayed = post(2, 0, text="hello", feed="replay:1")
    hurried = post(2, 0, text="hello", feed="replay:1-fast")
    models = [value.model for value in await it.out(live, other, replayed, hurried)]
    assert models == [FAST_MODEL, FAST_MODEL, "sentiment/1", FAST_MODEL]
    it.waiting = 0
    it.driver.clock.advance(LEAST_FAST_MS / 1000)
    await it.driver.tick()
    assert [value.model for value in await it.out(post(3, 0, text="hello"))] == ["sentiment/1"]
    again = await it.out(post(2, 0, text="hello", rev=1))
    assert [(value.op, value.model) for value in again] == [("retract", FAST_MODEL), ("add", "sentiment/1")]
    assert again[0][9:15] == (*sentiment_of(FAST_MODEL, "hello")[:4], None, FAST_MODEL), "what was added is taken back"


async def test_what_has_waited_for_long_goes_to_the_fast_model() -> None:
    it = await bench()
    await it.send(post(1, 0, text="hello"))
    it.driver.clock.advance(31)
    assert [value.model for value in await it.out()] == [FAST_MODEL]


async def test_a_post_is_scored_once_for_each_model_and_told_to_each_task() -> None:
    it = await bench(partitions=12)
    scored = await it.out(post(1, 0, text="hello", tasks=("a", "b", "c")))
    assert lang_of("hello") == "de"
    assert sorted(it.models.asked) == [("other/1", "hello"), ("sentiment/1", "hello")]
    assert sorted(brief(scored)) == [("add", "a", 0), ("add", "b", 0), ("add", "c", 0)]
    for value in scored:
        model = "other/1" if value.task == "c" else "sentiment/1"
        pos, neu, neg, label, *_ = sentiment_of(model, "hello")
        assert value == Scored(
            *("1", "x", "demo", value.task, "add", 0, START_MS, "de", 0.9),
            *(pos, neu, neg, label, None, model, False, False, "hello"),
        )
    for message in await it.driver.read(topics.SENTIMENT):
        assert isinstance(message.value, Scored)
        assert message.partition == topics.partition_of(message.value.task, 12)
        assert message.key == topics.post_key("x", "1")


@pytest.mark.parametrize("limit", [1, None])
async def test_duplicates_are_dropped_after_a_restart_too(limit: int | None) -> None:
    it = await bench()
    assert brief(await it.out(post(1, 0), post(1, 0), post(1, 0), limit=limit)) == [("add", "a", 0)]
    await it.driver.restart()
    assert await it.out(post(1, 0), limit=limit) == []
    assert brief(await it.out(post(1, 0, source="reddit"), limit=limit)) == [("add", "a", 0)]


@pytest.mark.parametrize("limit", [1, None])
async def test_an_edit_takes_back_exactly_what_was_added(limit: int | None) -> None:
    it = await bench()
    old, gone, new = await it.out(post(1, 0, text="first"), post(1, 5, text="second", rev=2), limit=limit)
    assert (old.op, gone.op, new.op) == ("add", "retract", "add")
    assert gone == old._replace(op="retract", content=None)
    assert (new.rev, new.time_ms, new.content) == (2, START_MS + 5000, "second")
    assert await it.out(post(1, 0, text="between", rev=1), limit=limit) == []


@pytest.mark.parametrize("limit", [1, None])
async def test_a_deletion_is_final(limit: int | None) -> None:
    it = await bench()
    scored = await it.out(
        post(1, 0, tasks=("a", "b")),
        post(1, 0, op="delete", tasks=()),
        post(1, 0, tasks=("a", "b")),
        post(1, 0, op="delete", tasks=()),
        post(1, 0, rev=9),
        limit=limit,
    )
    assert brief(scored) == [("add", "a", 0), ("add", "b", 0), ("retract", "a", 0), ("retract", "b", 0)]
    assert all(value.content is None for value in scored if value.op == "retract")
    assert await it.out(post(2, 0, op="delete"), post(2, 0), limit=limit) == []
    await it.driver.restart()
    assert await it.out(post(2, 0, rev=1), limit=limit) == []


async def test_the_table_holds_no_text() -> None:
    it = await bench()
    await it.out(post(1, 0, text="a secret text"), post(1, 0, text="a secret text too", rev=1), post(2, 0, op="delete"))
    rows = it.table.store.get_many(0, [PostKey("live", "x", id_).to_bytes() for id_ in "12"])
    assert len(rows) == 2
    assert not any(b"secret" in row for row in rows.values())


@pytest.mark.parametrize("limit", [1, None])
async def test_another_live_feed_adds_its_further_tasks_only(limit: int | None) -> None:
    it = await bench()
    scored = await it.out(
        post(1, 0, tasks=("a", "b")), post(1, 7, feed="wire", tasks=("b", "c")), post(1, 0, feed="wire", tasks=("c",)),
        limit=limit,
    )  # fmt: skip
    assert brief(scored) == [("add", "a", 0), ("add", "b", 0), ("add", "c", 0)]
    assert [value.feed for value in scored] == ["demo", "demo", "wire"]
    assert {value.time_ms for value in scored} == {START_MS}


async def test_a_further_task_of_the_same_model_asks_nothing() -> None:
    it = await bench()
    await it.out(post(1, 0, text="hello", tasks=("a",)))
    await it.out(post(1, 0, text="hello", feed="wire", tasks=("b",)))
    assert it.models.asked == [("sentiment/1", "hello")]


async def test_a_replay_is_a_scope_of_its_own() -> None:
    it = await bench()
    assert len(await it.out(post(1, 0), post(1, 0, feed="replay:1", tasks=("again",)))) == 2
    assert brief(await it.out(post(1, 0, feed="replay:1", op="delete"))) == [("retract", "again", 0)]
    assert brief(await it.out(post(1, 0, rev=1))) == [("retract", "a", 0), ("add", "a", 1)]


@pytest.mark.parametrize("limit", [1, None])
async def test_an_edit_that_matches_no_more_is_taken_back_from_its_own_feeds_tasks(limit: int | None) -> None:
    it = await bench()
    await it.out(post(1, 0, tasks=("a", "b")), post(1, 0, feed="wire", tasks=("b", "c")), limit=limit)
    scored = await it.out(post(1, 0, rev=1, text="hello", tasks=()), limit=limit)
    assert brief(scored) == [
        *[("retract", "a", 0), ("retract", "b", 0), ("retract", "c", 0)],
        *[("add", "b", 1), ("add", "c", 1)],
    ]
    assert {value.feed for value in scored if value.op == "add"} == {"wire"}


async def test_a_text_that_was_superseded_before_it_was_scored_is_counted_and_made_good() -> None:
    it = await bench()
    assert await it.out(post(1, 0, rev=1, text="hello", tasks=())) == []
    [unscored] = await it.out(post(1, 0, rev=0, text="older", feed="wire", tasks=("a",)))
    assert (unscored.rev, unscored.unscored_reason, unscored.content) == (1, SUPERSEDED, None)
    gone, new = await it.out(post(1, 0, rev=1, text="hello", feed="wire", tasks=("a",)))
    assert (gone.op, gone.unscored_reason, new.op, new.content) == ("retract", SUPERSEDED, "add", "hello")
    assert new.label == sentiment_of("sentiment/1", "hello").label
    assert await it.out(post(1, 0, rev=1, text="hello", feed="wire", tasks=("a",))) == []


async def test_a_task_takes_its_languages_only() -> None:
    it = await bench(languages={"a": ["en"], "b": None})
    assert (lang_of("hello"), lang_of("fourth")) == ("de", "en")
    assert brief(await it.out(post(1, 0, text="hello", tasks=("a", "b")))) == [("add", "b", 0)]
    assert brief(await it.out(post(1, 0, text="fourth", tasks=("a", "b"), rev=1))) == [
        *[("retract", "b", 0), ("add", "a", 1), ("add", "b", 1)]
    ]
    assert brief(await it.out(post(1, 0, text="hello", tasks=("a", "b"), rev=2))) == [
        *[("retract", "a", 1), ("retract", "b", 1), ("add", "b", 2)]
    ]
    assert await it.out(post(2, 0, text="hello", tasks=("a",))) == []
    assert ("sentiment/1", "hello") in it.models.asked
    assert len(it.models.asked) == 3


async def test_a_language_without_a_model_is_unscored_with_the_reason() -> None:
    it = await bench()
    assert lang_of("third") == "tr"
    [scored] = await it.out(post(1, 0, text="third"))
    assert (scored.unscored_reason, scored.label, scored.pos, scored.model) == ("no model for tr", None, None, None)
    assert it.models.asked == []


async def test_heartbeats_go_to_every_partition_after_the_posts_before_them() -> None:
    it = await bench(partitions=4)
    first, second = Heartbeat("demo", 2, 5, True, True, ["a"]), Heartbeat("demo", 2, 6, False, False)
    numbers = [n for n in range(400) if topics.partition_of(topics.post_key("x", str(n)), 4) == 2][:20]
    tasks = [f"task{n}" for n in range(12)]
    await it.out(
        *[post(n, 0, tasks=tasks) for n in numbers[:10]],
        first,
        *[post(n, 0, tasks=tasks) for n in numbers[10:]],
        second,
    )
    for partition in range(4):
        values = [message.value for message in await it.driver.read(topics.SENTIMENT, partition)]
        beats = [at for at, value in enumerate(values) if isinstance(value, Heartbeat)]
        assert [values[at] for at in beats] == [first, second]
        ids = [int(value.id) for value in values if isinstance(value, Scored)]
        mine = sum(topics.partition_of(task, 4) == partition for task in tasks)
        assert ids == [n for n in numbers for _ in range(mine)]
        assert beats == [10 * mine, 20 * mine + 1]


async def test_a_post_is_forgotten_after_its_horizon() -> None:
    it = await bench()
    await it.out(post(1, 0), post(2, 0, op="delete"))
    await it.driver.advance(23 * HOUR_S)
    assert it.rows() == 2
    assert await it.out(post(1, 0), post(2, 0)) == []
    await it.driver.advance(2 * HOUR_S)
    assert it.rows() == 0
    assert len(await it.out(post(1, 0))) == 1


async def test_what_changes_a_post_renews_its_horizon() -> None:
    it = await bench()
    await it.out(post(1, 0))
    await it.driver.advance(23 * HOUR_S)
    await it.out(post(1, 0, rev=1))
    await it.driver.advance(2 * HOUR_S)
    assert it.rows() == 1
    assert await it.out(post(1, 0, rev=1)) == []


async def test_a_replays_posts_stay_until_it_has_ended() -> None:
    it = await bench()
    again = post(1, 0, feed="replay:1", tasks=("again",))
    await it.out(Heartbeat("replay:1", 0, START_MS, False), again, post(2, 0))
    for _ in range(5):
        await it.driver.advance(25 * HOUR_S)
    assert it.rows() == 2  # the post, and that the replay runs
    await it.driver.restart()
    assert await it.out(again) == []
    await it.out(Heartbeat("replay:1", 0, END_OF_TIME_MS, False))
    assert it.rows() == 1
    await it.driver.advance(25 * HOUR_S)
    assert it.rows() == 0


async def test_many_posts_are_forgotten_some_at_a_time() -> None:
    it = await bench()
    for number in range(0, 7000, 500):
        await it.out(*[post(n, 0) for n in range(number, number + 500)])
    before, steps = it.rows(), []
    it.driver.clock.advance(25 * HOUR_S)
    while it.rows():
        await it.driver.tick("sentiment")
        steps.append(before - it.rows())
        before = it.rows()
    assert sum(steps) == 7000
    assert len(steps) > 1


REVISIONS = st.lists(
    st.tuples(
        st.sampled_from(["demo", "wire"]),
        st.sampled_from(["upsert", "upsert", "upsert", "delete"]),
        st.integers(0, 3),
        st.lists(st.sampled_from("abc"), unique=True),
    ),
    max_size=12,
)


@given(REVISIONS, st.integers(0, 2**32))
@settings(deadline=None)
def test_one_batch_does_what_many_do(revisions: list[tuple[str, str, int, list[str]]], seed: int) -> None:
    posts = [post(1, 0, feed=feed, op=op, rev=rev, tasks=tasks) for feed, op, rev, tasks in revisions]

    async def both() -> None:
        one, many, dice = await bench(), await bench(), random.Random(seed)
        together = await one.out(*posts)
        apart = await many.out(*posts, limit=1)
        assert together == apart
        cuts = sorted({0, len(posts), *(dice.randrange(len(posts) + 1) for _ in range(3))})
        some = await bench()
        parts = [value for a, b in pairwise(cuts) for value in await some.out(*posts[a:b])]
        assert parts == together

    asyncio.run(both())


@given(
    st.integers(0, 9),
    st.booleans(),
    st.dictionaries(st.sampled_from(["demo", "wire"]), st.tuples(st.integers(0, 9), st.lists(st.text(max_size=3)))),
    st.lists(
        st.tuples(st.none() | st.text(max_size=5), st.none() | st.floats(0, 1), st.none() | st.text(max_size=4)),
        min_size=1,
    ),
    st.dictionaries(st.text(max_size=4), st.integers(0, 9)),
)
def test_a_row_is_read_back_as_it_was(
    rev: int,
    deleted: bool,
    given_: dict[str, tuple[int, list[str]]],
    scores: list[tuple[str | None, float | None, str | None]],
    tasks: dict[str, int],
) -> None:
    results = [Result(asked, Sentiment(pos, pos, pos, label, asked, "why", not pos)) for asked, pos, label in scores]
    row = ScoredRow(
        rev,
        deleted,
        *(5, 6, "en", 0.25),
        {feed: Given(rev_, tuple(names)) for feed, (rev_, names) in given_.items()},
        {task: Counted("demo", results[at % len(results)], at % 2 > 0) for task, at in tasks.items()},
    )
    again = ScoredRow.from_bytes(row.to_bytes())
    assert again[:7] == row[:7]
    assert list(again.counted) == list(row.counted)
    for task, (feed, result, late) in row.counted.items():
        assert (again.counted[task].feed, again.counted[task].result.asked) == (feed, result.asked)
        assert again.counted[task].result.value == result.value
        assert again.counted[task].late is late


@given(st.text(alphabet=st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.text(), st.booleans())
def test_a_key_is_read_back_as_it_was(source: str, post_id: str, live: bool) -> None:
    key = PostKey("live" if live else "replay:1", source, post_id)
    if post_id.isprintable():
        assert PostKey.from_bytes(key.to_bytes()) == key


def test_a_score_cannot_be_used_before_it_is_there() -> None:
    with pytest.raises(RuntimeError):
        _ = Result("m").value
