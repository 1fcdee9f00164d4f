"""`kill -9` of a writing process at random moments: what was said to be done is done, and nothing is done by half."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.corrections.material import opened
from tests.corrections.writing_process import thing


def stands(seed: int, things: int) -> Mapping[str, list[str]]:
    """Every label of each post after so many things."""
    kept: dict[str, list[str]] = {}
    for number in range(things):
        what, post_id, label = thing(seed, number)
        if what == "correct":
            kept.setdefault(post_id, []).append(label)
        else:
            kept.pop(post_id, None)
    return kept


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    chance, first = random.Random(seed), 0
    for _ in range(6):
        command = [sys.executable, "-m", "tests.corrections.writing_process", str(tmp_path), str(seed), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.02, 0.25))
            process.kill()
            said = [f"begin {first}", *process.stdout.read().decode().splitlines()]
        done = max([first, *(int(line.split()[1]) + 1 for line in said if line.startswith("done "))])
        begun = max(int(line.split()[1]) + 1 for line in said if line.startswith("begin "))
        assert done <= begun <= done + 1
        with opened(tmp_path) as store:
            found: dict[str, list[str]] = {}
            for each in store.all(every=True):
                assert each.post.content == f"text of {each.post.id}"
                found.setdefault(each.post.id, []).append(str(each.label))
        assert found in (stands(seed, done), stands(seed, begun))
        # what was begun may be done or not; where both look alike, it makes no difference
        first = begun if found == stands(seed, begun) else done
    assert first > 30
