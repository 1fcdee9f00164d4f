"""When their time is over, posts' texts and authors are in no file of the data directory, however they came there."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.proof.processes import finish, kill, listens, replay, worker

MARK = "zyxwvut-quark"
"""Stands in every text, and in no code, model or schema."""
AUTHOR = "qqauthorqq"
HOURS = 0.0025
SHORT = {"HEARTBEAT_CONTENT_HOURS": str(HOURS)}
"""Nine seconds: long enough for the posts to be found before."""


def write_posts(path: Path) -> int:
    """Posts, edits, deletions, and lines that go to dead letters with all that stands in them."""
    lines: list[bytes] = []
    for number in range(1_500):
        post = {
            "id": f"p{number}", "source": "x", "content": f"so good, {MARK} {number} " + "and so on " * (number % 40),
            "time": 1_763_794_800_000 + 1_000 * number, "author": f"{AUTHOR}{number}",
        }  # fmt: skip
        lines.append(json.dumps(post).encode())
        if number % 50 == 0:
            lines.append(json.dumps({**post, "rev": 1, "content": f"awful, {MARK} edited"}).encode())
        if number % 70 == 0:
            lines.append(json.dumps({**post, "op": "delete"}).encode())
        if number % 90 == 0:
            lines.append(json.dumps({**post, "time": "never"}).encode())
        if number % 110 == 0:
            lines.append(f"no JSON but {MARK} by {AUTHOR}".encode())
    path.write_bytes(b"\n".join(lines) + b"\n")
    return len(lines)


def holding(data: Path) -> dict[str, int]:
    """How often a text or an author can be read in each file, also as UTF-16 or in pieces of a page."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(data):
        for name in names:
            path = Path(folder) / name
            if path.is_file():
                raw = path.read_bytes()
                marks = [mark.encode(code) for mark in (MARK, AUTHOR) for code in ("utf-8", "utf-16-le")]
                if count := sum(raw.count(mark) for mark in marks):
                    found[name] = count
    return found


@pytest.mark.timeout(240)
def test_nothing_of_a_post_is_left_when_its_time_is_over(tmp_path: Path) -> None:
    posts, data = tmp_path / "posts.jsonl", tmp_path / "data"
    write_posts(posts)
    running = worker(data, HEARTBEAT_LOG_LEVEL="debug", **SHORT)
    try:
        assert listens(data, running)
        replaying = replay(posts, data, **SHORT)
        seen: set[str] = set()
        while replaying.poll() is None:
            seen |= holding(data).keys()
            time.sleep(0.05)
        seen |= holding(data).keys()
        code, said = finish(replaying)
        assert code == 0, said
        assert {"log.db", "history.db"} & {name.removesuffix("-wal") for name in seen} == {"log.db", "history.db"}
        for fault in ("retention.step:kill:@2", "retention.checkpoint:kill:@1"):
            kill(running)
            running = worker(data, faults=fault, **SHORT)
            assert running.wait(60) == -9, "killed while it clears up"
        running = worker(data, HEARTBEAT_LOG_LEVEL="debug", **SHORT)
        by = time.monotonic() + 120
        while (left := holding(data)) and time.monotonic() < by:
            time.sleep(0.5)
        assert left == {}
        kill(running)
        assert holding(data) == {}
    finally:
        kill(running)
    log = (tmp_path / "worker.log").read_text()
    assert MARK not in log and AUTHOR not in log
    with closing(sqlite3.connect(data / "log.db")) as connection:
        letters = connection.execute(
            "SELECT count(*) FROM chunks JOIN partitions ON chunks.id >> 40 = partitions.slot "
            "JOIN topics ON topics.id = partitions.topic WHERE topics.name = 'deadletters'"
        ).fetchone()[0]
    assert letters == 0
