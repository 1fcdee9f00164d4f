"""`heartbeat doctor`: it finds what is wrong, and says how to mend it; and salvages."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import time
from pathlib import Path

import pytest

from heartbeat.clock import SystemClock
from heartbeat.doctor.files import history as history_findings
from heartbeat.engine.log import TP
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.sinks import history_file
from heartbeat.sinks.history_reader import HistoryReader
from tests.cli.commands import POST, ROOT, Done, run
from tests.cli.inside import inside
from tests.proof.material import Material
from tests.proof.processes import finish, free_port, kill, listens, replay, worker
from tests.sinks.migrating_process import restore as restore_dump


def doctor(data: Path, *words: str, **env: str) -> Done:
    return inside("doctor", *words, "--data-dir", str(data), **{"HEARTBEAT_WEB_PORT": str(free_port()), **env})


def found(data: Path, **env: str) -> dict[str, list[tuple[str, str, str]]]:
    """By check: level, what it says and the remedy."""
    out: dict[str, list[tuple[str, str, str]]] = {}
    for each in json.loads(doctor(data, "--json", **env).out):
        out.setdefault(each["check"], []).append((each["level"], each["says"], each["remedy"]))
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "posts.jsonl").write_text("".join(POST % number for number in range(200)))
    assert run("replay", str(folder / "posts.jsonl"), "--data-dir", str(folder / "data")).code == 0
    return folder / "data"


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled."""
    shutil.copytree(whole, tmp_path / "data")
    (tmp_path / "data").chmod(0o700)
    return tmp_path / "data"


def test_all_is_well(data: Path) -> None:
    done = doctor(data)
    assert done.code == 0 and "wrong  " not in done.out and done.err.startswith("0 wrong"), done.out
    checks = {"python", "packages", "limits", "clock", "config", "models", "disk", "disk speed", "permissions"}
    assert set(found(data)) >= checks | {"worker", "log", "history", "corrections", "port", "feed demo"}
    assert not any(name.startswith(".doctor") for name in os.listdir(data))


def test_before_the_first_start_all_is_well_too(tmp_path: Path) -> None:
    done = doctor(tmp_path / "nothing")
    assert done.code == 0 and not (tmp_path / "nothing").exists()


def test_a_damaged_log_is_found_with_the_place_and_the_remedy(data: Path) -> None:
    content = bytearray((data / "log.db").read_bytes())
    at = content.rindex(b"good")
    content[at : at + 4] = b"evil"
    (data / "log.db").write_bytes(content)
    ((level, says, remedy),) = found(data)["log"]
    assert level == "wrong" and "wrong checksum in " in says and "offset" in says and "--salvage" in remedy
    assert doctor(data).code == 1
    started = run("worker", "--data-dir", str(data), HEARTBEAT_WEB_PORT=str(free_port()))
    assert started.code == 1 and "wrong checksum in " in started.err + started.out and "--salvage" in started.err
    os.truncate(data / "log.db", 5000)
    assert "cut short" in found(data)["log"][0][1]
    (data / "log.db").write_bytes(b"")
    assert found(data)["log"][0][0] == "wrong"


def test_a_damaged_history_is_found(data: Path) -> None:
    content = bytearray((data / "history.db").read_bytes())
    content[4096 * 3 : 4096 * 6] = bytes(4096 * 3)
    (data / "history.db").write_bytes(content)
    level, _, remedy = found(data)["history"][0]
    assert level == "wrong" and "move it away" in remedy


