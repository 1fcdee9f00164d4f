"""Insights and share of voice over a small world, held against plain arithmetic over what was said in it."""

from __future__ import annotations

from typing import Any

import pytest

from heartbeat.records import END_OF_TIME_MS
from heartbeat.settings import Settings
from heartbeat.tasks import Task, parse
from heartbeat.testing.clock import FakeClock
from heartbeat.web.shapes import rfc3339
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

MINUTE = 60_000
NOW_MS = 1_740_000_000_000 // (15 * MINUTE) * 15 * MINUTE


def new_world(*names: str) -> World:
    return World(FakeClock(NOW_MS), some_tasks(*(names or ("aurora", "tram"))), Settings.model_validate({}))


def talk(world: World, minutes: int, posts: dict[str, int]) -> None:
    """So many posts a minute for each task, up to now."""
    for minute in range(-minutes, 0):
        for task, count in posts.items():
            for at in range(count):
                label = "negative" if at % 4 == 0 else "positive"
                world.say(task, NOW_MS + minute * MINUTE + at * 100, label=label)
    for task in posts:
        world.close(task, NOW_MS)
    world.publish()


async def insight(served: Serving, query: str) -> Any:
    return (await served.get(f"/api/insights?{query}"))["insight"]


async def test_a_spike_and_a_shift_against_the_windows_before() -> None:
    world = new_world()
    talk(world, 40, {"aurora": 12, "tram": 4})
    start = NOW_MS - MINUTE
    for at in range(60):
        world.say("aurora", start + at * 500, label="negative")
    world.publish()
    async with Serving(world) as served:
        told = await served.get("/api/insights?task=aurora&size=60")
        found = told["insight"]
    assert (told["task"], told["size"], told["now"]) == ("aurora", 60, rfc3339(NOW_MS))
    assert (found["window_start"], found["window_seconds"], found["final"]) == (rfc3339(start), 60, True)
    assert (found["total"], found["scored"], found["voice"]) == (72, 72, round(72 / 76, 6))
    assert found["shares"]["negative"] == 0.875
    # of 40 minutes the first may have begun in its midst, and the last is judged
    assert found["reference"] == {"windows": 38, "least": 24}
    assert (found["spike"]["usual"], found["spike"]["strength"]) == (12, "very high")
    assert found["spike"]["usual_from"] <= 12 <= found["spike"]["usual_to"] < 72
    assert (found["shifts"]["negative"]["usual"], found["shifts"]["negative"]["strength"]) == (0.25, "very high")
    assert found["shifts"]["positive"]["strength"] == "very low"
    before = found["changes"]["window_before"]
    assert before["window_start"] == rfc3339(start - MINUTE)
    assert before["total"] == {"then": 12, "absolute": 60, "relative": 5.0}
    assert before["shares"]["negative"] == {"then": 0.25, "absolute": 0.625, "relative": 2.5}
    assert before["voice"] == {"then": 0.75, "absolute": round(72 / 76 - 0.75, 6), "relative": round(72 / 57 - 1, 6)}
    assert (found["changes"]["day_before"], found["changes"]["week_before"]) == (None, None)


async def test_the_same_window_of_yesterday_and_of_last_week() -> None:
    world = new_world()
    for days, count in ((0, 6), (1, 4), (7, 3)):
        for minute in range(-4, 1):
            for at in range(count):
                world.say("aurora", NOW_MS - days * 86_400_000 + minute * MINUTE + at, label="positive")
    world.close("aurora", NOW_MS)
    world.publish()
    async with Serving(world) as served:
        found = await insight(served, "task=aurora&size=60")
    changes = found["changes"]
    assert [changes[name]["total"]["then"] for name in ("window_before", "day_before", "week_before")] == [6, 4, 3]
    assert changes["week_before"]["total"]["relative"] == 1.0
    assert changes["day_before"]["score"]["relative"] is None


