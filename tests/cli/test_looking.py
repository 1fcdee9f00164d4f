"""Commands that only look: topics, feeds, tasks, config."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from heartbeat.cli import config as config_command
from heartbeat.codec import Codec
from heartbeat.engine.log import TP, Append, UnitWrite
from heartbeat.models.catalogue import Catalogue
from heartbeat.settings import Settings
from heartbeat.topics import INGEST
from tests.cli.commands import POST, ROOT, finish, run, start
from tests.cli.inside import inside
from tests.cli.letters import fail, open_log, post
from tests.proof.processes import kill, listens, worker


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory into which 20 posts have been replayed, one of which has an author."""
    folder = tmp_path_factory.mktemp("looking")
    lines = [POST % number for number in range(19)]
    lines.append('{"id": "a", "source": "x", "content": "SECRET", "author": "SOMEBODY", "time": 1763794800000}\n')
    unusable = '{"id": "b", "source": "x", "content": 5, "text": "SECRET", "author": "SOMEBODY"}\n'
    (folder / "posts.jsonl").write_text("".join(lines) + unusable)
    assert run("replay", str(folder / "posts.jsonl"), "--task", "seen", "--data-dir", str(folder / "data")).code == 0
    return folder / "data"


def test_topics_are_listed_with_what_is_still_to_read(data: Path) -> None:
    done = inside("topics", "--data-dir", str(data))
    assert done.code == 0 and "ingest" in done.out and "language 0" in done.out
    topics = {topic["topic"]: topic for topic in json.loads(inside("topics", "--json", "--data-dir", str(data)).out)}
    ingest = topics["ingest"]
    assert ingest["agents"]["heartbeat-language"]["lag"] == 0
    assert ingest["messages"] == sum(each["end"] - each["begin"] for each in ingest["partitions"]) > 20
    assert ingest["messages"] == sum(each["messages"] for each in ingest["partitions"])
    assert ingest["bytes"] == sum(each["bytes"] for each in ingest["partitions"])
    assert topics["deadletters"]["messages"] == 1 and topics["cursors"]["compact"]


def test_messages_that_are_erased_are_not_counted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fail(data, [post(number) for number in range(30)])

    def letters() -> int:
        (found,) = [each for each in listed(data) if each["topic"] == "deadletters"]
        return int(found["messages"])

    assert letters() == 30
    shown = inside("deadletters", "list", "--json", "--limit", "2", "--data-dir", str(data)).out.splitlines()
    ids = [json.loads(line)["letter"] for line in shown]
    assert inside("deadletters", "purge", "--yes", *ids, "--data-dir", str(data)).code == 0
    assert letters() == 28
    assert inside("deadletters", "purge", "--yes", "--all", "--data-dir", str(data)).code == 0
    assert letters() == 0
    done = inside("topics", "show", "deadletters", "--data-dir", str(data))
    assert "MESSAGES" in done.out.splitlines()[0]


def test_of_topics_that_keep_the_newest_of_each_key_that_is_counted(data: Path) -> None:
    (cursors,) = [each for each in listed(data) if each["topic"] == "cursors"]
    shown = inside("topics", "show", "cursors", "--from-offset", "0", "--json", "--data-dir", str(data)).out
    assert cursors["messages"] == len(shown.splitlines()) == 1
    assert re.search(r"cursors +4 +1 by key", inside("topics", "--data-dir", str(data)).out)


def listed(data: Path) -> list[dict[str, Any]]:
    topics: list[dict[str, Any]] = json.loads(inside("topics", "--json", "--data-dir", str(data)).out)
    return topics


