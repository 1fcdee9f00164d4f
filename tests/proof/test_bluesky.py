"""Bluesky from end to end: a host that misbehaves, a worker that is killed, and windows that equal the oracle."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.engine.log import UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.feeds.cursors import Standing
from heartbeat.feeds.jetstream_place import Place
from heartbeat.records import Post
from heartbeat.testing.jetstream_story import KEYWORD, Said, Shares, Story
from tests.proof.material import FAST, TASK, difference, exported, exported_posts, measured, rows_of
from tests.proof.processes import environment, free_port, kill, listens

STEP_US = 25_000
PARTITIONS = 4
MINUTE_MS = 60_000
CALM_US = 20 * 60 * 1_000_000
"""The story ends so long before now: all of its windows are sealed once the feed has caught up."""


@dataclass
class Oracle:
    """What the pipeline has to be given, worked out from what was said, one event after the other."""

    posts: list[Post] = field(default_factory=list)
    deletions: int = 0
    deleted: int = 0
    accounts: int = 0
    _passed: dict[str, dict[str, None]] = field(default_factory=dict)

    def hear(self, number: int, said: Said) -> None:
        """One event."""
        if said.what in ("create", "update"):
            self._write(number, said)
        elif said.what == "delete":
            self.deletions += 1
            if _id(said) in self._passed.get(said.did, ()):
                self.deleted += 1
                self._delete(_id(said))
        elif said.what == "gone":
            gone = self._passed.pop(said.did, {})
            self.accounts += bool(gone)
            for post_id in gone:
                self._delete(post_id)

    def _write(self, number: int, said: Said) -> None:
        matches, mine = KEYWORD in said.text.lower(), self._passed.get(said.did, {})
        if not matches and (said.what == "create" or _id(said) not in mine):
            return
        self._passed.setdefault(said.did, {})[_id(said)] = None
        seen_ms = said.us // 1000
        try:
            time_ms = round(datetime.fromisoformat(said.created).timestamp() * 1e6) // 1000
        except ValueError:
            time_ms = seen_ms
        if not seen_ms - 15 * MINUTE_MS <= time_ms <= seen_ms + MINUTE_MS:
            time_ms = seen_ms
        self.posts.append(
            Post(
                _id(said), "bluesky", "bluesky", [TASK] if matches else [], "upsert",
                number + 1 if said.what == "update" else 0, said.text, time_ms, seen_ms,
                lang_hint=said.langs[0] if said.langs else None,
            )
        )  # fmt: skip

    def _delete(self, post_id: str) -> None:
        self.posts.append(Post(post_id, "bluesky", "bluesky", [], "delete", 0, "", 0, 0))


def _id(said: Said) -> str:
    return f"at://{said.did}/app.bsky.feed.post/{said.rkey}"


async def begin_at(data: Path, us: int) -> None:
    """Have the feed begin at a time, as if it had stood there when its worker was stopped."""
    data.mkdir(parents=True)
    log = SqliteLog.open(data / "log.db", clock=SystemClock())
    for topic in topics.ALL:
        log.create_topic(topic, PARTITIONS)
    await log.write(UnitWrite([Standing("bluesky", Place(us).cursor()).append(PARTITIONS)]))
    log.close()


@contextmanager
def host(port: int, *words: str) -> Iterator[None]:
    """A Jetstream host in a process of its own."""
    command = [sys.executable, "-m", "heartbeat.testing.jetstream", "--port", str(port), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and b"v1 at" in process.stdout.readline()
        yield
    finally:
        kill(process)


def worker(folder: Path, host_url: str, web_port: int, **more: str) -> subprocess.Popen[bytes]:
    """A worker that follows it, with one task."""
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "tasks.yaml").write_text(f"tasks:\n  - name: {TASK}\n    query: {KEYWORD}\n    feeds: [bluesky]\n")
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "heartbeat.testing.faults", "worker", "--data-dir", str(folder / "data")],
            env=environment(
                HEARTBEAT_WEB_PORT=str(web_port),
                HEARTBEAT_CONFIG_DIR=str(config),
                HEARTBEAT_BLUESKY_HOSTS=json.dumps([host_url]),
                HEARTBEAT_SENTIMENT_MODEL=FAST,
                HEARTBEAT_SENTIMENT_FAST_MODEL=FAST,
                **more,
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def caught_up(web_port: int) -> bool:
    """Whether the feed is, and everything that it brought has been worked off."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/api/feeds", timeout=5) as answer:
            (feed,) = json.load(answer)["feeds"]
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/api/health", timeout=5) as answer:
            lag = json.load(answer)["lag"]
    except (OSError, ValueError):
        return False
    return bool(feed["state"] == "caught up" and lag and not any(lag.values()))


