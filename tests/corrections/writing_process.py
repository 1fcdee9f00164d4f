"""A process that corrects until somebody kills it: `python -m tests.corrections.writing_process FOLDER SEED`.

It says each thing before it begins with it and once it is done: `begin N` and `done N`. What thing N is, follows from
the seed.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from heartbeat.corrections.rows import Gone
from heartbeat.corrections.store import Corrections
from tests.corrections.material import T0, opened, seen

THINGS = 100_000


def thing(seed: int, number: int) -> tuple[str, str, str]:
    """What is done as number N: (what, post, label)."""
    chance = random.Random(f"{seed}/{number}")
    what = chance.choices(["correct", "take back", "retract"], (6, 1, 1))[0]
    return what, f"{chance.randrange(12)}", chance.choice(["positive", "neutral", "negative", "mixed"])


def do(store: Corrections, seed: int, number: int) -> None:
    what, post_id, label = thing(seed, number)
    if what == "correct":
        store.correct(lambda: seen(post_id, f"text of {post_id}"), label, "en", now_ms=T0 + number)
    elif what == "take back":
        store.take_back("x", post_id)
    else:
        store.retract([Gone("x", post_id, None)])


def main(folder: Path, seed: int, first: int) -> None:
    store = opened(folder)
    for number in range(first, THINGS):
        print(f"begin {number}", flush=True)
        do(store, seed, number)
        print(f"done {number}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
