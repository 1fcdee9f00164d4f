"""A true worker changes models while a replay runs: no post fails, none is lost, and every window is exact."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heartbeat import topics
from heartbeat.clock import SystemClock
from heartbeat.engine.log import TP
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.models.catalogue import Catalogue
from tests.cli.inside import inside
from tests.models.tiny_models import graph_bytes, write_model
from tests.proof.material import TASK, Material
from tests.proof.processes import environment, finish, free_port, kill, listens

ROOT = Path(__file__).parents[2]
LONG_S = 120
SHIPPED = Catalogue(ROOT / "onnx_models").find("language").reference


class Place:
    """A folder of settings, models and data, and the commands that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.models, self.config = (
            folder,
            folder / "data",
            folder / "models",
            folder / "config",
        )
        shutil.copytree(ROOT / "config", self.config)
        shutil.copytree(ROOT / "onnx_models", self.models)
        self.file = self.config / "heartbeat.yaml"
        self.file.write_text(self.file.read_text() + "sentiment_model: sentiment-fast\n")
        self.env = environment(
            HEARTBEAT_CONFIG_DIR=str(self.config),
            HEARTBEAT_MODELS_DIR=str(self.models),
            HEARTBEAT_DATA_DIR=str(self.data),
            HEARTBEAT_WEB_PORT=str(free_port()),
        )

    def again(self, kind: str, version: str) -> None:
        """The newest model of a kind under another version: the same in everything but its name."""
        first = sorted((self.models / kind).iterdir())[-1]
        other = self.models / kind / version
        shutil.copytree(first, other)
        card = (other / "model.yaml").read_text()
        (other / "model.yaml").write_text(card.replace(f"\nversion: {first.name}\n", f"\nversion: {version}\n"))

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own; what it says goes into a file."""
        with (self.folder / "said.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "heartbeat", *args],
                env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def run(self, *args: str) -> tuple[int, str]:
        """Run a command to its end: exit code, and all that it said."""
        process = subprocess.Popen(
            [sys.executable, "-m", "heartbeat", *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            said, _ = process.communicate(timeout=LONG_S)
        finally:
            kill(process)
        return process.returncode, said.decode()

    def scored_by(self) -> Counter[str]:
        """How many posts of the replay each model scored, as far as they are in the history."""
        done = inside("export", "posts", "--task", TASK, "--format", "jsonl", "--data-dir", str(self.data))
        if done.code:  # nothing of the task has got there yet
            return Counter()
        posts = map(json.loads, done.out.splitlines())
        return Counter(post["model"] for post in posts if post["model"])

    def log(self) -> str:
        return (self.folder / "said.log").read_text()

    def dead_letters(self) -> int:
        log = SqliteLog.open(self.data / "log.db", clock=SystemClock())
        try:
            name = topics.DEADLETTERS.name
            return sum(log.end_offset(TP(name, partition)) or 0 for partition in range(log.partitions(name)))
        finally:
            log.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    here.again("sentiment-fast", "9.0.0")
    here.again("language", "9.0.0")
    here.file.write_text(f"# mine\nlanguage_model: {SHIPPED}  # why\nsentiment_model: sentiment-fast/1.0.0\n")
    yield here


def until(what: Callable[[], bool], *alive: subprocess.Popen[bytes]) -> None:
    """Wait for something to come true, however slow the machine."""
    end = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in alive)
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_models_change_while_a_replay_runs(place: Place) -> None:
    material = Material.make(place.folder, 2000, seed=21)
    write_model(place.models, name="rubbish", graph=graph_bytes({}, (2, 0, 0)), languages=["en", "de"])
    worker = place.start("worker")
    slow: subprocess.Popen[bytes] | None = None
    try:
        assert listens(place.data, worker, LONG_S), place.log()
        # So slow that it is still under way when all that follows is done; then it is hurried to its end.
        slow = place.start("replay", str(material.path), "--task", TASK, "--speed", "5")
        until(lambda: place.scored_by()["sentiment-fast/1.0.0"] > 0, worker, slow)

        code, said = place.run("models", "use", "sentiment-fast/9.0.0")
        assert code == 0, said
        assert "the worker uses it from now on" in said and "sentiment-fast/9.0.0" in said
        until(lambda: place.scored_by()["sentiment-fast/9.0.0"] > 0, worker, slow)

        before = place.file.read_text()
        code, said = place.run("models", "use", "rubbish", "--for-lang", "en")
        assert code == 1, said
        assert "the worker goes on with the models that it had: model rubbish/1 says 'negative' of all" in said
        assert "is as it was before" in said and place.file.read_text() == before

        place.file.write_text(before.replace(SHIPPED, "language/9.0.0"))
        until(lambda: "models in use are now: language/9.0.0" in place.log(), worker, slow)
        place.file.write_text(before.replace(SHIPPED, "language/0"))
        until(lambda: "models/choice is waiting: language_model: there is no model 'language/0'" in place.log(), worker)
        place.file.write_text(before)
        until(lambda: place.log().count("(changed: language_model)") == 2, worker, slow)

        code, said = place.run("models", "use", SHIPPED)
        assert code == 0 and "the worker uses it already" in said, said
        slow.send_signal(signal.SIGINT)
        slow.wait(LONG_S)
        replay = [sys.executable, "-m", "heartbeat", "replay", str(material.path), "--task", TASK]
        for _ in range(60):
            quick = subprocess.Popen(replay, env=place.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            code, said = finish(quick)
            if code == 0:
                break
            time.sleep(0.5)  # the worker has not let go of the replay that was stopped
        assert code == 0, said
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(LONG_S) == 0
    finally:
        for process in filter(None, (slow, worker)):
            kill(process)
    material.check(place.data)
    scored = place.scored_by()
    assert set(scored) == {"sentiment-fast/1.0.0", "sentiment-fast/9.0.0"} and min(scored.values()) > 0
    assert place.dead_letters() == 0
    assert "Traceback" not in place.log(), place.log()


@pytest.mark.timeout(300)
def test_a_worker_that_follows_something_else_is_said_to(place: Place) -> None:
    place.env["HEARTBEAT_SENTIMENT_BY_TASK"] = json.dumps({"noctilo": "sentiment-fast/1.0.0"})
    worker = place.start("worker")
    try:
        assert listens(place.data, worker, LONG_S), place.log()
        del place.env["HEARTBEAT_SENTIMENT_BY_TASK"]
        code, said = place.run("models", "use", "sentiment-fast/9.0.0", "--for-task", "noctilo")
        assert code == 1 and "was started with HEARTBEAT_SENTIMENT_BY_TASK, which overrules" in said, said
        other = place.folder / "other"
        shutil.copytree(place.config, other)
        place.env["HEARTBEAT_CONFIG_DIR"] = str(other)
        code, said = place.run("models", "use", "sentiment-fast/9.0.0")
        assert code == 1 and f"follows {place.file}, not {other / 'heartbeat.yaml'}" in said, said
        assert os.listdir(other)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(LONG_S) == 0
    finally:
        kill(worker)
    assert "Traceback" not in place.log(), place.log()
