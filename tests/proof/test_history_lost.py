"""A history that is lost: what topics still hold is read again, and nobody is told that all is well when it is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from heartbeat.clock import SystemClock
from heartbeat.engine.log import ONLY_FOR, TP, Advance, Append, UnitWrite
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.health import HealthBoard, State
from heartbeat.history_start import AGENTS, PART, HistoryStart
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.topics import DAY_MS, PULSE
from tests.cli.commands import POST, Done, run
from tests.cli.inside import inside
from tests.proof.processes import kill, listens, worker

MISSING = "windows and posts that the topics do not hold any more are missing from charts and exports"


def replay(data: Path, file: Path, task: str = "g") -> Done:
    return run("replay", str(file), "--task", task, "--data-dir", str(data))


def exported(data: Path) -> str:
    tables = [inside("export", table, "--data-dir", str(data), "--task", "g") for table in ("windows", "posts")]
    return "".join(done.out + done.err for done in tables)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where a file of posts has been replayed into the task `g`."""
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(POST.replace("4800000", f"48{n:05}") % n for n in range(0, 60_000, 300)))
    assert replay(tmp_path / "data", file).code == 0
    return tmp_path / "data"


def test_an_empty_history_is_refused_and_a_lost_one_is_read_again(data: Path) -> None:
    before, file = exported(data), data.parent / "posts.jsonl"
    assert len(before.splitlines()) > 200
    (data / "history.db").write_bytes(b"")
    for words in (["replay", str(file), "--task", "g"], ["export", "windows"], ["worker"]):
        done = run(*words, "--data-dir", str(data))
        assert done.code == 1 and "history.db is damaged" in done.err and "move it away" in done.err
    (data / "history.db").unlink()
    done = replay(data, file)
    assert done.code == 0 and "had been through before: 200 posts" in done.err
    assert "the history is new, although its topics had been read before" in done.err and MISSING not in done.err
    assert exported(data) == before
    done = replay(data, file)
    assert done.code == 0 and "the history is new" not in done.err


def test_what_the_topics_do_not_hold_any_more_is_lost_and_said_to_be(data: Path) -> None:
    file = data.parent / "posts.jsonl"

    async def forget() -> None:
        clock = FakeClock(SystemClock().now_ms() + 2 * DAY_MS)
        log = SqliteLog.open(data / "log.db", clock=clock)
        assert (await Retention(log, clock, content_ms=DAY_MS).run_once()).messages
        log.close()

    asyncio.run(forget())
    (data / "history.db").unlink()
    for first in (True, False):
        done = replay(data, file)
        assert done.code == 1 and "through" not in done.err.replace("replayed", "")
        assert "the history was lost after files had been replayed into this task" in done.err
        assert "under another name with --task" in done.err
        assert (MISSING in done.err) is first
    done = replay(data, file, task="again")
    assert done.code == 0 and "through: 200 posts in task again, every window closed" in done.err
    rows = run("export", "windows", "--size", "60", "--format", "jsonl", "--data-dir", str(data)).out.splitlines()
    assert [(json.loads(row)["task"], json.loads(row)["total"]) for row in rows] == [("again", 200)]


def test_a_worker_says_it_in_its_log_and_a_replay_through_it_says_it_too(data: Path) -> None:
    (data / "history.db").unlink()
    process = worker(data)
    try:
        assert listens(data, process)
        done = replay(data, data.parent / "posts.jsonl")
        assert done.code == 0 and "had been through before" in done.err
    finally:
        kill(process)
    log = (data.parent / "worker.log").read_text()
    assert "sink/history is waiting: the history is new" in log and MISSING not in log


def test_all_is_well_again_once_everything_has_been_read() -> None:
    tp, board, log = TP("pulse", 0), HealthBoard(SystemClock()), MemoryLog(SystemClock())
    log.create_topic(PULSE, 1)
    start = HistoryStart(log, board, {("g", tp): 1}, "the history is new")

    def state() -> State | None:
        start.look()
        status = board.get(PART)
        return None if status is None else status.state

    async def read() -> None:
        await log.write(UnitWrite([Append("pulse", 0, b"k", b"v")], [Advance("g", tp, None, 1)]))

    assert state() is State.WAITING
    asyncio.run(read())
    assert state() is State.OK
    board.report("agent/history-posts", State.WAITING, "the disk is full", "it is tried again by itself")
    assert state() is State.WAITING
    board.report("agent/history-windows", State.FAILED, "it is damaged", "move it away")
    start.look()
    status = board.get(PART)
    assert status is not None and (status.state, status.why, status.remedy) == (
        State.FAILED,
        "it is damaged",
        "move it away",
    )
    for agent in AGENTS:
        board.report(f"agent/{agent}", State.OK)
    assert state() is State.OK


def test_what_was_for_another_agent_alone_is_not_missed(data: Path) -> None:
    """A message that was given back to another agent passes the history by: it is not behind for that."""

    async def give_back() -> None:
        log = SqliteLog.open(data / "log.db", clock=SystemClock())
        for partition in range(log.partitions("pulse")):
            tp, group = TP("pulse", partition), "heartbeat-history-windows"
            end, stands = log.end_offset(tp), log.committed(group, TP("pulse", partition))
            other = Append("pulse", partition, b"k", b"v", ((ONLY_FOR, b"another"),))
            await log.write(UnitWrite([other], [Advance(group, tp, stands, end + 1)]))
        log.close()

    asyncio.run(give_back())
    done = replay(data, data.parent / "posts.jsonl")
    assert done.code == 0 and "the history is" not in done.err
