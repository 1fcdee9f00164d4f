"""Waray as it is spoken every day, written for this project: the collections have it in interfaces alone.

`waray.tsv` holds phrases and words, by people who do not have it as their mother tongue. They are trained on, so that
a greeting is not taken for a language that nobody knows; nothing is measured with them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import resources
from typing import Final

from heartbeat.models.text import prepare

LANG: Final = "war"
SOURCE: Final = "own"
_DRAWN: Final = 4_000
_LONGEST: Final = 5


def phrases() -> list[str]:
    """Whole phrases, prepared."""
    return [prepare(text) for text in _lines("phrase")]


def words(seed: int = 4) -> list[str]:
    """One to five words at random, many times: an n-gram model cares little for their order."""
    known = [word for line in _lines("words") for word in line.split()]
    rng = random.Random(seed)
    return [" ".join(rng.sample(known, rng.randint(1, _LONGEST))) for _ in range(_DRAWN)]


def _lines(wanted: str) -> Iterator[str]:
    for line in resources.files("heartbeat.training").joinpath("waray.tsv").read_text("utf-8").splitlines():
        kind, _, text = line.partition("\t")
        if kind == wanted:
            yield text