def test_messages_are_decoded_without_texts_and_authors(data: Path) -> None:
    done = inside("topics", "show", "ingest", "--from-offset", "0", "--json", "--data-dir", str(data))
    messages = [json.loads(line) for line in done.out.splitlines()]
    posts = [message["value"] for message in messages if message["type"] == "Post"]
    assert done.code == 0 and len(posts) == 20 and {each["id"] for each in posts} >= {"0", "18", "a"}
    assert all("content" not in each and each["content_length"] for each in posts)
    assert {message["type"] for message in messages} == {"Post", "Heartbeat"}
    for topic in ("ingest", "language", "sentiment", "pulse", "deadletters", "cursors", "progress-changelog"):
        for form in ((), ("--json",)):
            done = inside("topics", "show", topic, "--from-offset", "0", *form, "--data-dir", str(data))
            assert done.code == 0 and "SECRET" not in done.out and "SOMEBODY" not in done.out, topic
    done = inside("topics", "show", "deadletters", "--content", "--data-dir", str(data))
    assert "SECRET" in done.out and "SOMEBODY" in done.out
    done = inside("topics", "show", "ingest", "--key", "x\\na", "--content", "--json", "--data-dir", str(data))
    (message,) = [json.loads(line) for line in done.out.splitlines()]
    assert message["value"]["content"] == "SECRET" and message["value"]["author"] == "SOMEBODY"


def test_messages_can_be_chosen(data: Path) -> None:
    def offsets(*words: str) -> list[tuple[int, int]]:
        done = inside("topics", "show", "ingest", "--json", *words, "--data-dir", str(data))
        assert done.code == 0, done.err
        return [(said["partition"], said["offset"]) for said in map(json.loads, done.out.splitlines())]

    everything = offsets("--from-offset", "0")
    assert offsets("--partition", "2", "--from-offset", "3") == [each for each in everything if each[0] == 2][3:]
    assert offsets("--last", "2") == [
        each for at in range(4) for each in [one for one in everything if one[0] == at][-2:]
    ]
    assert offsets("--last", "0") == []
    for words, code, says in (
        (("show", "nix"), 1, "there is no topic 'nix'; there are cursors, deadletters"),
        (("show", "ingest", "--partition", "9"), 1, "has the partitions 0 to 3"),
        (("show", "ingest", "--last", "1", "--from-offset", "1"), 2, "not both"),
        (("--json", "show", "ingest"), 2, "give options behind `show`"),
    ):
        done = inside("topics", *words, *(() if words[0] == "--json" else ("--data-dir", str(data))))
        assert done.code == code and says in done.err


def test_following_shows_what_arrives_and_keeps_nobody_from_checkpointing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    log = open_log(data)
    try:
        codec = Codec(log)

        def append(number: int) -> None:
            async def write() -> None:
                await log.write(UnitWrite([Append(INGEST.name, 0, b"k", codec.encode(post(number)))]))

            asyncio.run(write())

        append(1)
        process = start("topics", "show", "ingest", "--follow", "--json", "--data-dir", str(data))
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["value"]["id"] == "1"
        for number in (2, 3):
            append(number)
            assert json.loads(process.stdout.readline())["value"]["id"] == str(number)
            with closing(sqlite3.connect(data / "log.db")) as con:
                assert con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        process.send_signal(signal.SIGINT)
        done = finish(process)
        assert done.code == 0 and done.err == ""
    finally:
        log.close()
    assert log.path.exists() and TP("ingest", 0)


def test_feeds_are_told_by_the_worker_or_else_by_the_log(data: Path, tmp_path: Path) -> None:
    done = inside("feeds", "--data-dir", str(data))
    assert done.code == 0 and "ended (not running)" in done.out and "no worker runs" in done.err
    (feed,) = json.loads(inside("feeds", "--json", "--data-dir", str(data)).out)
    assert feed["name"].startswith("replay:") and (feed["posts"], feed["rejected"]) == (20, 1)
    assert feed["tasks"] == ["seen"] and feed["watermark"] == "end of time" and not feed["running"]
    process = worker(tmp_path / "data", HEARTBEAT_INFLUX_TOKEN="SECRET")
    try:
        assert listens(tmp_path / "data", process)
        said = (tmp_path / "worker.log").read_text()
        (line,) = [line for line in said.splitlines() if "INFLUX" in line]
        assert (
            "[WARNING] HEARTBEAT_INFLUX_TOKEN is set, but HEARTBEAT_INFLUX_URL is not" in line and "SECRET" not in said
        )
        done = inside("feeds", "--json", "--data-dir", str(tmp_path / "data"))
        feed = next(each for each in json.loads(done.out) if each["name"] == "demo")
        assert feed["running"] and feed["state"] in ("starting", "behind", "caught up")
        doctor = inside("doctor", "--json", "--data-dir", str(tmp_path / "data"))
        found = {each["check"]: each for each in json.loads(doctor.out)}
        assert found["worker"]["level"] == "ok" and str(process.pid) in found["worker"]["says"]
        assert found["log"]["level"] == found["history"]["level"] == "ok"
        assert process.poll() is None
    finally:
        kill(process)


