"""`heartbeat deadletters` as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import POST, Done, environment, run
from tests.cli.inside import inside
from tests.cli.letters import ends, fail, post
from tests.proof.processes import kill, listens, worker


def letters(data: Path, *words: str, **env: str) -> Done:
    return inside("deadletters", *words, "--data-dir", str(data), **env)


def listed(data: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in letters(data, "list", "--json").out.splitlines()]


def test_a_letter_is_replayed_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fail(data, [post(number) for number in range(3)])
    ids = [str(letter["letter"]) for letter in listed(data)]
    assert len(ids) == 3 and ends(data, "ingest") == 3
    done = letters(data, "replay", ids[0])
    assert done.code == 0 and f"{ids[0]}  replayed to ingest/" in done.out and "1 letter replayed" in done.err
    again = letters(data, "replay", ids[0])
    assert again.code == 1 and f"{ids[0]}  refused: it has been replayed before" in again.out
    rest = letters(data, "replay", "--all", "--json")
    assert rest.code == 0 and {json.loads(line)["letter"] for line in rest.out.splitlines()} == set(ids[1:])
    assert letters(data, "replay", "--all").err == "0 letters replayed\n"
    assert ends(data, "ingest") == 6
    assert all(str(letter["replayed_to"]).startswith("ingest/") for letter in listed(data))


@pytest.mark.parametrize("point", ["letters.replay", "log.begun", "log.commit", "log.committed", "log.report"])
def test_killed_in_the_middle_it_is_replayed_once_all_the_same(tmp_path: Path, point: str) -> None:
    data = tmp_path / "data"
    fail(data, [post(number) for number in range(5)])
    words = ["deadletters", "replay", "--all", "--data-dir", str(data)]
    killed = subprocess.run(
        [sys.executable, "-m", "heartbeat.testing.faults", *words],
        env=environment(HEARTBEAT_FAULTS=f"{point}:kill:@1"),
        capture_output=True,
        timeout=180,
    )
    assert killed.returncode in (-9, 0)
    assert ends(data, "ingest") in (5, 10)
    assert letters(data, "replay", "--all").code == 0
    assert ends(data, "ingest") == 10


def test_a_worker_that_runs_is_asked_and_goes_on_with_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fail(data, [post(number) for number in range(4)])
    process = worker(data)
    try:
        assert listens(data, process)
        done = letters(data, "replay", "--agent", "language")
        assert done.code == 0 and "4 letters replayed" in done.err
        file = tmp_path / "posts.jsonl"
        file.write_text(POST % "9")
        assert run("replay", str(file), "--data-dir", str(data)).code == 0  # all that is before it is through then
        assert letters(data, "purge", "--all", "--yes").code == 0
    finally:
        kill(process)
    posts = run("export", "posts", "--task", "t", "--format", "jsonl", "--data-dir", str(data)).out.splitlines()
    assert sorted(json.loads(line)["id"] for line in posts) == ["0", "1", "2", "3"]
    assert listed(data) == []


def test_contents_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fail(data, [post(1, content="SECRET text")])
    (letter,) = listed(data)
    for words in (
        ["list"],
        ["list", "--json"],
        ["show", str(letter["letter"])],
        ["show", str(letter["letter"]), "--json"],
    ):
        done = letters(data, *words)
        assert done.code == 0 and "SECRET" not in done.out and "somebody" not in done.out
    shown = json.loads(letters(data, "show", str(letter["letter"]), "--json").out)
    assert shown["type"] == "Post" and shown["value"]["content_length"] == 11 and shown["value"]["id"] == "1"
    shown = letters(data, "show", str(letter["letter"]), "--content")
    assert "SECRET text" in shown.out and "somebody" in shown.out


def test_what_is_no_post_cannot_be_replayed_and_it_is_said_why(tmp_path: Path) -> None:
    file, data = tmp_path / "posts.jsonl", tmp_path / "data"
    file.write_text(POST % "1" + "SECRET no json\n")
    assert run("replay", str(file), "--data-dir", str(data)).code == 0
    (letter,) = listed(data)
    done = letters(data, "replay", str(letter["letter"]))
    assert done.code == 1 and "refused: it never became a message" in done.out
    shown = letters(data, "show", str(letter["letter"]))
    assert shown.code == 0 and "SECRET" not in shown.out and f"{file}:2" in shown.out
    assert "SECRET no json" in letters(data, "show", str(letter["letter"]), "--content").out


def test_purged_letters_leave_nothing_in_any_file(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "posts.jsonl"
    file.write_text(POST % "1" + "KEPT line\n" + "".join(f"SECRET{number} no json\n" for number in range(30)))
    assert run("replay", str(file), "--data-dir", str(data)).code == 0

    def holds(text: bytes) -> bool:
        return any(text in path.read_bytes() for path in data.iterdir() if path.is_file())

    assert holds(b"SECRET12") and holds(b"KEPT line")
    assert letters(data, "purge", "--all").code == 1  # it asks, and nobody answers
    assert holds(b"SECRET12")
    ids = [str(letter["letter"]) for letter in sorted(listed_all(data), key=lambda each: str(each["place"]))]
    done = letters(data, "purge", *ids[:7], "--yes")
    assert done.code == 0 and "7 letters erased" in done.err
    done = letters(data, "purge", "--reason", "json", "--older-than", "7d", "--yes")
    assert done.code == 0 and "there are none to erase" in done.err
    left = {str(letter["letter"]) for letter in listed_all(data)}
    assert left == set(ids[7:])
    keep = next(str(each["letter"]) for each in listed_all(data) if str(each["place"]).endswith(":2"))
    assert letters(data, "purge", *(left - {keep}), "--yes").code == 0
    assert not holds(b"SECRET") and holds(b"KEPT line")
    assert [each["letter"] for each in listed_all(data)] == [keep]
    assert [each["letter"] for each in listed(data)] == [keep]  # it lies behind many that are gone
    assert letters(data, "purge", ids[0], "--yes").code == 1
    assert run("replay", str(file), "--data-dir", str(data)).code == 0


def listed_all(data: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in letters(data, "list", "--json", "--limit", "1000").out.splitlines()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["replay"], "say which"),
        (["purge"], "say which"),
        (["replay", "0/1", "--all"], "not both"),
        (["replay", "nonsense"], "is no letter"),
        (["purge", "--older-than", "soon", "--yes"], "is no length of time"),
        (["show", "1"], "is no letter"),
    ],
)
def test_wrong_usage(tmp_path: Path, words: list[str], says: str) -> None:
    fail(tmp_path / "data", [])
    done = letters(tmp_path / "data", *words)
    assert done.code == 2 and says in done.err


def test_without_a_log_nothing_is_made(tmp_path: Path) -> None:
    for words in (["list"], ["show", "0/0"], ["replay", "0/0"], ["purge", "0/0", "--yes"]):
        done = letters(tmp_path, *words)
        assert done.code == 1 and "there is no log here yet" in done.err
    assert set(os.listdir(tmp_path)) <= {"worker.lock"}
    done = letters(tmp_path / "nowhere", "replay", "0/0")
    assert done.code == 1 and "there is no data directory" in done.err
