"""A process that writes a long stream into a history until somebody kills it.

`python -m tests.sinks.writing_process FOLDER SEED POSTS` goes on from the offset that the file `committed` names, which
lags behind what is stored, as the log's offsets do; ends with 0 when everything is stored.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from heartbeat.records import Late, Pulse, Scored
from tests.sinks.model import T0, StillClock, late, open_history, pulse, scored

BATCH = 37
OVER_MS = T0 + 3 * 86_400_000
"""When upkeep is done: days are over, and are added up again and again while they change."""


def stream(seed: int, posts: int) -> tuple[list[Scored], list[Pulse | Late]]:
    """Posts of a window each, a third of them taken back: of these some in time, some late, and some came late."""
    chance = random.Random(seed)
    sentiment: list[Scored] = []
    pulses: list[Pulse | Late] = []
    for number in range(0, posts, 3):
        start_ms = T0 + number * 10_000
        group = [scored(f"{number + at}", time_ms=start_ms + at, content=f"text {number + at}") for at in range(3)]
        gone = group[0]
        sentiment += group
        match chance.choice(["in time", "late", "came late", "edited", "stays"]):
            case "in time":
                pulses += [pulse(10, start_ms, group, revision=0), pulse(10, start_ms, group[1:])]
                sentiment.append(gone._replace(op="retract"))
            case "late":
                pulses += [pulse(10, start_ms, group), late(gone._replace(op="retract"))]
                sentiment.append(gone._replace(op="retract"))
            case "came late":
                pulses += [pulse(10, start_ms, group[1:]), late(gone), late(gone._replace(op="retract"))]
                sentiment.append(gone._replace(op="retract"))
            case "edited":
                new = gone._replace(rev=1, pos=0.1, label="negative", content="other words")
                pulses += [pulse(10, start_ms, group), late(gone._replace(op="retract")), late(new)]
                sentiment += [gone._replace(op="retract"), new]
            case _:
                pulses.append(pulse(10, start_ms, group))
    return sentiment, pulses


async def main(folder: Path, seed: int, posts: int) -> None:
    """Write what is not committed, both topics side by side, in small batches."""
    chance = random.Random()
    sentiment, pulses = stream(seed, posts)
    history = open_history(folder, StillClock(), content_hours=1_000)
    committed = folder / "committed"
    done = [int(text) for text in committed.read_text().split()] if committed.exists() else [0, 0]
    print("ready", flush=True)

    async def write(which: int) -> None:
        records: list[Scored] | list[Pulse | Late] = pulses if which else sentiment
        while done[which] < len(records):
            start, end = done[which], done[which] + chance.randint(1, BATCH)
            batch = list(enumerate(records))[start:end]
            if which:
                await history.store_windows(("pulse", 0), [(offset, record) for offset, record in batch])  # type: ignore[misc]
            else:
                await history.store_posts(("sentiment", 0), [(offset, T0, post) for offset, post in batch])  # type: ignore[misc]
            done[which] = min(end, len(records))
            if chance.random() < 0.3:
                part = folder / "committed.part"
                part.write_text(f"{done[0]} {done[1]}")
                part.replace(committed)
            if chance.random() < 0.2:
                await history.maintain(OVER_MS)

    await asyncio.gather(write(0), write(1))
    while await history.maintain(OVER_MS):
        pass
    history.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