def test_tasks_are_those_of_the_file_and_of_the_history(data: Path) -> None:
    found = {task["task"]: task for task in json.loads(inside("tasks", "list", "--json", "--data-dir", str(data)).out)}
    assert set(found) >= {"noctilo", "veloriko", "seen"}
    assert found["noctilo"]["configured"] and found["noctilo"]["query"] == ["noctilo", "noctilon", "aldermoor"]
    assert not found["seen"]["configured"] and found["seen"]["posts"] == 20
    shown = inside("tasks", "show", "seen", "--data-dir", str(data))
    assert shown.code == 0 and "it is in the history alone" in shown.out and "20, of which" in shown.out
    done = inside("tasks", "show", "nix", "--data-dir", str(data))
    assert done.code == 1 and "there are: noctilo, veloriko, " in done.err
    empty = inside("tasks", "list", "--data-dir", str(data.parent / "nowhere"))
    assert empty.code == 0 and "noctilo" in empty.out


def configured(folder: Path, settings: str = "", tasks: str = "tasks:\n") -> str:
    (folder / "heartbeat.yaml").write_text(settings)
    (folder / "tasks.yaml").write_text(tasks)
    return str(folder)


def test_everything_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    folder = configured(
        tmp_path,
        "web_port: many\npartitions: 0\nnonsense: 1\n",
        "tasks:\n  - name: a\n    query: x\n    feeds: [nix]\n  - name: b\n    query: '\"open'\n    feeds: [demo]\n",
    )
    done = inside("config", "check", "--json", HEARTBEAT_CONFIG_DIR=folder, HEARTBEAT_NIX="1")
    said = {(Path(each["file"] or "").name, each["line"], each["key"]) for each in json.loads(done.out)}
    assert done.code == 1 and said == {
        ("heartbeat.yaml", 1, "web_port"),
        ("heartbeat.yaml", 2, "partitions"),
        ("heartbeat.yaml", 3, "nonsense"),
        ("", None, "HEARTBEAT_NIX"),
        ("tasks.yaml", 4, "tasks[0].feeds[0]"),
        ("tasks.yaml", 6, "tasks[1].query"),
    }
    done = inside("config", "check", HEARTBEAT_CONFIG_DIR=folder)
    assert done.code == 1 and "heartbeat.yaml:1: web_port: " in done.out and "5 problems" in done.err
    done = inside("config", "check", HEARTBEAT_CONFIG_DIR=configured(tmp_path, "sentiment_model: nix\n"))
    assert done.code == 1 and "heartbeat.yaml:1: sentiment_model: there is no model 'nix'" in done.out
    done = inside("config", "check", HEARTBEAT_CONFIG_DIR=configured(tmp_path, "\nlanguage_model: sentiment-fast\n"))
    assert done.code == 1 and "heartbeat.yaml:2: language_model: sentiment-fast/1.0.0 is a sentiment" in done.out
    folder = configured(tmp_path, "# half of it\ninflux_url: http://127.0.0.1:9\n")
    done = inside("config", "check", HEARTBEAT_CONFIG_DIR=folder)
    assert done.code == 1 and "heartbeat.yaml:2: influx_url: " in done.out and "HEARTBEAT_INFLUX_ORG and" in done.out
    assert inside("config", "check", HEARTBEAT_CONFIG_DIR=str(ROOT / "config")).code == 0


