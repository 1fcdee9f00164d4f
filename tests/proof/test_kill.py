"""`kill -9` at any moment and at every fault point: exports equal the oracle exactly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from heartbeat.engine.faults import POINTS
from tests.proof.material import Material, difference, exported, exported_posts, late_ones
from tests.proof.processes import finish, killed_replay, killed_worker, replay

ELSEWHERE = {
    "log.migrate",
    "retention.step",
    "retention.supersede",
    "retention.checkpoint",
    "erasure.step",
    "letters.replay",
    "forget.owed",
    "forget.deleted",
    "forget.taken",
    "forget.erased",
}
"""Points that a replay does not meet; the log's own tests, and those of `forget` and dead letters, kill there."""
BEFORE = {"log.settle": "log.committed:lie:@2,"}
"""An outcome is looked up only when a COMMIT has reported an error."""
ONCE = {"log.create", "log.open", "log.load", "log.close", "log.closed", "log.settle"}
"""Points that a life meets once at the most."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material.make(tmp_path_factory.mktemp("small"), 2000, seed=1)


def test_a_replay_equals_the_oracle_and_the_comparison_would_notice(small: Material, tmp_path: Path) -> None:
    code, said = finish(replay(small.path, tmp_path / "data"))
    assert code == 0, said
    small.check(tmp_path / "data")
    code, said = finish(replay(small.path, tmp_path / "data"))
    assert code == 0 and "had been through before" in said
    small.check(tmp_path / "data")
    again = tmp_path / "other"
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(small.path.read_text().splitlines(keepends=True)[:-1]))
    code, said = finish(replay(fewer, again))
    assert code == 0, said
    assert difference(exported(again), small.want)


def test_the_usual_models_say_of_a_post_among_others_what_they_say_of_it_alone(tmp_path: Path) -> None:
    material = Material.make(tmp_path, 600, seed=3, model="sentiment")
    models = {"HEARTBEAT_SENTIMENT_MODEL": "sentiment"}
    killed_replay(material.path, tmp_path / "data", 1, random.Random(4), speed="max", **models)
    material.check(tmp_path / "data")
    used = {post["model"].partition("/")[0] for post in exported_posts(tmp_path / "data")}
    assert used == {"sentiment", "sentiment-fast", ""}


@pytest.mark.parametrize("partitions", ["1", "4", "12"])
def test_which_posts_come_too_late_is_a_function_of_the_file(tmp_path: Path, partitions: str) -> None:
    material = Material.make(tmp_path, 1500, seed=7, too_late=0.3)
    late = late_ones(material.deliveries)
    assert 100 < len(late) < 400
    dice = random.Random(int(partitions))
    killed_replay(material.path, tmp_path / "data", 1, dice, speed="2400", HEARTBEAT_PARTITIONS=partitions)
    material.check(tmp_path / "data")


@pytest.mark.timeout(300)
def test_killed_at_random(small: Material, tmp_path: Path) -> None:
    killed = killed_replay(small.path, tmp_path / "data", 8, random.Random(2), speed="600")
    assert killed >= 5
    small.check(tmp_path / "data")


@pytest.mark.timeout(300)
def test_a_killed_worker(small: Material, tmp_path: Path) -> None:
    killed = killed_worker(small.path, tmp_path / "data", 5, random.Random(3), speed="600")
    assert killed >= 3
    small.check(tmp_path / "data")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", [name for name in POINTS if name not in ELSEWHERE])
def test_killed_at_a_fault_point(small: Material, tmp_path: Path, point: str) -> None:
    data_dir = tmp_path / "data"
    first = BEFORE.get(point, "")
    code, said = finish(replay(small.path, data_dir, faults=f"{first}{point}:kill:@1"))
    assert code == -9, f"{point} was never met: {said}"
    if point not in ONCE:
        code, said = finish(replay(small.path, data_dir, faults=f"{point}:kill:@7", speed="600"))
        assert code in (-9, 0), said
    code, said = finish(replay(small.path, data_dir))
    assert code == 0, said
    small.check(data_dir)


@pytest.mark.timeout(300)
def test_commits_that_fail_or_lie(small: Material, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    faults = "log.insert:fail:0.03,log.commit:full:0.03,log.committed:lie:0.03,log.report:lie:0.02,seed=5"
    for _ in range(6):
        code, said = finish(replay(small.path, data_dir, faults=faults), 120)
        assert code in (0, 1), said
    code, said = finish(replay(small.path, data_dir))
    assert code == 0, said
    small.check(data_dir)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_kills_of_the_worker_in_one_replay(tmp_path: Path) -> None:
    material = Material.make(tmp_path, 20_000, seed=11)
    killed = killed_worker(material.path, tmp_path / "data", 60, random.Random(12), speed="100")
    assert killed >= 50
    material.check(tmp_path / "data")
