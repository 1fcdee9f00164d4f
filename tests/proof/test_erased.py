"""What is deleted on the network is in no file soon after, while texts beside it stay; also if killed on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heartbeat.testing.jetstream import JetstreamServer
from heartbeat.testing.jetstream_story import KEYWORD, Said, rfc3339, tid
from heartbeat.testing.jetstream_streams import Told
from tests.proof.processes import free_port, kill, listens
from tests.proof.test_bluesky import caught_up, worker

GONE, DELETED, STAYS = "zyxwvut-quark", "zyxwvut-lepton", "zyxwvut-boson"
"""Stand in texts, and in no code, model or schema."""
KEEP_HOURS = {"HEARTBEAT_CONTENT_HOURS": "0.1"}
"""Six minutes: nothing goes by its time while this runs. What is deleted is looked for after a twentieth of that."""


def holding(data: Path, mark: str) -> set[str]:
    """The files in which a text can be read."""
    return {path.name for path in data.rglob("*") if path.is_file() and mark.encode() in path.read_bytes()}


def said(what: str, did: str, text: str = "", rkey: str = "") -> Said:
    us = time.time_ns() // 1000
    return Said(us, f"did:plc:{did}", what, rkey or tid(us), f"{KEYWORD} {text}", rfc3339(us))


def rubbish(did: str, text: str) -> Said:
    """A post that is none of ours to keep: its text holds a NUL character."""
    us = time.time_ns() // 1000
    record = {"text": f"{text}\0", "createdAt": rfc3339(us)}
    commit = {"operation": "create", "collection": "app.bsky.feed.post", "rkey": "r", "record": record}
    frame = {"did": f"did:plc:{did}", "time_us": us, "kind": "commit", "commit": commit}
    return Said(us, did, "rubbish", raw=json.dumps(frame).encode())


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.2)


@pytest.mark.timeout(240)
async def test_deleted_posts_and_accounts_are_erased_in_topics_history_and_dead_letters(tmp_path: Path) -> None:
    data, port, told = tmp_path / "data", free_port(), Told()
    async with JetstreamServer(told) as server:
        running = worker(tmp_path, server.url(), port, HEARTBEAT_FAULTS="erasure.step:kill:@1", **KEEP_HOURS)
        try:
            assert await asyncio.to_thread(listens, data, running)
            await until(lambda: caught_up(port))
            told.tell(*(said("create", "leaves", GONE) for _ in range(700)), rubbish("leaves", GONE))
            told.tell(said("create", "stays", STAYS), said("create", "stays", DELETED, "k"), rubbish("stays", STAYS))
            for mark in (GONE, DELETED, STAYS):
                await until(lambda mark=mark: {"log.db", "history.db"} <= names(holding(data, mark)))  # type: ignore[misc]
            told.tell(said("gone", "leaves"), said("delete", "stays", rkey="k"))
            await until(lambda: running.poll() is not None, 100)
            assert "log.db" in names(holding(data, GONE)), "nothing of the step that was cut off has become durable"
            running = worker(tmp_path, server.url(), port, **KEEP_HOURS)
            assert await asyncio.to_thread(listens, data, running)
            await until(lambda: not holding(data, GONE) and not holding(data, DELETED), 100)
            assert {"log.db", "history.db"} <= names(holding(data, STAYS))
        finally:
            kill(running)
    assert not holding(data, GONE) and not holding(data, DELETED)
    log = (tmp_path / "worker.log").read_text()
    assert GONE not in log and DELETED not in log and "did:plc" not in log


def names(files: set[str]) -> set[str]:
    """Without what tells a WAL from its file."""
    return {name.removesuffix("-wal") for name in files}