def prove(
    folder: Path,
    *,
    events: int,
    kills: int,
    troubles: str,
    version: int,
    every_s: tuple[float, float],
    pace: float | None,
    shares: Shares,
) -> None:
    """Follow a story of so many events to its end, killed so often on the way, and compare."""
    dice, port, web_port = random.Random(events), free_port(), free_port()
    begin_us = time.time_ns() // 1000 - CALM_US - events * STEP_US
    asyncio.run(begin_at(folder / "data", begin_us))
    words = ["--events", str(events), "--begin-us", str(begin_us), "--trouble", troubles]
    words += ["--about", str(shares.about), "--deletions", str(shares.delete)]
    path = "/xrpc/network.bsky.jetstream.subscribeEvents" if version == 2 else "/subscribe"
    with host(port, *words, *([] if pace is None else ["--pace", str(pace)])):
        done = 0
        for _ in range(kills):
            process = worker(folder, f"ws://127.0.0.1:{port}{path}", web_port)
            assert listens(folder / "data", process)
            time.sleep(dice.uniform(*every_s))
            done += process.poll() is None and not caught_up(web_port)
            kill(process)
        process = worker(folder, f"ws://127.0.0.1:{port}{path}", web_port)
        try:
            story, oracle = Story(begin_us, shares=shares), Oracle()
            for number in range(events):
                oracle.hear(number, story.said(number))
            until = time.monotonic() + 600
            while not caught_up(web_port):
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.5)
            time.sleep(2.5)  # windows are published once a second
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            kill(process)
    assert done >= kills * 0.7, f"only {done} of {kills} came before the end"
    assert not (wrong := difference(measured(exported(folder / "data")), measured(rows_of(oracle.posts)))), wrong
    kept = exported_posts(folder / "data")
    assert len(kept) == len({post["id"] for post in kept}) and not any(post["late"] == "true" for post in kept)
    assert oracle.deletions > events / 200 and len(oracle.posts) > events / 150
    assert oracle.deleted > events / 20_000 and oracle.accounts > events / 10_000


MANY = Shares(about=50, delete=30)
TROUBLES = (
    "drop@7000,repeat@9000:3000,rubbish@12000,back@15000:9000,pieces@20001,close@23000:1012,huge@26001:5000000,"
    "slow@28000,away@29000:1"
)


@pytest.mark.timeout(200)
def test_fifty_thousand_events_with_kills_and_every_kind_of_trouble(tmp_path: Path) -> None:
    prove(tmp_path, events=50_000, kills=5, troubles=TROUBLES, version=1, every_s=(0.2, 1.0), pace=12_000, shares=MANY)


@pytest.mark.timeout(200)
def test_the_same_by_version_2(tmp_path: Path) -> None:
    prove(tmp_path, events=30_000, kills=2, troubles=TROUBLES, version=2, every_s=(0.2, 1.0), pace=12_000, shares=MANY)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_two_million_events_with_an_hour_away_and_twenty_kills(tmp_path: Path) -> None:
    """At its speed an hour of the story takes some seconds; for so long the host is away in its middle."""
    prove(
        tmp_path,
        events=2_000_000,
        kills=20,
        troubles="drop@100000,repeat@300000:20000,rubbish@400000,back@500000:50000,close@600000:1012,away@1000000:8,"
        "stall@1300000,slow@1500000,drop@1700000,huge@1800000:5000000",
        version=1,
        every_s=(1.0, 5.0),
        pace=None,
        shares=Shares(about=10, delete=10),
    )