async def test_silence_is_a_window_too() -> None:
    world = new_world()
    talk(world, 40, {"aurora": 12, "tram": 4})
    world.say("tram", NOW_MS + 1)
    world.close("tram", NOW_MS + MINUTE)
    world.close("aurora", NOW_MS + MINUTE + 500)
    world.publish()
    async with Serving(world) as served:
        found = await insight(served, "task=aurora&size=60")
    assert (found["window_start"], found["final"], found["total"], found["voice"]) == (rfc3339(NOW_MS), True, 0, 0)
    assert found["spike"]["strength"] == "low"
    assert (found["score"], found["shares"]["positive"], found["shifts"]["negative"]) == (None, None, None)


async def test_a_window_that_nobody_heard_is_not_taken_for_silence() -> None:
    """A worker that has just started has closed a quarter of an hour in which it was not there."""
    world = new_world()
    for minute in (1, 2, 3):
        world.say("aurora", NOW_MS + minute * MINUTE)
    world.close("aurora", NOW_MS + 4 * MINUTE)
    world.publish()
    async with Serving(world) as served:
        assert await insight(served, "task=aurora&size=900") is None
        assert (await insight(served, "task=aurora&size=60"))["total"] == 1
        assert await insight(served, f"task=aurora&size=60&at={NOW_MS - MINUTE}") is None
        assert await insight(served, f"task=aurora&size=60&at={NOW_MS + 60 * MINUTE}") is None


async def test_an_open_window_is_flagged_and_not_scored() -> None:
    world = new_world()
    talk(world, 40, {"aurora": 12})
    for at in range(90):
        world.say("aurora", NOW_MS + at)
    async with Serving(world) as served:
        newest = await insight(served, "task=aurora&size=60")
        found = await insight(served, f"task=aurora&size=60&at={NOW_MS + 40_000}")
        old = await insight(served, f"task=aurora&size=60&at={NOW_MS - 20 * MINUTE}")
    assert newest["window_start"] == rfc3339(NOW_MS - MINUTE)
    assert (found["window_start"], found["final"], found["total"]) == (rfc3339(NOW_MS), False, 90)
    assert (found["spike"], found["shifts"]) == (None, {"negative": None, "positive": None})
    assert found["changes"]["window_before"]["total"]["relative"] == 6.5
    assert (old["final"], old["reference"]["windows"], old["spike"]) == (True, 19, None)


async def test_a_window_that_has_not_been_told_as_closed_yet_is_not_the_newest() -> None:
    world = new_world()
    talk(world, 40, {"aurora": 12})
    world.say("aurora", NOW_MS)
    world.watermarks["aurora"] = NOW_MS + MINUTE
    async with Serving(world) as served:
        assert (await insight(served, "task=aurora&size=60"))["window_start"] == rfc3339(NOW_MS - MINUTE)


