"""Texts to train on, made up: two invented languages that share no n-gram."""

from __future__ import annotations

import random

import pytest

from heartbeat.training.corpus import WORDS, Texts


def sentence(rng: random.Random, syllables: str) -> str:
    parts = syllables.split()
    return " ".join("".join(rng.choices(parts, k=rng.randint(1, 3))) for _ in range(rng.randint(3, 8)))


@pytest.fixture
def two_languages() -> list[Texts]:
    rng = random.Random(5)
    return [
        Texts(0, "made", [sentence(rng, "ba bo lu mi") for _ in range(300)], WORDS, 1.0),
        Texts(1, "made", [sentence(rng, "ке ти са ро") for _ in range(300)], WORDS, 1.0),
    ]
