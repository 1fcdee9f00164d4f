"""Posts to measure with: the shared ones where they are, else made ones."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data" / "posts" / "posts.jsonl.xz"
DEMO = Path(__file__).parents[1] / "heartbeat" / "feeds" / "demo.jsonl"
BEGIN_MS = 1_763_794_800_000


def write(path: Path, count: int) -> str:
    """Write so many deliveries, repeated with new ids and later times if there are fewer. Says where they are from."""
    if SHARED.exists():
        with lzma.open(SHARED, "rt") as file:
            rounds = [json.loads(line) for line in file]
        origin = "shared posts"
    else:
        dice = random.Random(1)
        said = [json.loads(line) for line in DEMO.read_text().splitlines()]
        rounds = [
            {
                "id": str(number),
                "source": post["source"],
                "content": f"{post['content']} {number % 97}",
                "time": BEGIN_MS + number * 190 + dice.randrange(-800, 800),
            }
            for number, post in enumerate(dice.choices(said, k=38_000))
        ]
        origin = "made posts"
    span_ms = max(post["time"] for post in rounds) - min(post["time"] for post in rounds) + 1000
    with path.open("w") as out:
        for number in range(count):
            turn, at = divmod(number, len(rounds))
            post = rounds[at]
            post = {**post, "id": f"{post['id']}-{turn}", "time": post["time"] + turn * span_ms}
            out.write(json.dumps(post, ensure_ascii=False) + "\n")
    return origin