async def test_without_watermarks_history_tells_what_is_closed() -> None:
    world = new_world()
    for minute in range(40):
        world.say("old-file", NOW_MS - 10**9 + minute * MINUTE, label="positive")
    world.close("old-file", END_OF_TIME_MS)
    world.publish()
    async with Serving(world) as served:
        found = await insight(served, "task=old-file&size=60")
        nothing = await insight(served, "task=tram")
    assert found["window_start"] == rfc3339((NOW_MS - 10**9) // MINUTE * MINUTE + 39 * MINUTE)
    assert (found["voice"], found["reference"]["windows"], found["spike"]["strength"]) == (None, 38, "usual")
    assert nothing is None


async def test_history_that_lags_behind_makes_no_difference() -> None:
    """What history has not stored yet is in the live table, for all tasks."""
    world, late = new_world(), new_world()
    for each in (world, late):
        talk(each, 40, {"aurora": 12, "tram": 4})
        for at in range(30):
            each.say("tram", NOW_MS + at)
            each.say("aurora", NOW_MS + at)
        for task in ("tram", "aurora"):
            each.close(task, NOW_MS + MINUTE)
    world.publish()
    async with Serving(world) as served, Serving(late) as behind:
        for query in ("/api/insights?task=aurora&size=60", f"/api/voice?size=60&to={NOW_MS + MINUTE}"):
            assert await served.get(query) == await behind.get(query)


async def test_tasks_of_other_feeds_do_not_tell_that_ours_was_heard() -> None:
    tasks = [*some_tasks("aurora", "tram"), Task("coffee", "Coffee", parse("coffee"), ("bluesky",))]
    world = World(FakeClock(NOW_MS), tasks, Settings.model_validate({}))
    talk(world, 40, {"aurora": 3})
    for minute in range(-400, 0):
        world.say("coffee", NOW_MS + minute * MINUTE)
    world.say("aurora", NOW_MS - 300 * MINUTE)
    world.close("aurora", NOW_MS)
    world.publish()
    async with Serving(world) as served:
        found = await insight(served, "task=aurora&size=60")
    assert (found["reference"]["windows"], found["voice"]) == (38, 0.75)


async def test_share_of_voice_by_window_and_for_the_range() -> None:
    world = new_world("aurora", "tram", "coffee")
    for minute, posts in enumerate([(3, 1), (0, 2), (0, 0), (5, 5)]):
        for task, count in zip(("aurora", "tram"), posts, strict=True):
            for _ in range(count):
                world.say(task, NOW_MS + minute * MINUTE)
    world.close("aurora", NOW_MS + 4 * MINUTE)
    world.close("tram", NOW_MS + 3 * MINUTE)
    world.publish()
    query = f"size=60&from={NOW_MS}&to={NOW_MS + 4 * MINUTE}"
    async with Serving(world) as served:
        told = await served.get(f"/api/voice?{query}")
        some = await served.get(f"/api/voice?{query}&task=coffee&task=aurora&task=coffee")
        newest = await served.get("/api/voice")
    assert (told["size"], told["from"], told["to"]) == (60, rfc3339(NOW_MS), rfc3339(NOW_MS + 4 * MINUTE))
    assert told["tasks"] == ["aurora", "tram", "coffee"]
    assert (told["total"], told["posts"], told["final"]) == (16, {"aurora": 8, "tram": 8, "coffee": 0}, False)
    assert told["shares"] == {"aurora": 0.5, "tram": 0.5, "coffee": 0.0}
    rows = [(row["window_start"], row["total"], row["shares"]["aurora"], row["final"]) for row in told["windows"]]
    assert rows == [
        (rfc3339(NOW_MS), 4, 0.75, True),
        (rfc3339(NOW_MS + MINUTE), 2, 0.0, True),
        (rfc3339(NOW_MS + 3 * MINUTE), 10, 0.5, False),
    ]
    assert some["tasks"] == ["coffee", "aurora"]
    assert (some["total"], some["shares"], some["final"]) == (8, {"coffee": 0.0, "aurora": 1.0}, True)
    assert (newest["size"], newest["total"], newest["shares"]["aurora"]) == (900, 0, None)


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/api/insights", 400, "no task is named"),
        ("/api/insights?task=nobody", 404, "there is no such task"),
        ("/api/insights?task=aurora&size=7", 400, "size='7' is not known"),
        ("/api/insights?task=aurora&at=now", 400, "at='now' is no time"),
        ("/api/insights?task=aurora&task=tram", 400, "task stands more than once"),
        ("/api/insights?task=aurora&from=0", 400, "there is no parameter 'from' here"),
        ("/api/voice?task=nobody", 404, "there is no such task"),
        ("/api/voice?size=60&from=2000&to=1000", 400, "from is after to"),
        ("/api/voice?size=10&from=0&to=100001000", 400, "that is 10001 windows of 10 s for 2 tasks"),
        ("/api/voice?by=lang", 400, "there is no parameter 'by' here"),
    ],
)
async def test_mistakes_are_told(path: str, status: int, reason: str) -> None:
    async with Serving(new_world()) as served:
        error = (await served.get(path, status))["error"]
    assert reason in error["reason"]
    assert error["hint"]
