"""`/api/corrections`: what is taken, from whom, and what is said of what is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import aiohttp
import orjson
import pytest

from heartbeat.corrections import file
from heartbeat.errors import HistoryError
from heartbeat.records import Scored
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.web.shapes import rfc3339
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

NOW_MS = 1_740_000_000_000
JSON = "application/json"


def new_world() -> World:
    return World(FakeClock(NOW_MS), some_tasks("aurora", "tram"), Settings.model_validate({}))


def body(post: Scored, **more: Any) -> dict[str, Any]:
    return {"task": post.task, "source": post.source, "id": post.id, "time": rfc3339(post.time_ms), **more}


async def send(
    served: Serving, item: Any, status: int = 201, method: str = "POST", query: str = "", **headers: str
) -> Any:
    told = {"Content-Type": JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = item if isinstance(item, bytes) or item is None else orjson.dumps(item)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{served.url}/api/corrections{query}", data=data, headers=told) as response,
    ):
        answer = await response.read()
        assert response.status == status, (response.status, answer)
        return orjson.loads(answer)


async def take_back(served: Serving, query: str, status: int = 200) -> Any:
    return await served.get(f"/api/corrections?{query}", status, method="DELETE")


async def test_a_post_is_corrected_shown_so_and_taken_back() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS, label="neutral", lang="en", content="bad, bad", post_id="a/b&c")
    async with Serving(world) as served:
        made = (await send(served, body(post, label="negative", lang="de")))["correction"]
        assert made == {
            "number": 1,
            "label": "negative",
            "lang": "de",
            "corrected": rfc3339(NOW_MS),
            "confirms": False,
        }
        (row,) = (await served.get("/api/posts?task=aurora"))["posts"]
        assert (row["label"], row["lang"], row["correction"]) == ("neutral", "en", made)
        again = (await send(served, body(post, label="neutral", lang="en", seen=1)))["correction"]
        assert (again["number"], again["confirms"]) == (2, True)
        told = await take_back(served, "source=x&id=a/b%26c&number=2")
        assert told == {"removed": 1, "correction": made}
        assert await take_back(served, "source=x&id=a/b%26c") == {"removed": 1, "correction": None}
        (row,) = (await served.get("/api/posts?task=aurora"))["posts"]
        assert row["correction"] is None
        error = (await take_back(served, "source=x&id=a/b%26c", 404))["error"]
        assert error["reason"] == "there is no such correction" and error["correction"] is None
        await take_back(served, "source=x", 400)


async def test_what_is_kept_is_what_was_seen_and_no_author() -> None:
    world = new_world()
    post = world.say("tram", NOW_MS - 5_000, label="positive", lang="fr", content="x" * 5_000)
    async with Serving(world) as served:
        await send(served, body(post, label="mixed"))
        told = await served.get("/api/corrections")
    assert told["next"] is None
    (line,) = told["corrections"]
    assert line == {
        "number": 1, "source": "x", "id": post.id, "content": "x" * 5_000, "label": "mixed", "lang": None,
        "corrected": rfc3339(NOW_MS), "was_label": "positive", "was_lang": "fr",
        "was_lang_confidence": post.lang_confidence, "was_pos": post.pos, "was_neu": post.neu, "was_neg": post.neg,
        "was_model": post.model, "task": "tram", "time": rfc3339(post.time_ms), "rev": 0,
    }  # fmt: skip


async def test_pages() -> None:
    world = new_world()
    posts = [world.say("aurora", NOW_MS + at) for at in range(5)]
    async with Serving(world) as served:
        for label in ("mixed", "neutral"):
            for post in posts:
                await send(served, body(post, label=label))
            assert isinstance(world.clock, FakeClock)
            world.clock.advance(60)
        after, numbers = 0, []
        while True:
            told = await served.get(f"/api/corrections?after={after}&limit=2&every=yes")
            numbers += [line["number"] for line in told["corrections"]]
            if told["next"] is None:
                break
            after = told["next"]
        assert numbers == list(range(1, 11))
        stands = (await served.get("/api/corrections"))["corrections"]
        assert [line["number"] for line in stands] == [6, 7, 8, 9, 10]
        later = await served.get(f"/api/corrections?every=yes&since={NOW_MS + 1}")
        assert len(later["corrections"]) == 5
        await served.get("/api/corrections?limit=0", 400)
        await served.get("/api/corrections?every=maybe", 400)


async def test_two_who_correct_the_same_post_learn_of_each_other() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS, label="neutral")
    async with Serving(world) as served:
        await send(served, body(post, label="positive", seen=0))
        error = (await send(served, body(post, label="negative", seen=0), 409))["error"]
        assert "corrected elsewhere" in error["reason"] and error["correction"]["label"] == "positive"
        await send(served, body(post, label="negative", seen=error["correction"]["number"]))
        await take_back(served, f"source=x&id={post.id}")
        error = (await send(served, body(post, label="mixed", seen=2), 409))["error"]
        assert "taken back" in error["reason"] and error["correction"] is None


async def test_nobody_can_correct_what_is_not_there() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    gone = world.say("aurora", NOW_MS)
    async with Serving(world) as served:
        await send(served, body(gone, label="mixed"))
        world.take_back(gone)
        for item in (
            body(gone, label="mixed"),
            {**body(post), "id": "nobody", "label": "mixed"},
            {**body(post), "task": "tram", "label": "mixed"},
            {**body(post), "time": NOW_MS - 1, "label": "mixed"},
        ):
            error = (await send(served, item, 404))["error"]
            assert error["reason"].startswith("there is no such post")
        assert (await served.get("/api/corrections"))["corrections"] == []


async def test_a_post_whose_text_is_gone_cannot_be_corrected() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    kept = world.kept["aurora", "x", post.id]
    kept.row = kept.row._replace(content=None)
    async with Serving(world) as served:
        error = (await send(served, body(post, label="mixed"), 409))["error"]
    assert "no longer kept" in error["reason"]


async def test_a_correction_of_another_text_is_not_shown() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS, content="before")
    async with Serving(world) as served:
        await send(served, body(post, label="mixed"))
        kept = world.kept["aurora", "x", post.id]
        kept.row = kept.row._replace(content="after")
        (row,) = (await served.get("/api/posts?task=aurora"))["posts"]
        assert row["correction"] is None
        await send(served, body(post, label="neutral", seen=0))
        (line,) = (await served.get("/api/corrections?every=yes"))["corrections"]
        assert (line["content"], line["label"]) == ("after", "neutral")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "great"}, "label: Input should be"),
        ({"label": None}, "neither label nor lang is there"),
        ({"lang": "English"}, "lang: is no language of the models"),
        ({"lang": "xx"}, "lang: is no language of the models"),
        ({"seen": -1}, "seen: "),
        ({"seen": "1"}, "seen: "),
        ({"time": "today"}, "time: is no time"),
        ({"id": ""}, "id: "),
        ({"id": "x" * 2_001}, "id: "),
        ({"author": "somebody"}, "author: Extra inputs are not permitted"),
    ],
)
async def test_mistakes_are_told(change: dict[str, Any], reason: str) -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    async with Serving(world) as served:
        error = (await send(served, {**body(post, label="mixed"), **change}, 400))["error"]
        assert reason in error["reason"] and error["hint"]
        for rubbish in (b"{", b"[]", b"7", b"\xff"):
            await send(served, rubbish, 400)
        assert (await served.get("/api/corrections"))["corrections"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:{port}"},
        {"Host": "evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)
async def test_pages_of_others_change_nothing(headers: dict[str, str]) -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    async with Serving(world) as served:
        named = {name: value.format(port=served.port) for name, value in headers.items()}
        await send(served, body(post, label="mixed"), 403, **named)
        await send(served, body(post, label="mixed"), Origin=served.url, Sec_Fetch_Site="same-origin")
        await send(served, None, 403, "DELETE", f"?source=x&id={post.id}", **named)
        assert len((await served.get("/api/corrections"))["corrections"]) == 1


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
)
async def test_only_json_is_taken(kind: str) -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    async with Serving(world) as served:
        await send(served, body(post, label="mixed"), 415, Content_Type=kind)
        await send(served, body(post, label="mixed"), Content_Type="application/json; charset=utf-8")


async def test_only_a_little_is_taken_and_only_where_it_belongs() -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)
    async with Serving(world) as served, aiohttp.ClientSession() as session:
        await send(served, b" " * 20_000, 413)
        url, told = f"{served.url}/api/corrections", {"Content-Type": JSON}

        async def chunks() -> Any:
            yield b"{}"

        async with session.post(url, data=chunks(), headers=told) as response:
            assert response.status == 411
        async with session.post(f"{served.url}/api/posts", json={}) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        for method in ("PUT", "PATCH", "OPTIONS"):
            async with session.request(method, url, headers=told) as response:
                assert response.status == 405
                assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "POST", "DELETE"}
        await send(served, body(post), 400, "DELETE", "?source=x&id=1")


async def test_a_history_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world()
    post = world.say("aurora", NOW_MS)

    def seen(*arguments: Any) -> Any:
        raise HistoryError("the history /var/x cannot be used now")

    monkeypatch.setattr(world.corrections, "_find", seen)
    async with Serving(world) as served:
        error = (await send(served, body(post, label="mixed"), 503))["error"]
        assert error["hint"] == "try again; the log says why" and "/var" not in str(error)
        assert (await served.get("/api/corrections"))["corrections"] == []


async def test_a_busy_file_is_told_and_posts_are_shown_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_MS", 50)
    world = new_world()
    post = world.say("aurora", NOW_MS)
    async with Serving(world) as served:
        with closing(sqlite3.connect(world.store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            error = (await send(served, body(post, label="mixed"), 503))["error"]
            assert error == {"reason": "corrections cannot be kept now", "hint": "try again; the log says why"}
            other.execute("ROLLBACK")
        await send(served, body(post, label="mixed"))
        world.store.close()
        (row,) = (await served.get("/api/posts?task=aurora"))["posts"]
        assert row["content"] == post.content and row["correction"] is None
        await served.get("/api/corrections", 503)
        await take_back(served, f"source=x&id={post.id}", 503)
