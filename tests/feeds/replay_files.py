"""Files of posts for tests."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from heartbeat.feeds.base import Delivery, Rejected
from heartbeat.feeds.replay import ReplayFeed
from heartbeat.records import Post
from heartbeat.testing.clock import FakeClock

PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress}


def line(number: int, time_ms: int, **more: object) -> bytes:
    return orjson.dumps({"id": str(number), "source": "x", "content": f"text {number}", "time": time_ms, **more})


def write(path: Path, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
    data = b"\n".join(lines)
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data + end if data else data))
    return path


def feed(*paths: Path, task: str = "t", speed: float | None = None, posts_a_delivery: int = 1000) -> ReplayFeed:
    return ReplayFeed.of(paths, task, FakeClock(), speed=speed, posts_a_delivery=posts_a_delivery)


async def everything(replay: ReplayFeed, cursor: bytes | None = None) -> list[Delivery]:
    return [delivery async for delivery in replay.open(cursor)]


def contents(deliveries: Iterable[Delivery]) -> tuple[list[Post], list[Rejected]]:
    deliveries = list(deliveries)
    return (
        [post for delivery in deliveries for post in delivery.posts],
        [item for delivery in deliveries for item in delivery.rejected],
    )
