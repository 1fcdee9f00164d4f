"""`heartbeat forget`: what it forgot stands in no byte of any file, and the windows are as if it never had been."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heartbeat.corrections.rows import Correction, SeenPost
from heartbeat.corrections.store import Corrections
from heartbeat.engine.letters import newest
from heartbeat.engine.log import UnitWrite
from heartbeat.feeds.base import Rejected
from heartbeat.feeds.units import dead_letter
from heartbeat.forgetting.messages import Messages
from tests.cli.commands import Done, environment, run
from tests.cli.inside import inside
from tests.cli.letters import PARTITIONS, fail, open_log
from tests.cli.letters import post as letter_post
from tests.proof.processes import finish, kill, listens, replay, worker

TASK = "proof"
BEGIN_MS = 1_763_794_800_000
SECRET = "unspeakable-marzipan"
AUTHOR = "whistling-penguin"
FAST = {"HEARTBEAT_SENTIMENT_MODEL": "sentiment-fast"}


def posts() -> list[dict[str, Any]]:
    """Three hours of posts: some early (their windows are sealed), some late in the file; two authors."""
    made = []
    for number in range(90):
        secret = number in (3, 40, 88)
        made.append(
            {
                "id": f"p{number}",
                "source": "reddit" if number % 3 else "x",
                "content": f"{SECRET if secret else 'a wonderful day, I love it'} {number}",
                "time": BEGIN_MS + number * 120_000,
                "author": AUTHOR if secret else f"somebody {number}",
                "url": f"https://example.com/{AUTHOR if secret else 'somebody'}/{number}",
                "lang": "en",
            }
        )
    return made


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def replayed(file: Path, data: Path) -> Path:
    code, said = finish(replay(file, data))
    assert code == 0, said
    return data


def windows(data: Path) -> list[dict[str, Any]]:
    """Every window in every cut, but for revisions, which count corrections."""
    rows = []
    for by in ("all", "lang", "source"):
        done = inside("export", "windows", "--by", by, "--format", "jsonl", "--data-dir", str(data))
        rows += [json.loads(line) for line in done.out.splitlines()]
    for row in rows:
        del row["revision"]
    return rows


def kept(data: Path) -> list[str]:
    done = inside("export", "posts", "--format", "jsonl", "--data-dir", str(data))
    return [json.loads(line)["id"] for line in done.out.splitlines()]


def fragments(data: Path, *words: str) -> list[str]:
    """Files in which one of these words stands."""
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path.name for path in files for word in words if word.encode() in path.read_bytes()]


def correct(data: Path, post_id: str, source: str) -> None:
    """Somebody has said something of a post."""
    seen = SeenPost(source, post_id, 0, f"{SECRET} indeed", TASK, BEGIN_MS, "neutral", "en", 0.9, 0.1, 0.8, 0.1, "m/1")
    with Corrections(data / "corrections.db", writing=True) as corrections:
        corrections.bring_in([Correction(0, BEGIN_MS, "negative", None, seen)])


def forget(data: Path, *words: str, **env: str) -> Done:
    return run("forget", *words, "--yes", "--data-dir", str(data), **{**FAST, **env})


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The windows of the same file without what will be forgotten."""
    folder = tmp_path_factory.mktemp("without")
    lines = [line for line in posts() if SECRET not in line["content"]]
    return windows(replayed(write(folder / "posts.jsonl", lines), folder / "data"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the whole file has been replayed; the secret stands in both files then."""
    folder = tmp_path_factory.mktemp("whole")
    data = replayed(write(folder / "posts.jsonl", posts()), folder / "data")
    assert {"log.db", "history.db"} <= set(fragments(data, SECRET)) and fragments(data, AUTHOR) == ["log.db"]
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(whole, tmp_path / "whole")
    return tmp_path / "whole" / "data"


def test_an_author_is_gone_to_the_last_byte(data: Path, without: list[dict[str, Any]]) -> None:
    correct(data, "p3", "x")
    assert "corrections.db" in fragments(data, SECRET)
    done = forget(data, "--author", AUTHOR)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "topics: 3 posts found by their author",
        "history: 3 posts with their scores and texts, taken out of their windows",
        "corrections: 1 corrected posts with their texts",
        "topics: 9 messages with texts, overwritten",
        "dead letters: 0 that name the author, overwritten",
    ]
    assert fragments(data, SECRET, AUTHOR) == []
    assert windows(data) == without and len(kept(data)) == 87
    again = forget(data, "--author", AUTHOR)
    assert again.code == 0 and "nothing of it was kept" in again.err
    assert windows(data) == without
    done = run("replay", str(data.parent / "posts.jsonl"), "--task", TASK, "--data-dir", str(data), **FAST)
    assert done.code == 0 and "had been through before" in done.err  # the rest of it is as it was


def test_dead_letters_of_an_author_are_known_however_the_name_is_written(tmp_path: Path) -> None:
    broken = [
        '{"id": "1", "source": "x", "content": 5, "author": "Zo\\u00eb"}',
        '{"id": "2", "source": "x", "content": "hidden one", "author": "Zo\\u00EB"',
        '{"id": "3", "source": "x", "content": "hidden two", "author": "Zoë"',
        '{"id": "4", "source": "x", "content": 5, "author": "Zoe"}',
    ]
    whole = '{"id": "5", "source": "x", "content": "good", "time": 1763794800000}'
    (tmp_path / "posts.jsonl").write_text("".join(f"{line}\n" for line in (*broken, whole)))
    data = replayed(tmp_path / "posts.jsonl", tmp_path / "data")
    done = forget(data, "--author", "Zoë")
    assert "dead letters: 3 that name the author, overwritten" in done.out
    assert fragments(data, "hidden", "Zo\\u00", "Zoë") == [] and fragments(data, '"Zoe"') == ["log.db"]
    done = forget(data, "--task", TASK)
    assert "dead letters: 1 lines of its files that were no posts, overwritten" in done.out
    assert fragments(data, '"Zoe"') == []


async def test_what_another_replay_could_not_read_stays(tmp_path: Path) -> None:
    log = open_log(tmp_path / "data")
    feeds = ["replay:1", "replay:10", "bluesky"]
    items = [dead_letter(feed, Rejected(f"of {feed}".encode(), "no JSON", "f:1"), PARTITIONS, 0) for feed in feeds]
    await log.write(UnitWrite(items))
    assert await Messages(log).erase_letters_of(["replay:1"]) == 1
    assert sorted([one.topic for one in await newest(log, 9)]) == ["bluesky", "replay:10"]
    log.close()


def test_dead_letters_of_agents_go_with_their_author_or_task_and_no_others(tmp_path: Path) -> None:
    """That a name's letters stand somewhere in a post does not make it his."""
    data = tmp_path / "data"
    fail(data, [letter_post(1, "said by e")._replace(author="e"), letter_post(2, "said by others")])
    done = forget(data, "--author", "e")
    assert done.code == 0 and fragments(data, "said by e") == [] and fragments(data, "said by others") != []
    done = forget(data, "--task", "t")
    assert done.code == 0 and fragments(data, "said by others") == []


def test_killed_in_the_middle_and_started_again(data: Path, without: list[dict[str, Any]]) -> None:
    """At the deletion's way through the stream, at the overwriting, and before the WAL is cut."""
    faults = ["log.commit:kill:@2", "erasure.step:kill:@1", "retention.checkpoint:kill:@2"]
    for number, fault in zip((3, 40, 88), faults, strict=True):
        source = "reddit" if number % 3 else "x"
        words = ["forget", "--source", source, "--id", f"p{number}", "--yes", "--data-dir", str(data)]
        killed = subprocess.run(
            [sys.executable, "-m", "heartbeat.testing.faults", *words],
            env=environment(**FAST, HEARTBEAT_FAULTS=fault),
            capture_output=True,
            timeout=180,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done = forget(data, "--source", source, "--id", f"p{number}", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out.splitlines()[-1])["done"] is True
    assert fragments(data, SECRET, AUTHOR) == []
    assert windows(data) == without and len(kept(data)) == 87


def test_an_author_is_still_known_to_a_command_that_was_killed_while_it_overwrote(data: Path) -> None:
    """The scores first, whatever names the author last."""
    killed = subprocess.run(
        [
            sys.executable,
            "-m",
            "heartbeat.testing.faults",
            "forget",
            "--author",
            AUTHOR,
            "--yes",
            "--data-dir",
            str(data),
        ],
        env=environment(**FAST, HEARTBEAT_FAULTS="erasure.step:kill:@3"),
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert fragments(data, SECRET, AUTHOR) != []
    done = forget(data, "--author", AUTHOR)
    assert done.code == 0 and "topics: 3 posts found by their author" in done.out
    assert fragments(data, SECRET, AUTHOR) == []


def test_a_running_worker_forgets_too(tmp_path: Path, without: list[dict[str, Any]]) -> None:
    data, file = tmp_path / "data", write(tmp_path / "posts.jsonl", posts())
    process = worker(data)
    try:
        assert listens(data, process)
        replayed(file, data)
        done = forget(data, "--author", AUTHOR)
        assert done.code == 0, done.err
        assert "history: 3 posts" in done.out
        assert fragments(data, SECRET, AUTHOR) == []  # while it goes on working
        assert [row for row in windows(data) if row["task"] == TASK] == without
        refused = forget(data, "--task", "noctilo")
        assert refused.code == 1 and "noctilo is configured" in refused.err
    finally:
        kill(process)


def test_what_the_stream_does_not_remember_any_more_is_taken_out_all_the_same(
    data: Path, without: list[dict[str, Any]]
) -> None:
    """The log is gone, and with it what was counted: history alone still has the posts."""
    for path in data.glob("log.db*"):
        path.unlink()
    done = forget(data, "--source", "reddit", "--id", "p3")
    assert done.code == 0 and "nothing of it was kept" in done.err  # it is another source's
    for number in (3, 40, 88):
        done = forget(data, "--source", "reddit" if number % 3 else "x", "--id", f"p{number}")
        assert done.code == 0 and "history: 1 posts" in done.out, done
    assert fragments(data, SECRET, AUTHOR) == []
    assert windows(data) == without and len(kept(data)) == 87


def test_a_task_is_gone(data: Path) -> None:
    correct(data, "p3", "x")
    refused = run("tasks", "delete", TASK, "--data-dir", str(data), **FAST)
    assert refused.code == 2 and "add --yes" in refused.err
    done = run("tasks", "delete", TASK, "--yes", "--data-dir", str(data), **FAST)
    assert done.code == 0, done.err
    assert windows(data) == [] and kept(data) == []
    assert fragments(data, SECRET, AUTHOR) == []
    done = run("replay", str(data.parent / "posts.jsonl"), "--task", TASK, "--data-dir", str(data), **FAST)
    assert done.code == 1 and "under another name with --task" in done.err
    again = forget(data, "--task", TASK)
    assert again.code == 0 and "nothing of it was kept" in again.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name one thing"),
        (["--source", "x"], "--source and --id together"),
        (["--id", "1"], "--source and --id together"),
        (["--author", "a", "--task", "t"], "name one thing"),
        (["--author", ""], "a name is empty"),
    ],
)
def test_wrong_words(tmp_path: Path, words: list[str], says: str) -> None:
    done = forget(tmp_path, *words)
    assert done.code == 2 and says in done.err


def test_it_asks_first(tmp_path: Path) -> None:
    done = run("forget", "--author", "a", "--data-dir", str(tmp_path))
    assert done.code == 2 and "it cannot be undone: add --yes" in done.err