def test_what_may_not_be_written_to_is_not_called_damaged(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the answer to that question is made here, for whoever runs this."""
    name = data / "history.db"
    name.write_bytes(b"not SQLite at all")
    assert "move it away" in next(history_findings(name, beside_worker=False)).remedy
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert next(history_findings(name, beside_worker=False)).remedy.startswith("make it and its folder readable")


def test_a_history_of_an_older_version_is_whole_backed_up_and_salvaged(data: Path, tmp_path: Path) -> None:
    """Before a worker has brought it up to date: nobody is told to move away what holds everything."""
    dump = ROOT / "tests" / "sinks" / "versions" / "history-1.sql"
    restore_dump(dump, data / "history.db")
    (data / "history.db").chmod(0o600)
    ((level, says, remedy),) = found(data)["history"]
    assert level == "warning" and "is whole, but of an older version" in says and remedy.startswith("start the worker")
    done = inside("backup", str(tmp_path / "b.tar.gz"), "--data-dir", str(data))
    assert done.code == 0, done.err
    assert inside("restore", str(tmp_path / "b.tar.gz"), "--data-dir", str(tmp_path / "back")).code == 0
    done = doctor(data, "--salvage", str(tmp_path / "new"))
    assert done.code == 0 and "history: all of it" in done.out
    for folder in (tmp_path / "back", tmp_path / "new"):
        assert history_file.schema_version(folder / "history.db") == 1
        history_file.open_for_writing(folder / "history.db").close()
        with HistoryReader(folder / "history.db") as reader:
            assert list(reader.tasks()) == ["t", "ü"]


def test_rights_ports_clocks_config_and_models(data: Path, tmp_path: Path) -> None:
    (data / "log.db").chmod(0o644)
    said = found(data)["permissions"]
    assert [(level, remedy) for level, _, remedy in said] == [("warning", f"`chmod 600 {data / 'log.db'}`")]
    assert doctor(data).code == 0  # a warning
    (data / "log.db").chmod(0o600)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ((level, says, _),) = found(data, HEARTBEAT_WEB_PORT=port)["port"]
        assert level == "wrong" and f"127.0.0.1:{port} is taken" in says
    assert found(data, HEARTBEAT_WEB_HOST="192.0.2.1")["port"][0][0] == "wrong"

    ahead = time.time() + 90_000
    os.utime(data / "log.db", (ahead, ahead))
    ((level, says, _),) = found(data)["clock"]
    assert level == "warning" and "in the future" in says

    (tmp_path / "heartbeat.yaml").write_text("web_prot: 1\n")
    done = doctor(data, HEARTBEAT_CONFIG_DIR=str(tmp_path))
    assert done.code == 1 and "heartbeat.yaml:1: web_prot" in done.out
    level, says, _ = found(data, HEARTBEAT_INFLUX_URL="http://127.0.0.1:9")["influx"][0]
    assert level == "wrong" and "HEARTBEAT_INFLUX_TOKEN are not" in says
    level, says, _ = found(data, HEARTBEAT_INFLUX_TOKEN="t")["influx"][0]
    assert level == "warning" and "HEARTBEAT_INFLUX_URL is not: nothing is written" in says

    models = tmp_path / "models"
    shutil.copytree(ROOT / "onnx_models" / "language", models / "language")
    shutil.copytree(ROOT / "onnx_models" / "sentiment-fast", models / "sentiment-fast")
    graph = next(models.glob("sentiment-fast/*/model.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    said = found(data, HEARTBEAT_MODELS_DIR=str(models))["models"]
    assert {level for level, _, _ in said} == {"wrong", "ok"}
    assert any("has SHA-256" in says for _, says, _ in said) and any(
        "no model 'sentiment'" in says for _, says, _ in said
    )


def test_salvage_says_no_where_it_has_to(data: Path, tmp_path: Path) -> None:
    done = doctor(tmp_path / "nothing", "--salvage", str(tmp_path / "new"))
    assert done.code == 1 and "there is no log" in done.err
    done = doctor(data, "--salvage", str(data))
    assert done.code == 1 and "is there already" in done.err
    (data / "log.db").write_bytes(bytes(50_000))
    done = doctor(data, "--salvage", str(tmp_path / "new"))
    assert done.code == 1 and "restore a backup" in done.err and not (tmp_path / "new").exists()


def read_so_far(data: Path) -> list[bytes]:
    """Posts in the topic `ingest` that its agent has read."""
    if not (data / "log.db").exists():
        return []
    log = SqliteLog.open(data / "log.db", clock=SystemClock(), read_only=True)
    try:
        if "ingest" not in log.topics():
            return []
        return [
            record.value
            for tp in (TP("ingest", number) for number in range(log.partitions("ingest")))
            for record in log.peek(tp, 0, 10**6)
            if record.offset < (log.committed("heartbeat-language", tp) or 0)
            and len(record.value or b"") > 60
            and record.value is not None
        ]
    finally:
        log.close()


@pytest.mark.timeout(300)
def test_what_was_damaged_is_salvaged_and_gone_on_with(tmp_path: Path) -> None:
    """Killed in the middle, then messages are damaged that had been read: nothing is lost of the windows."""
    material = Material.make(tmp_path, 800, seed=31)
    data, new, dice = tmp_path / "data", tmp_path / "new", random.Random(3)
    process = replay(material.path, data, speed="1200")
    while not read_so_far(data) and process.poll() is None:
        time.sleep(0.1)
    time.sleep(1)
    kill(process)
    assert inside("backup", str(tmp_path / "b.tar.gz"), "--data-dir", str(data)).code == 0
    assert inside("restore", str(tmp_path / "b.tar.gz"), "--data-dir", str(tmp_path / "calm")).code == 0
    data = tmp_path / "calm"  # everything in one file, no WAL
    content = bytearray((data / "log.db").read_bytes())
    for value in dice.sample(read_so_far(data), 3):
        content[content.index(value) + 20] ^= 0xFF
    (data / "log.db").write_bytes(content)
    code, said = finish(replay(material.path, data))
    assert code == 1 and "the log is damaged" in said
    before = (data / "log.db").read_bytes()
    done = inside("doctor", "--salvage", str(new), "--data-dir", str(data))
    assert done.code == 0 and "missing:" in done.out, done
    assert (data / "log.db").read_bytes() == before
    code, said = finish(replay(material.path, new))
    assert code == 0, said
    material.check(new)
    process = worker(new)
    try:
        assert listens(new, process)
    finally:
        kill(process)
