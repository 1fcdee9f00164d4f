"""Every figure of every window against the oracle, whatever the order of things."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.records import Pulse
from heartbeat.testing import oracle
from tests.agents.plans import LANGUAGES, PLANS, SERVED, Outcome, Plan, run
from tests.agents.world import LATENESS_MS, SIZES, World, judge

BLOCK_MS = 60_000


@given(PLANS)
@settings(max_examples=80, deadline=None)
def test_windows_are_a_function_of_the_posts_alone(plan: Plan) -> None:
    asyncio.run(check_exact(plan))


@given(PLANS, st.sampled_from([1, 60_000, LATENESS_MS]))
@settings(max_examples=50, deadline=None)
def test_within_the_allowed_lateness_posts_are_corrections(plan: Plan, hurry_ms: int) -> None:
    asyncio.run(check_exact(plan.hurried(hurry_ms)))


@given(PLANS, st.sampled_from([LATENESS_MS + BLOCK_MS + 1, 1_000_000]))
@settings(max_examples=80, deadline=None)
def test_beyond_it_each_post_is_in_its_windows_or_late(plan: Plan, hurry_ms: int) -> None:
    asyncio.run(check_late(plan.hurried(hurry_ms)))


async def check_exact(plan: Plan) -> None:
    outcome = await run(plan)
    reader = await outcome.world.reader()
    expected = oracle.counted(outcome.posts, judge, LANGUAGES)
    assert reader.windows() == oracle.windows(expected, SIZES)
    assert not reader.late
    assert sorted(reader.in_time()) == sorted(expected)
    await check_end(outcome.world)


async def check_late(plan: Plan) -> None:
    outcome = await run(plan)
    reader = await outcome.world.reader()
    in_time, late = list(reader.in_time()), [key[:4] for key in reader.standing if key in reader.late]
    assert reader.windows() == oracle.windows(in_time, SIZES)
    expected = oracle.counted(outcome.posts, judge, LANGUAGES)
    assert sorted(late + [tuple(post[:4]) for post in in_time]) == sorted(tuple(post[:4]) for post in expected)
    assert set(late) <= may_be_late(outcome)
    await check_end(outcome.world)


def may_be_late(outcome: Outcome) -> set[tuple[str, str, str, str]]:
    """Posts that some feed delivered after it had promised that their windows could be sealed.

    (A task that a feed does not serve does not wait for it, so an edit may be late there, whatever it promised.)
    """
    out = set()
    for post, promised_ms in outcome.delivered:
        sealed_at_ms = post.time_ms // BLOCK_MS * BLOCK_MS + BLOCK_MS + LATENESS_MS
        for tasks in SERVED.values():
            for task in tasks:
                if promised_ms >= sealed_at_ms or task not in SERVED[post.feed]:
                    scope = post.feed if post.feed == "replay:1" else "live"
                    out.add((task, scope, post.source, post.id))
    return out


async def check_end(world: World) -> None:
    """Each window was told in order: interims, once closed, then corrections. At the end nothing is left."""
    told: dict[tuple[str, int, int], list[Pulse]] = defaultdict(list)
    for value in await world.pulses():
        if isinstance(value, Pulse):
            told[value.task, value.size_s, value.start_ms].append(value)
    for records in told.values():
        closed = [record for record in records if record.final]
        assert closed
        assert [record.revision for record in records if not record.final] == [0] * (len(records) - len(closed))
        assert records[len(records) - len(closed) :] == closed
        assert [record.revision for record in closed] == list(range(1, len(closed) + 1))
    for partition in range(world.partitions):
        part = world.pulse.part(partition)
        assert not len(world.tables.windows.part(partition))
        assert all(not feed.feed.startswith("replay:") for feed in part.watermarks.progress())
    assert world.view.is_through("again")
