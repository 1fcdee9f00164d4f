"""What a person meets when something is wrong: one clear line, an honest exit code, and nothing lost."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from heartbeat.engine.sqlite_schema import explain
from tests.proof.processes import environment, finish, free_port, kill, listens, replay, worker

ROOT = Path(__file__).parents[2]


def run(*args: str, **env: str) -> tuple[int, str]:
    """A command's exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "heartbeat", *args],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=180,
        cwd=ROOT,
    )
    return done.returncode, done.stderr + done.stdout


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = run("worker", "--data-dir", str(tmp_path), HEARTBEAT_WEB_PORT=str(port))
    assert code == 1
    assert f"127.0.0.1:{port}" in said and "HEARTBEAT_WEB_PORT" in said and "Traceback" not in said


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_none_of_ours(tmp_path: Path, host: str) -> None:
    more = {"HEARTBEAT_WEB_HOST": host, "HEARTBEAT_WEB_PORT": "6066", "HEARTBEAT_WEB_TOKEN": "x" * 16}
    code, said = run("worker", "--data-dir", str(tmp_path), **more)
    assert code == 1 and f"cannot be served on {host}:6066" in said and "Traceback" not in said
    assert "set HEARTBEAT_WEB_HOST to an address of this machine" in said and "choose another port" not in said


@pytest.mark.parametrize("words", [{"HEARTBEAT_WEB_HOST": "0.0.0.0"}, {"--web-bind": "0.0.0.0"}])
def test_a_worker_that_others_can_reach_needs_a_token(tmp_path: Path, words: dict[str, str]) -> None:
    variables = {name: value for name, value in words.items() if name.startswith("HEARTBEAT_")}
    options = [part for name, value in words.items() if name not in variables for part in (name, value)]
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "heartbeat.app", "worker", *options],
        env=environment(HEARTBEAT_DATA_DIR=str(tmp_path / "d"), **variables),
        capture_output=True,
        text=True,
        timeout=180,
        cwd=ROOT,
    )
    said = done.stderr + done.stdout
    assert done.returncode == 1 and "served on 0.0.0.0" in said and "HEARTBEAT_WEB_TOKEN" in said
    assert "Traceback" not in said and not (tmp_path / "d").exists()


def test_two_workers_on_one_directory(tmp_path: Path) -> None:
    first = worker(tmp_path / "data")
    try:
        assert listens(tmp_path / "data", first)
        second = worker(tmp_path / "data")
        second.wait(120)
        assert second.returncode not in (0, None)
        log = (tmp_path / "worker.log").read_text()
        assert f"is in use by process {first.pid}" in log and "Traceback" not in log
    finally:
        kill(first)


def test_rubbish_in_config(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "tasks.yaml").write_text("tasks:\n  - name: a\n    title: A\n    query: '\"open'\n    feeds: [demo]\n")
    code, said = run("worker", "--data-dir", str(tmp_path / "d"), HEARTBEAT_CONFIG_DIR=str(config))
    assert code == 2
    assert "tasks.yaml:4: tasks[0].query: " in said and "Traceback" not in said
    (config / "heartbeat.yaml").write_text("web_prot: 1\n")
    code, said = run("worker", "--data-dir", str(tmp_path / "d"), HEARTBEAT_CONFIG_DIR=str(config))
    assert code == 2 and "heartbeat.yaml:1: web_prot: is no setting" in said


def test_a_damaged_model(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "onnx_models", models)
    file = next(models.glob("language/*/model.onnx"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for command in (["worker"], ["replay", str(ROOT / "README.md")]):
        more = {"HEARTBEAT_MODELS_DIR": str(models), "HEARTBEAT_WEB_PORT": str(free_port())}
        code, said = run(*command, "--data-dir", str(tmp_path / "d"), **more)
        assert code == 1
        assert "model.onnx" in said and "checksum" in said.lower() and "Traceback" not in said


def test_a_damaged_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    posts = tmp_path / "posts.jsonl"
    posts.write_text('{"id": "1", "source": "x", "content": "good", "time": 1763794800000}\n')
    assert finish(replay(posts, data))[0] == 0
    (data / "log.db").write_bytes(b"rubbish" * 1000)
    code, said = run("replay", str(posts), "--data-dir", str(data))
    assert code == 1 and "log.db" in said and "Traceback" not in said


def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = Path("/proc/heartbeat-data")  # a place that even root cannot write to
    code, said = run("worker", "--data-dir", str(folder), HEARTBEAT_WEB_PORT=str(free_port()))
    assert code == 1 and str(folder) in said and "Traceback" not in said


def test_a_broker_given_wrongly(tmp_path: Path) -> None:
    code, said = run("worker", "--data-dir", str(tmp_path), HEARTBEAT_BROKER="sqlite:///x.db")
    assert code == 2 and "HEARTBEAT_BROKER" in said
    assert not Path("/x.db").exists()


def test_rubbish_lines_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    posts = tmp_path / "posts.jsonl"
    good = '{"id": "%d", "source": "x", "content": "good", "time": 1763794800000}\n'
    posts.write_bytes((good % 1).encode() + b"not json\n\xff\xfe\n[1]\n{}\n" + (good % 2).encode())
    code, said = finish(replay(posts, tmp_path / "data"))
    assert code == 0 and "2 posts" in said and "4 items were no posts" in said


def test_a_worker_that_is_stopped_leaves_nothing_open_and_says_so(tmp_path: Path) -> None:
    """Ctrl-C, after the pages have read the history; on the port that Faust's own option names."""
    data, port = tmp_path / "data", free_port()
    output = tmp_path / "worker.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "heartbeat.app", "worker", "-l", "info", "--web-port", str(port)],
            env=environment(HEARTBEAT_DATA_DIR=str(data), HEARTBEAT_WEB_PORT=str(free_port())),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        assert listens(data, process)
        assert json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=30))["tasks"]
        assert (data / "history.db-wal").exists()
        listed = run("deadletters", "list", "--data-dir", str(data))
        assert listed == (0, "there are no dead letters\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        kill(process)
    said = output.read_text()
    assert f"ready: the page is at http://127.0.0.1:{port}/" in said
    assert said.rstrip().endswith("stopped") and "-INT-" not in said and "Traceback" not in said
    assert sorted(path.name for path in data.iterdir()) == ["corrections.db", "history.db", "log.db", "worker.lock"]


def blocks_signals(pid: int) -> bool:
    """Whether a process has put off Ctrl-C and SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
    return bool(mask >> (signal.SIGINT - 1) & 1 and mask >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["worker", "replay"])
def test_a_signal_while_modules_are_imported(tmp_path: Path, command: str, number: signal.Signals) -> None:
    posts = tmp_path / "posts.jsonl"
    posts.touch()
    words = [command, *([str(posts)] if command == "replay" else []), "--data-dir", str(tmp_path / "d")]
    process = subprocess.Popen(
        [sys.executable, "-m", "heartbeat", *words],
        env=environment(HEARTBEAT_WEB_PORT=str(free_port())),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not blocks_signals(process.pid):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        code, said = finish(process, 180)
    finally:
        kill(process)
    assert "Aborted" not in said and "Traceback" not in said
    if command == "worker":
        assert code == 0 and said.rstrip().endswith("stopped") and not (tmp_path / "d" / "log.db").exists()
    else:
        assert code == 1 and said == "Error: stopped; start the command again and it goes on\n"


def test_a_limit_on_files_is_told_with_what_to_look_at(tmp_path: Path) -> None:
    """What SQLite calls a disk I/O error, met for real: no file of this process may grow."""
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(sqlite3.OperationalError, match="disk I/O error") as met:
                connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")
                connection.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = str(explain(met.value, tmp_path / "log.db"))
    assert "log.db: the disk reports an error" in said and "`ulimit -f`" in said


def test_faust_says_what_agents_and_tables_are_for(tmp_path: Path) -> None:
    for words in ("agents", "tables"):
        done = subprocess.run(
            [sys.executable, "-m", "faust", "-A", "heartbeat.app", words],
            env=environment(HEARTBEAT_DATA_DIR=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=180,
            cwd=ROOT,
        )
        assert done.returncode == 0 and "Missing description" not in done.stdout
        assert "Handler" not in done.stdout and ("each post" in done.stdout)
