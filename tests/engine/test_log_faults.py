"""Faults on demand, which the kill tests stand on."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartbeat.engine import faults
from heartbeat.testing.faults import Fault, InjectedFault, parse


@pytest.fixture(autouse=True)
def no_faults_afterwards() -> Iterator[None]:
    yield
    faults.install(None)


def struck(name: str, times: int) -> list[int]:
    hits = []
    for number in range(1, times + 1):
        try:
            faults.point(name)
        except InjectedFault:
            hits.append(number)
    return hits


def test_without_faults_nothing_happens() -> None:
    assert struck("log.commit", 5) == []


def test_the_nth_time_alone() -> None:
    faults.install(parse("log.commit:fail:@3"))
    assert struck("log.commit", 6) == [3]
    assert struck("log.begin", 6) == []


def test_every_time() -> None:
    faults.install(parse("log.begin:full"))
    assert struck("log.begin", 3) == [1, 2, 3]
    with pytest.raises(InjectedFault) as caught:
        faults.point("log.begin")
    assert caught.value.errno == errno.ENOSPC


def test_some_of_the_time_and_repeatable() -> None:
    runs = []
    for _ in range(2):
        faults.install(parse("seed=7, log.begin:fail:0.25"))
        runs.append(struck("log.begin", 400))
    assert runs[0] == runs[1]
    assert 60 < len(runs[0]) < 140


def test_hits_are_counted() -> None:
    injector = parse("log.begin:fail:@2,log.begin:fail:@9")
    faults.install(injector)
    struck("log.begin", 4)
    struck("log.commit", 2)
    assert (injector.hits, injector.struck) == ({"log.begin": 4, "log.commit": 2}, 1)


@pytest.mark.parametrize(
    "text",
    [
        "nowhere:kill",
        "log.commit",
        "log.commit:explode",
        "log.commit:kill:@x",
        "log.commit:kill:often",
        "log.commit:lie",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_an_unlisted_point_is_noticed() -> None:
    faults.install(parse(""))
    with pytest.raises(ValueError, match="POINTS"):
        faults.point("log.nowhere")


def test_every_point_in_the_code_is_listed_and_every_listed_one_is_there() -> None:
    package = Path(faults.__file__).parent.parent
    rooms = "|".join(sorted({name.split(".")[0] for name in faults.POINTS}))
    found: set[str] = set()
    for file in package.rglob("*.py"):
        if "testing" not in file.parts and file.name != "faults.py":
            found |= set(re.findall(rf"(?:point\(|at=|, )\"((?:{rooms})\.[a-z_]+)\"", file.read_text()))
    assert set(faults.POINTS) == found
    assert len(set(faults.POINTS)) == len(faults.POINTS)


def test_faults_are_values() -> None:
    assert Fault("log.begin", "kill", nth=3) == Fault("log.begin", "kill", 3)
