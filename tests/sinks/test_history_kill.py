"""`kill -9` of a writing process at random moments: nothing is lost, nothing stored twice."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from heartbeat.sinks.history_reader import HistoryReader
from tests.sinks.model import Model, all_windows
from tests.sinks.writing_process import stream

POSTS = 9_000


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    kills = 0
    command = [sys.executable, "-m", "tests.sinks.writing_process", str(tmp_path), str(seed), str(POSTS)]
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                assert process.wait(timeout=chance.uniform(0.0, 0.35) if kills < 12 else 60) == 0
                break
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        with HistoryReader(tmp_path / "history.db") as reader:  # what is there can be read before anybody mends it
            list(reader.posts(limit=10))
    assert kills >= 4
    sentiment, pulses = stream(seed, POSTS)
    model = Model()
    for post in sentiment:
        model.sentiment(post)
    for record in pulses:
        model.pulse(record)
    with HistoryReader(tmp_path / "history.db") as reader:
        assert list(reader.posts(content=True)) == model.post_rows()
        assert all_windows(reader) == model.window_rows()
