"""Memory stays bounded whatever comes: long posts at full speed, more of them than would ever fit."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.proof.processes import finish, kill, replay

MOST_MB = 600
POSTS = 6_000
CHARACTERS = 100_000


def peak_mb(pid: int) -> float:
    """The most that a process has ever had in memory; 0 when it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_long_posts_at_full_speed_fit_into_memory(tmp_path: Path) -> None:
    posts = tmp_path / "posts.jsonl"
    words = "this lamp is so good, ", "das ist ja furchtbar, ", "ランプはとても良い、", "👀 "
    with posts.open("w") as file:
        for number in range(POSTS):
            said = words[number % len(words)]
            post = {
                "id": str(number), "source": "x", "content": said * (CHARACTERS // len(said)),
                "time": 1_763_794_800_000 + 100 * number,
            }  # fmt: skip
            file.write(json.dumps(post, ensure_ascii=False) + "\n")
    assert posts.stat().st_size > 1.2 * MOST_MB * 2**20
    process = replay(posts, tmp_path / "data")
    peak = 0.0
    try:
        while process.poll() is None:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.05)
        code, said = finish(process)
    finally:
        kill(process)
    assert code == 0, said
    assert f"{POSTS:,} posts" in said
    assert 50 < peak < MOST_MB
