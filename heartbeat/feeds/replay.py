"""Files of posts as one feed: `replay:HASH`, where the hash is that of the task and of everything in the files.

(`replay:HASH-fast` if its posts are to be scored by the fast model.) So the same files, started again for the same
task, go on where they stopped, wherever they lie by then and whatever they are called; a file that has changed is
another feed. Several files are merged by time as they are read.

The watermark is the newest time delivered less the grace; deletions do not move it. At the end it is the end of time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from heartbeat.clock import Clock
from heartbeat.errors import FeedError, FeedUnreachable
from heartbeat.feeds.base import Delivery, FeedState, Rejected
from heartbeat.feeds.files import Position, PostFile
from heartbeat.feeds.merging import MergedFiles, Pace
from heartbeat.records import END_OF_TIME_MS, Post

logger = logging.getLogger(__name__)

T = TypeVar("T")

POSTS_A_DELIVERY: Final = 1000
MOST_FILES: Final = 256
_SURELY_MS: Final = 10**11
"""The present day in seconds is far below this, everything since 1973 in milliseconds above it."""


def parse_speed(text: str) -> float | None:
    """A speed as a command takes it: `max` is None, a number how many times faster than it happened.

    Raises:
        FeedError: it is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not 0 < speed < 1e9:
        raise FeedError(f"the speed {text!r} is neither `max` nor a number above 0 such as 1 or 60")
    return speed


class ReplayFeed:
    """Posts out of files. Made by `of`.

    Args:
        name: `replay:HASH`.
        paths: the files, in the order in which equal times are delivered.
        clock: for the time of receipt.
        speed: how many times faster than it happened; None: as fast as it goes.
        grace_s: how far the watermark stays behind the newest time.
        posts_a_delivery: how many posts become durable together, at the most.
    """

    live = False

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        clock: Clock,
        *,
        speed: float | None,
        grace_s: float,
        posts_a_delivery: int = POSTS_A_DELIVERY,
    ) -> None:
        self.name = name
        self._paths, self._clock, self._speed = tuple(paths), clock, speed
        self._grace_ms, self._most = round(grace_s * 1000), posts_a_delivery
        self._stamps = [_stamp(path) for path in self._paths]
        self._size = sum(size for size, _ in self._stamps)

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        task: str,
        clock: Clock,
        *,
        speed: float | None = None,
        fast: bool = False,
        grace_s: float = 5.0,
        posts_a_delivery: int = POSTS_A_DELIVERY,
    ) -> ReplayFeed:
        """The replay of these files into a task. Reads them once through, for their hash: it blocks.

        `fast` has its posts scored by the fast model, and makes it another replay than without.

        Raises:
            FeedError: there is no file, or too many, or one cannot be read or is named twice.
        """
        if not 0 < len(paths) <= MOST_FILES:
            raise FeedError(f"a replay takes 1 to {MOST_FILES} files at once, not {len(paths)}")
        digest = hashlib.blake2b(task.encode(), digest_size=8)
        seen: set[Path] = set()
        for path in paths:
            real = path.resolve()
            if real in seen:
                raise FeedError(f"{path} is named twice")
            seen.add(real)
            if path.exists() and not path.is_file():
                raise FeedError(f"{path} is no file; a replay needs files that it can read again")
            try:
                with path.open("rb") as file:
                    digest.update(b"\x00" + hashlib.file_digest(file, hashlib.blake2b).digest())
            except OSError as error:
                raise FeedError(f"{path} cannot be read: {error.strerror}") from error
        name = f"replay:{digest.hexdigest()}{'-fast' if fast else ''}"
        return cls(name, paths, clock, speed=speed, grace_s=grace_s, posts_a_delivery=posts_a_delivery)

    def fraction(self, cursor: bytes | None) -> float:
        """How much of the files is through at a cursor, from 0 to 1, by bytes."""
        if cursor is None or not self._size:
            return 0.0
        return min(max(float(orjson.loads(cursor)["read"] / self._size), 0.0), 1.0)

    def troubles(self, cursor: bytes | None) -> list[str]:
        """What is wrong with the files themselves, as far as a cursor at their end says it; a line for each file."""
        places = [] if cursor is None else orjson.loads(cursor)["files"]
        found = (Position.of(place).trouble(path) for path, place in zip(self._paths, places, strict=False))
        return [trouble for trouble in found if trouble is not None]

    def empty(self, cursor: bytes | None) -> list[str]:
        """The files in which there was nothing at all, as far as a cursor at their end says it."""
        places = [] if cursor is None else orjson.loads(cursor)["files"]
        pairs = zip(self._paths, places, strict=False)
        return [str(path) for path, place in pairs if Position.of(place) == Position()]

    async def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
        """See `base.Feed`. The cursor holds each file's position and the newest time of all."""
        state: dict[str, Any] = {"files": [()] * len(self._paths), "newest_ms": None}
        if cursor:
            state = orjson.loads(cursor)
        newest_ms: int | None = state["newest_ms"]
        positions = [Position.of(place) for place in state["files"]]
        files = [PostFile(path, self.name, at) for path, at in zip(self._paths, positions, strict=True)]
        merged = MergedFiles(files, self._clock)
        pace = None if self._speed is None else Pace(self._speed)
        doubted = cursor is not None
        try:
            self._check_unchanged()
            await _off_loop(merged.open)
            while not await _off_loop(merged.skip):
                pass
            while items := await _off_loop(lambda: merged.take(self._most)):
                for part in (items,) if pace is None else pace.parts(items):
                    if pace is not None:
                        await pace.wait()
                    posts: list[Post] = []
                    rejected: list[Rejected] = []
                    for number, item in part:
                        positions[number] = item.after
                        if isinstance(item.value, Rejected):
                            rejected.append(item.value)
                        else:
                            posts.append(item.value)
                    times = [post.time_ms for post in posts if post.op == "upsert"]
                    if times:
                        newest_ms = max(times) if newest_ms is None else max(newest_ms, max(times))
                        if not doubted and newest_ms < _SURELY_MS:
                            logger.warning("%s: times lie before 1973; are they seconds? ms are needed", self.name)
                        doubted = True
                    yield Delivery(
                        posts,
                        rejected,
                        self._cursor(positions, newest_ms, merged.bytes_at(positions)),
                        None if newest_ms is None else newest_ms - self._grace_ms,
                        FeedState.BEHIND,
                    )
            self._check_unchanged()
            yield Delivery((), (), self._cursor(positions, newest_ms, self._size), END_OF_TIME_MS, FeedState.ENDED)
        finally:
            merged.close()

    def _check_unchanged(self) -> None:
        for path, stamp in zip(self._paths, self._stamps, strict=True):
            if _stamp(path) != stamp:
                raise FeedError(f"{path} was changed while it was replayed; start the replay again")

    @staticmethod
    def _cursor(positions: Sequence[Position], newest_ms: int | None, read: int) -> bytes:
        return orjson.dumps({"files": [list(at) for at in positions], "newest_ms": newest_ms, "read": read})


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change: a file that is written to does not keep both."""
    try:
        stat = path.stat()
    except OSError as error:
        raise FeedUnreachable(f"{path} cannot be read: {error.strerror}") from error
    return stat.st_size, stat.st_mtime_ns


async def _off_loop(work: Callable[[], T]) -> T:
    """Run something that blocks in a thread. A cancelled caller waits for it: it holds the files."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise
