"""What a person meets when something is wrong: one clear line, an honest exit code, and nothing lost."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.proof.processes import environment, finish, free_port, kill, listens, replay, worker

ROOT = Path(__file__).parents[2]


def run(*args: str, **env: str) -> tuple[int, str]:
    """A command's exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "heartbeat", *args],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
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


def test_two_workers_on_one_directory(tmp_path: Path) -> None:
    first = worker(tmp_path / "data")
    try:
        assert listens(tmp_path / "data", first)
        second = worker(tmp_path / "data")
        second.wait(30)
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
