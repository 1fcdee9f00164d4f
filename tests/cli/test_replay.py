"""`heartbeat replay` as its user sees it: what it says of damaged files, rubbish, signals and a worker that is gone."""

from __future__ import annotations

import gzip
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartbeat import control
from tests.cli.commands import POST, Done, finish, run, start


def replay(data: Path, *files: Path) -> Done:
    return run("replay", *map(str, files), "--data-dir", str(data))


def posts(count: int) -> str:
    return "".join(POST % f"{number}-{number * 7919 % 100_003}" for number in range(count))


def test_a_file_that_was_cut_short_is_counted_and_is_a_failure(tmp_path: Path) -> None:
    whole = gzip.compress(posts(4_000).encode())
    file = tmp_path / "cut.gz"
    file.write_bytes(whole[: len(whole) // 2])
    first = replay(tmp_path / "data", file)
    assert first.code == 1
    assert f"Error: {file} is damaged or cut short after line " in first.err
    assert "what was readable has been counted" in first.err and "every window closed" in first.err
    again = replay(tmp_path / "data", file)
    assert again.code == 1 and "had been through before" in again.err
    assert [line for line in first.err.splitlines() if line.startswith("Error: ")] == [
        line for line in again.err.splitlines() if line.startswith("Error: ")
    ]
    rows = run("export", "windows", "--size", "60", "--format", "jsonl", "--data-dir", str(tmp_path / "data"))
    assert json.loads(rows.out)["total"] > 500 and json.loads(rows.out)["final"]


def test_files_in_which_nothing_is_a_post_are_failures_but_empty_ones_are_not(tmp_path: Path) -> None:
    utf16, binary, good = tmp_path / "utf16.jsonl", tmp_path / "binary", tmp_path / "good.jsonl"
    utf16.write_text(posts(3), encoding="utf-16")
    binary.write_bytes(bytes(range(256)) * 20)
    good.write_text(posts(2) + "rubbish\n")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    done = replay(tmp_path / "data", utf16, good, binary, empty)
    assert done.code == 1 and "2 posts in task replay, every window closed" in done.err
    for file in (utf16, binary):
        assert f"Error: {file}: not one of its lines is a post" in done.err
    assert f"Error: {good}" not in done.err and f"{empty} is empty" in done.err
    done = replay(tmp_path / "other", empty)
    assert done.code == 0 and "0 posts in task" in done.err and f"{empty} is empty" in done.err


def test_the_first_rejected_lines_are_named_and_deadletters_lists_them(tmp_path: Path) -> None:
    file, data = tmp_path / "posts.jsonl", tmp_path / "data"
    file.write_text(POST % "1" + "SECRET no json\n")
    done = replay(data, file)
    assert done.code == 0 and "1 post in task" in done.err
    assert "1 item was no post:" in done.err and f"  {file}:2: is no JSON" in done.err and "more" not in done.err
    listed = run("deadletters", "list", "--data-dir", str(data))
    assert listed.code == 0 and f"  feed  {file}:2: is no JSON" in listed.out and len(listed.out.splitlines()) == 1

    many = tmp_path / "many.jsonl"
    many.write_text(POST % "1" + "SECRET\n" * 9)
    done = run("replay", str(many), "--task", "many", "--data-dir", str(data))
    assert f"{many}:6: " in done.err and f"{many}:7: " not in done.err
    assert "9 items were no posts:" in done.err and "4 more; see `heartbeat deadletters list`" in done.err
    listed = run("deadletters", "list", "--json", "--limit", "3", "--data-dir", str(data))
    letters = [json.loads(line) for line in listed.out.splitlines()]
    assert [letter["place"] for letter in letters] == [f"{many}:{number}" for number in (8, 9, 10)]
    assert {letter["agent"] for letter in letters} == {"feed"} and letters[0]["topic"].startswith("replay:")
    assert letters[0]["time"].endswith("Z") and "SECRET" not in done.err + listed.out
    none = run("deadletters", "list", "--data-dir", str(tmp_path / "nowhere"))
    assert none.code == 1 and "there is no data directory" in none.err and not (tmp_path / "nowhere").exists()


@contextmanager
def listening(data: Path) -> Iterator[socket.socket]:
    """What a worker's socket looks like from outside, in hands of ours."""
    data.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / control.NAME))
        server.listen()
        server.settimeout(60)
        yield server


@pytest.mark.parametrize("how", ["before it has read the call", "within a line", "between two lines"])
def test_a_worker_that_is_killed_in_the_middle_is_told_as_one_line(tmp_path: Path, how: str) -> None:
    file = tmp_path / "posts.jsonl"
    file.write_text(POST % "1")
    with listening(tmp_path / "d") as server:
        process = start("replay", str(file), "--data-dir", str(tmp_path / "d"))
        worker, _ = server.accept()
        worker.settimeout(60)
        assert worker.recv(1)  # the rest lies unread when it closes: that resets the connection
        if how != "before it has read the call":
            while not worker.recv(65536).endswith(b"\n"):
                pass
            part = {"state": "reading", "fraction": 0.5, "posts": 7, "posts_per_s": 1.0, "done": False}
            worker.sendall(json.dumps(part).encode() + b"\n" + (b'{"sta' if how == "within a line" else b""))
        worker.close()
        done = finish(process)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "Error: the worker went away in the middle; start the command again and it goes on"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_through_a_worker_that_is_stopped_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "posts.jsonl"
    file.write_text(POST % "1")
    with listening(tmp_path / "d") as server:
        process = start("replay", str(file), "--data-dir", str(tmp_path / "d"))
        worker, _ = server.accept()
        with worker:
            process.send_signal(number)
            done = finish(process)
    assert (done.code, done.err) == (1, "Error: stopped; start the command again and it goes on\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_alone_that_is_stopped_says_the_same_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    file, data = tmp_path / "posts.jsonl", tmp_path / "data"
    file.write_text(POST % "1" + (POST % "2").replace("4800000", "4900000"))
    process = start("replay", str(file), "--speed", "1", "--data-dir", str(data))
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("reading"), line
    process.send_signal(number)
    done = finish(process)
    assert (done.code, done.err) == (1, "Error: stopped; start the command again and it goes on\n")
    done = replay(data, file)
    assert done.code == 0 and "through: 2 posts in task replay, every window closed" in done.err
