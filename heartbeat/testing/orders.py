"""Orders of work for a driver: which place's turn it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """One partition of one agent."""

    agent: str
    partition: int


Choose = Callable[[Sequence[Place]], Place]
"""Picks the next place to work at, out of those where there is something to do."""


def evenly() -> Choose:
    """One step at each place in turn."""
    turn = -1

    def choose(places: Sequence[Place]) -> Place:
        nonlocal turn
        turn += 1
        return places[turn % len(places)]

    return choose


def drained_first(*partitions: int) -> Choose:
    """Always the named partitions while they have something to do, in that order; then the others in turn."""
    others = evenly()

    def choose(places: Sequence[Place]) -> Place:
        for partition in partitions:
            for place in places:
                if place.partition == partition:
                    return place
        return others(places)

    return choose


def randomly(seed: int) -> Choose:
    """Any place, as a seeded generator has it."""
    generator = random.Random(seed)
    return lambda places: generator.choice(places)
