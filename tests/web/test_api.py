"""The JSON API over a small world, held against plain arithmetic over what was said in it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.health import State
from heartbeat.settings import Settings
from heartbeat.sinks.history_rows import By, FiguresRow
from heartbeat.testing.clock import FakeClock
from heartbeat.web.params import EARLIEST_MS, LATEST_MS
from heartbeat.web.shapes import rfc3339
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

NOW_MS = 1_740_000_000_000


def new_world(*names: str) -> World:
    return World(FakeClock(NOW_MS), some_tasks(*(names or ("aurora", "tram"))), Settings.model_validate({}))


async def test_tasks_lists_configured_ones_in_order_and_replayed_ones_after_them() -> None:
    world = new_world("tram", "aurora")
    world.say("aurora", NOW_MS - 1000, label="positive")
    world.say("old-file", NOW_MS - 10**9, label="unscored")
    world.publish()
    async with Serving(world) as served:
        told = await served.get("/api/tasks")
    names = [(task["name"], task["configured"]) for task in told["tasks"]]
    assert names == [("tram", True), ("aurora", True), ("old-file", False)]
    tram, aurora, old = told["tasks"]
    assert (tram["title"], tram["query"], tram["feeds"]) == ("City trams", 'tram "tram one"', ["demo"])
    assert (tram["first"], tram["total"]) == (None, 0)
    assert (aurora["total"], aurora["unscored"], aurora["sizes"]) == (1, 0, [10, 60, 900])
    assert (old["total"], old["unscored"], old["query"]) == (1, 1, None)
    assert datetime.fromisoformat(old["first"]) <= datetime.fromtimestamp((NOW_MS - 10**9) / 1000, UTC)


@pytest.mark.parametrize("size", [10, 60, 900])
@pytest.mark.parametrize("by", ["all", "lang", "source"])
async def test_windows_equal_the_posts(size: int, by: str) -> None:
    """Some windows come from history alone, some from the live table alone, some from both."""
    world = new_world()
    said = []
    for minute in range(40):
        for at in range(minute % 5):
            said.append(world.say("aurora", NOW_MS + minute * 60_000 + at * 7_000, source="x" if at % 2 else "reddit"))
        world.close("aurora", NOW_MS + minute * 60_000)
        if minute < 38:
            world.publish()
    recent = [scored for scored in said if scored.time_ms >= NOW_MS + 26 * 60_000]
    for scored in recent[::4]:
        world.take_back(scored)
        said.remove(scored)
    async with Serving(world) as served:
        begin = NOW_MS - NOW_MS % 900_000
        told = await served.get(f"/api/windows?task=aurora&size={size}&by={by}&from={begin}&to={NOW_MS + 10**7}")
    assert (told["task"], told["size"], told["by"]) == ("aurora", size, by)
    expected: Counter[tuple[str, str, str]] = Counter()
    sums: Counter[tuple[str, str, str]] = Counter()
    for scored in said:
        start = rfc3339(scored.time_ms - scored.time_ms % (1000 * size))
        key = {"all": "all", "lang": scored.lang, "source": scored.source}[by]
        expected[start, key, scored.label or "unscored"] += 1
        for name, score in (("pos", scored.pos), ("neu", scored.neu), ("neg", scored.neg)):
            sums[start, key, name] += round((score or 0) * 1e6)
    got: Counter[tuple[str, str, str]] = Counter()
    for row in told["windows"]:
        start, key = row["window_start"], row["key"]
        for label in ("positive", "neutral", "negative", "mixed", "unscored"):
            got[start, key, label] += row[label]
        assert row["total"] == row["scored"] + row["unscored"]
        assert row["scored"] == sum(row[label] for label in ("positive", "neutral", "negative", "mixed"))
        for name in ("pos", "neu", "neg"):
            mean = row[f"{name}_mean"]
            assert (mean is None) == (row["scored"] == 0)
            assert (mean or 0) * row["scored"] == pytest.approx(sums[start, key, name] / 1e6, abs=1e-6 * row["scored"])
    assert +got == +expected
    assert told["windows"] == sorted(told["windows"], key=lambda row: (row["window_start"], row["key"]))
    columns = (
        "task window_start window_seconds by key total scored positive neutral negative mixed unscored pos_mean "
        "neu_mean neg_mean revision final"
    )
    assert list(told["windows"][0]) == columns.split()


async def test_by_model_there_are_counts_alone() -> None:
    world = new_world()
    world.say("aurora", NOW_MS, label="positive")
    world.say("aurora", NOW_MS, label="unscored")
    world.publish()
    world.say("aurora", NOW_MS + 60_000, label="negative")
    async with Serving(world) as served:
        told = await served.get(f"/api/windows?task=aurora&by=model&from={NOW_MS - 60_000}&to={NOW_MS + 120_000}")
    model = world.say("aurora", NOW_MS, label="neutral").model
    assert [(row["key"], row["total"], row["scored"]) for row in told["windows"]] == [(model, 1, 1)] * 2
    assert {row[name] for row in told["windows"] for name in ("positive", "unscored", "pos_mean")} == {None}


async def test_a_live_window_replaces_what_history_has_of_it() -> None:
    world = new_world()
    world.say("aurora", NOW_MS, lang="de", label="positive")
    world.publish()
    world.say("aurora", NOW_MS, lang="fr", label="negative")
    async with Serving(world) as served:
        told = await served.get(f"/api/windows?task=aurora&by=lang&from={NOW_MS - 60_000}&to={NOW_MS + 60_000}")
    assert [(row["key"], row["total"]) for row in told["windows"]] == [("de", 1), ("fr", 1)]


async def test_history_wins_where_its_revision_is_higher() -> None:
    world = new_world()
    world.say("aurora", NOW_MS, label="positive")
    world.publish()
    key = next(key for key in world.stored if key[1] == 60)
    world.stored[key] = world.stored[key]._replace(revision=7, overall=world.stored[key].overall._replace(positive=5))
    async with Serving(world) as served:
        told = await served.get(f"/api/windows?task=aurora&from={NOW_MS - 60_000}&to={NOW_MS + 60_000}")
    assert [(row["revision"], row["positive"]) for row in told["windows"]] == [(7, 5)]


async def test_without_a_range_the_newest_windows_come() -> None:
    world = new_world()
    for minute in range(130):
        world.say("old-file", NOW_MS + minute * 60_000)
    world.publish()
    async with Serving(world) as served:
        told = await served.get("/api/windows?task=old-file")
        early = await served.get(f"/api/windows?task=old-file&from={NOW_MS}")
        empty = await served.get("/api/windows?task=tram")
    assert (told["size"], told["by"], len(told["windows"])) == (60, "all", 120)
    assert told["windows"][-1]["window_start"] == rfc3339(NOW_MS + 129 * 60_000)
    assert len(early["windows"]) == 130
    assert empty["windows"] == []


async def test_posts_are_newest_first_and_retracted_ones_gone() -> None:
    world = new_world()
    said = [world.say("aurora", NOW_MS + at * 1000, content=f"number {at}") for at in range(10)]
    world.take_back(said[8])
    async with Serving(world) as served:
        told = await served.get("/api/posts?task=aurora&limit=3")
        every = await served.get("/api/posts?task=aurora")
    assert [post["content"] for post in told["posts"]] == ["number 9", "number 7", "number 6"]
    assert len(every["posts"]) == 9
    columns = "id source task time lang lang_confidence label pos neu neg model unscored_reason late content correction"
    assert list(told["posts"][0]) == columns.split()
    assert told["posts"][0]["time"] == rfc3339(NOW_MS + 9000)


async def test_feeds_and_health_say_how_they_are() -> None:
    world = new_world()
    world.report()
    world.lags = {"pulse": 12}
    world.health.report("feed/demo", State.FAILED, "connection refused", "it is tried again")
    async with Serving(world) as served:
        feeds = (await served.get("/api/feeds"))["feeds"]
        health = await served.get("/api/health")
    assert [(feed["name"], feed["state"], feed["tasks"]) for feed in feeds] == [
        ("demo", "caught up", ["aurora", "tram"])
    ]
    assert (feeds[0]["watermark"], feeds[0]["behind_s"]) == (rfc3339(NOW_MS - 5000), 5.0)
    assert (health["ready"], health["healthy"], health["lag"]) == (True, False, {"pulse": 12})
    demo = next(part for part in health["parts"] if part["part"] == "feed/demo")
    assert demo == {
        "part": "feed/demo",
        "state": "failed",
        "since": rfc3339(NOW_MS),
        "why": "connection refused",
        "remedy": "it is tried again",
    }


async def test_probes() -> None:
    world = new_world()
    world.is_ready = False
    async with Serving(world) as served:
        assert await served.get("/live") == {"live": True}
        assert (await served.get("/ready", 503))["error"]["reason"] == "recovery is not complete"
        world.health.report("log", State.FAILED, "the disk is full", "free some space")
        assert (await served.get("/ready", 503))["error"]["reason"] == "log: the disk is full"
        world.is_ready = True
        assert await served.get("/ready") == {"ready": True}


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/api/nope", 404, "nothing at '/api/nope'"),
        ("/api", 404, "nothing at '/api'"),
        ("/api/", 404, "nothing at '/api/'"),
        ("/api/windows", 400, "no task is named"),
        ("/api/windows?task=", 400, "no task is named"),
        ("/api/windows?task=nobody", 404, "there is no such task"),
        ("/api/windows?task=aurora&size=7", 400, "size='7' is not known"),
        ("/api/windows?task=aurora&size=60&size=60", 400, "size stands more than once"),
        ("/api/windows?task=aurora&by=author", 400, "by='author' is not known"),
        ("/api/windows?task=aurora&colour=red", 400, "there is no parameter 'colour' here"),
        ("/api/windows?task=aurora&from=yesterday", 400, "from='yesterday' is no time"),
        ("/api/windows?task=aurora&from=2025-03-01T12:00:00", 400, "does not say its offset"),
        ("/api/windows?task=aurora&to=999999999999999", 400, "outside the years 1 to 9999"),
        ("/api/windows?task=aurora&from=2000&to=1000", 400, "from is after to"),
        ("/api/windows?task=aurora&size=10&from=0&to=100001000", 400, "that is 10001 windows of 10 s"),
        ("/api/posts?task=aurora&limit=0", 400, "limit=0 is out of range"),
        ("/api/posts?task=aurora&limit=1001", 400, "limit=1001 is out of range"),
        ("/api/posts?task=aurora&limit=ten", 400, "limit='ten' is no whole number"),
        ("/api/posts?task=aurora&limit=%D9%A3", 400, "is no whole number"),
        ("/api/tasks?task=aurora", 400, "there is no parameter 'task' here"),
        ("/events?since=1", 400, "there is no parameter 'since' here"),
        ("/api/windows?task=a%00%1b[31m%E2%80%AE", 404, "there is no such task"),
    ],
)
async def test_mistakes_are_told(path: str, status: int, reason: str) -> None:
    async with Serving(new_world()) as served:
        error = (await served.get(path, status))["error"]
    assert reason in error["reason"]
    assert error["hint"]


async def test_an_unknown_task_is_told_the_known_ones() -> None:
    async with Serving(new_world()) as served:
        assert (await served.get("/api/posts?task=x", 404))["error"]["known"] == ["aurora", "tram"]


async def test_a_failure_inside_is_told_without_its_details(monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world()

    async def broken(*arguments: Any) -> Any:
        raise RuntimeError("secret place /var/x")

    monkeypatch.setattr(world.history, "posts", broken)
    async with Serving(world) as served:
        error = (await served.get("/api/posts?task=aurora", 500))["error"]
    assert error == {"reason": "something went wrong here", "hint": "the log says what"}


async def test_a_time_with_an_offset_is_understood_also_when_its_plus_became_a_space() -> None:
    world = new_world()
    world.say("aurora", 1_740_000_000_000)
    async with Serving(world) as served:
        for moment in ("2025-02-19T22:20:00%2B01:00", "2025-02-19T22:20:00+01:00", "2025-02-19T21:20:00Z", NOW_MS):
            told = await served.get(f"/api/windows?task=aurora&from={moment}&to=2025-02-20T00:00:00Z")
            assert (told["from"], len(told["windows"])) == ("2025-02-19T21:20:00.000Z", 1)


@given(st.integers(EARLIEST_MS, LATEST_MS))
def test_times_are_rfc_3339_and_say_the_very_millisecond(moment_ms: int) -> None:
    text = rfc3339(moment_ms)
    assert len(text) == 24 and text.endswith("Z")
    parsed = datetime.fromisoformat(text)
    assert (parsed - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution * 1000) == moment_ms


async def test_a_chart_has_as_many_points_as_it_can_show() -> None:
    """`size=auto` takes the smallest size that fits, and one that is kept throughout the range."""
    world = new_world()
    begin = NOW_MS - NOW_MS % 86_400_000
    for hour in range(48):
        world.say("aurora", begin + hour * 3_600_000, lang="en")
    world.close("aurora", begin + 4 * 86_400_000)
    world.publish()
    asked: list[int] = []
    real = world.history.windows
    kept_s = 10

    async def windows(task: str, size_s: int, from_ms: int, to_ms: int, by: By) -> list[FiguresRow]:
        asked.append(size_s)
        rows = await real(task, max(size_s, kept_s), from_ms, to_ms, by)
        return list(rows)

    world.history.windows = windows  # type: ignore[method-assign]
    async with Serving(world) as served:

        async def chart(more: str, days: float) -> int:
            url = f"/api/windows?task=aurora&size=auto&from={begin}&to={begin + round(days * 86_400_000)}{more}"
            told = await served.get(url)
            assert {row["window_seconds"] for row in told["windows"]} <= {told["size"]}
            return int(told["size"])

        assert [await chart("", days) for days in (0.1, 0.34, 1, 30, 32, 130, 3_000)] == [
            10, 10, 60, 900, 3_600, 86_400, 86_400
        ]  # fmt: skip
        assert [await chart("&by=lang", days) for days in (0.08, 0.5, 7, 30)] == [10, 60, 900, 3_600]
        assert await chart("&points=24", 1) == 3_600
        kept_s = 60  # of this range there are no windows of 10 s any more
        assert await chart("", 0.1) == 60 and asked[-2:] == [10, 60]
        told = await served.get(f"/api/windows?task=aurora&size=10&from={begin}&to={begin + 3_600_000}")
        assert [(row["window_seconds"], row["total"]) for row in told["windows"]] == [(60, 1)]  # and it says so
        told = await served.get("/api/windows?task=aurora&size=auto")
        assert sum(row["total"] for row in told["windows"]) == 48  # from the first window to the last
        failed = await served.get("/api/windows?task=aurora&size=auto&from=0&to=2000000000000&points=0", status=400)
        assert failed["error"]["reason"] == "points=0 is out of range"


async def test_live_windows_are_not_laid_over_days_that_larger_ones_tell_of() -> None:
    world = new_world()
    world.say("aurora", NOW_MS)
    world.publish()
    kept = await world.history.windows("aurora", 60, NOW_MS - 60_000, NOW_MS + 60_000, "all")

    async def windows(*_: object) -> list[FiguresRow]:
        return list(kept)

    world.history.windows = windows  # type: ignore[method-assign, assignment]
    async with Serving(world) as served:
        told = await served.get(f"/api/windows?task=aurora&size=10&from={NOW_MS - 60_000}&to={NOW_MS + 60_000}")
    assert [(row["window_seconds"], row["total"]) for row in told["windows"]] == [(60, 1)]
