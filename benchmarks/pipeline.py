"""Posts a second through the whole pipeline, beside plain Faust agents doing the same job. `make bench`.

Both run alone in a process, one after the other, with the same (fast) models on the same transport.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import posts


def measured(module: str, file: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Run a module and give the last line of what it says."""
    done = subprocess.run(
        [sys.executable, "-m", module, str(file), str(folder)],
        env={**os.environ, "HEARTBEAT_SENTIMENT_MODEL": "sentiment-fast"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise SystemExit(f"{module} failed with {done.returncode}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=150_000)
    parser.add_argument("--plain-posts", type=int, default=3_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin = posts.write(folder / "ours.jsonl", given.posts)
        posts.write(folder / "plain.jsonl", given.plain_posts)
        plain = measured("benchmarks.plain_faust", folder / "plain.jsonl", folder / "plain", 600)
        ours = measured("benchmarks.ours", folder / "ours.jsonl", folder / "ours", 1200)
    plain_rate, our_rate = plain["posts"] / plain["seconds"], ours["posts"] / ours["seconds"]
    print(f"{origin}, one process each, the same models and transport\n")
    print(f"plain Faust agents   {plain_rate:10,.0f} posts/s   ({plain['posts']:,} posts)")
    print(
        f"Heartbeat            {our_rate:10,.0f} posts/s   ({ours['posts']:,} posts, "
        f"{ours['cpu_s'] / ours['posts'] * 1e6:.0f} µs CPU a post)"
    )
    print(f"ratio                {our_rate / plain_rate:10.1f}")
    for name, stats in ours["agents"].items():
        print(f"  {name:16} {stats}")


if __name__ == "__main__":
    main()