def test_an_influxdb_without_an_address_is_told_of(tmp_path: Path) -> None:
    """By the check, which may pass; a worker runs without InfluxDB then."""
    folder = configured(tmp_path, "influx_org: heart\n")
    said = "influx_org and HEARTBEAT_INFLUX_TOKEN are set, but HEARTBEAT_INFLUX_URL is not"
    done = inside("config", "check", HEARTBEAT_CONFIG_DIR=folder, HEARTBEAT_INFLUX_TOKEN="SECRET")
    assert done.code == 0 and "warning: " in done.out and f"heartbeat.yaml:1: influx_org: {said}" in done.out
    assert "SECRET" not in done.out + done.err
    done = inside("config", "check", "--json", HEARTBEAT_CONFIG_DIR=folder, HEARTBEAT_INFLUX_TOKEN="SECRET")
    (warning,) = json.loads(done.out)
    assert (warning["level"], warning["line"], warning["key"]) == ("warning", 1, "influx_org")
    ours = str(ROOT / "config")
    done = inside(
        "config", "check", HEARTBEAT_CONFIG_DIR=ours, HEARTBEAT_INFLUX_TOKEN="SECRET", HEARTBEAT_INFLUX_ORG=""
    )
    assert "environment: HEARTBEAT_INFLUX_TOKEN: HEARTBEAT_INFLUX_TOKEN is set, but" in done.out
    whole = {"HEARTBEAT_INFLUX_URL": "http://127.0.0.1:9", "HEARTBEAT_INFLUX_TOKEN": "t"}
    for where, given in ((ours, {}), (folder, whole)):
        done = inside("config", "check", HEARTBEAT_CONFIG_DIR=where, **given)
        assert done.code == 0 and "warning" not in done.out, done.out


def test_models_chosen_for_what_no_post_has_are_told_of(tmp_path: Path) -> None:
    folder = configured(
        tmp_path,
        "sentiment_by_lang:\n  EN: none\n  xx: none\n  tr: sentiment\n  de: sentiment-fast\n  fr: none\n"
        "sentiment_by_task: {nosuch: none, mine: none}\n",
        "tasks:\n  - name: mine\n    query: x\n    feeds: [demo]\n",
    )
    done = inside("config", "check", "--json", HEARTBEAT_CONFIG_DIR=folder)
    assert done.code == 0
    said = {(each["line"], each["key"]): each["problem"] for each in json.loads(done.out)}
    newest = Catalogue(ROOT / "onnx_models").find("sentiment").reference
    assert said == {
        (2, "sentiment_by_lang.EN"): "no post is in 'EN'; that language is 'en' here",
        (3, "sentiment_by_lang.xx"): "no post is in 'xx'",
        (4, "sentiment_by_lang.tr"): f"{newest} does not know 'tr', so other models score it as without this",
        (7, "sentiment_by_task.nosuch"): "no task is named 'nosuch'; this counts for a replay with that name alone",
    }


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    folder = configured(tmp_path, "# first\ngrace_s: 7\nweb_port: 7000\n")
    env = {"HEARTBEAT_CONFIG_DIR": folder, "HEARTBEAT_WEB_PORT": "7001"}
    done = inside("config", "show", "--json", "--data-dir", str(tmp_path / "d"), **env)
    values = json.loads(done.out)
    assert set(values) == set(Settings.model_fields)
    assert values["grace_s"] == {"value": 7.0, "source": f"{folder}/heartbeat.yaml:2"}
    assert values["web_port"] == {"value": 7001, "source": "environment HEARTBEAT_WEB_PORT"}
    assert values["data_dir"] == {"value": str(tmp_path / "d"), "source": "--data-dir"}
    assert values["partitions"]["source"] == "default"
    changed = inside("config", "show", "--changed", **env)
    named = [line.split()[0] for line in changed.out.splitlines()]
    assert [name for name in named if name != "bluesky_hosts"] == ["SETTING", "config_dir", "web_port", "grace_s"]
    wrong = inside("config", "show", HEARTBEAT_CONFIG_DIR=configured(tmp_path, "nix: 1\n"))
    assert wrong.code == 2 and "heartbeat.yaml:1: nix" in wrong.err


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithSecret(Settings):
        token: SecretStr = Field(SecretStr(""), description="a secret")

    monkeypatch.setattr(config_command, "Settings", WithSecret)
    monkeypatch.setattr("heartbeat.settings.Settings", WithSecret)
    for form in ((), ("--json",)):
        done = inside("config", "show", *form, HEARTBEAT_TOKEN="HUSH-HUSH")
        assert done.code == 0 and "HUSH" not in done.out + done.err and "****" in done.out
    done = inside("config", "show", "--json")
    assert json.loads(done.out)["token"] == {"value": "", "source": "default"}
