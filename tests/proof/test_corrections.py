"""The whole loop with true commands: correct, kill, verify without a worker and with one, delete at the source."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.corrections.material import in_all_files
from tests.proof.processes import environment, free_port, kill, listens

TASK = "posts"
POSTS = [
    {"id": f"{at}", "source": "x", "content": f"{text} ({at} MARK)", "time": 1_763_794_800_000 + 1_000 * at}
    for at, text in enumerate(
        ("I love it, wonderful day", "This is awful, I hate it", "The train leaves at nine", "What a great surprise")
    )
]


class Place:
    """A data directory, and the commands that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        self.env = environment(
            HEARTBEAT_DATA_DIR=str(self.data),
            HEARTBEAT_WEB_PORT=str(self.port),
            HEARTBEAT_SENTIMENT_MODEL="sentiment-fast",
        )

    def worker(self) -> subprocess.Popen[bytes]:
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "heartbeat", "worker"],
                env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert listens(self.data, process), (self.folder / "worker.log").read_text()
        self.until(lambda: self.ask("GET", "/ready")[0] == 200)
        return process

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "heartbeat", *words], env=self.env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def replay(self, task: str, *items: Any) -> None:
        file = self.folder / f"{task}.jsonl"
        file.write_text("".join(f"{json.dumps(item)}\n" for item in items))
        self.run("replay", str(file), "--task", task)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} if body is not None else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def posts(self) -> dict[str, Any]:
        status, told = self.ask("GET", f"/api/posts?task={TASK}")
        assert status == 200
        return {post["id"]: post for post in told["posts"]}

    def verified(self) -> dict[str, Any]:
        found = json.loads(self.run("models", "verify", "sentiment-fast", "--on", "corrections", "--json"))
        (model,) = found["models"]
        return {"corrections": found["corrections"], "judged": model["judged"], "right": model["right"]}

    def until(self, holds: Any, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, (self.folder / "worker.log").read_text()
            time.sleep(0.1)


def test_the_whole_loop(tmp_path: Path) -> None:
    place = Place(tmp_path)
    worker = place.worker()
    try:
        place.replay(TASK, *POSTS)
        place.until(lambda: len(place.posts()) == len(POSTS))
        said = {post_id: post["label"] for post_id, post in place.posts().items()}
        for post_id, post in place.posts().items():
            where = {name: post[name] for name in ("task", "source", "id", "time")}
            # what the model says is confirmed of all but one
            wrong = next(label for label in ("positive", "negative") if label != said[post_id])
            right = wrong if post_id == "3" else said[post_id]
            status, told = place.ask("POST", "/api/corrections", {**where, "label": right, "lang": "en", "seen": 0})
            assert status == 201, told
        kill(worker)  # what has been answered is kept
        expected = {"corrections": 4, "judged": 4, "right": 3}
        assert place.verified() == expected, "without a worker"

        worker = place.worker()
        shown = {post_id: post["correction"]["confirms"] for post_id, post in place.posts().items()}
        assert shown == {"0": True, "1": True, "2": True, "3": False}
        assert place.verified() == expected, "beside a worker"
        exported = place.run("corrections", "export")
        place.run("corrections", "delete", "--source", "x", "--id", "3")
        file = tmp_path / "kept.jsonl"
        file.write_text(exported)
        assert "1 correction imported; 3 were known" in place.run("corrections", "import", str(file))
        assert place.posts()["3"]["correction"]["confirms"] is False, "the worker sees what commands do"

        # Another replay tells of a deletion and an edit; its posts are not those of the first, but the people are.
        place.replay(
            "more", {"id": "0", "source": "x", "op": "delete"}, {**POSTS[1], "rev": 1, "content": "It is good"}
        )
        place.until(lambda: place.verified() == {"corrections": 2, "judged": 2, "right": 1})
        texts = in_all_files(place.data)
        for post, there in zip(POSTS, (False, False, True, True), strict=True):
            assert (str(post["content"]).encode() in texts) is there
    finally:
        kill(worker)
