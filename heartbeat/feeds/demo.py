"""A scripted conversation, played for ever: what a newcomer sees first.

It needs no network and no key. The products, companies and people in it are invented; see `demo.jsonl`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from heartbeat.clock import Clock
from heartbeat.feeds.base import Delivery, FeedState
from heartbeat.records import Post

SCRIPT: Final = Path(__file__).with_name("demo.jsonl")
POSTS_PER_S: Final = (2.0, 4.0)
_SAYS_LANGUAGE: Final = frozenset({"x", "bluesky", "mastodon"})
"""Networks whose posts come with the language that their authors set."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the script. `phase` is the part of the story: launch, praise, outage, anger, apology, recovery."""

    source: str
    author: str
    content: str
    lang: str
    phase: str


def script(path: Path = SCRIPT) -> tuple[Line, ...]:
    """The conversation, in its order."""
    return tuple(Line(**orjson.loads(line)) for line in path.read_bytes().splitlines() if line.strip())


class DemoFeed:
    """Plays the script round after round, a post at a time, made now, under new ids in each round.

    After a stop it goes on with the next line, however long it was away: nothing is made up for.
    """

    name = "demo"
    live = True
    makes_up = False

    def __init__(
        self,
        clock: Clock,
        *,
        lines: Sequence[Line] | None = None,
        posts_per_s: tuple[float, float] = POSTS_PER_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._posts_per_s, self._sleep = clock, posts_per_s, sleep
        self._lines = script() if lines is None else tuple(lines)

    async def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
        """See `base.Feed`. The cursor is the next line: `{"round":…,"index":…}`."""
        at = orjson.loads(cursor) if cursor else {"round": 0, "index": 0}
        round_, index = at["round"], at["index"]
        if index >= len(self._lines):  # the script has become shorter since
            round_, index = round_ + 1, 0
        yield self._delivery((), round_, index)
        while True:
            await self._sleep(1 / random.Random(f"{round_}:{index}").uniform(*self._posts_per_s))
            post = self._post(round_, index)
            round_, index = (round_, index + 1) if index + 1 < len(self._lines) else (round_ + 1, 0)
            yield self._delivery((post,), round_, index)

    def _delivery(self, posts: Sequence[Post], round_: int, index: int) -> Delivery:
        cursor = orjson.dumps({"round": round_, "index": index})
        return Delivery(posts, (), cursor, watermark_ms=None, state=FeedState.CAUGHT_UP)

    def _post(self, round_: int, index: int) -> Post:
        line, now_ms = self._lines[index], self._clock.now_ms()
        return Post(
            id=f"demo-{round_}-{index}",
            source=line.source,
            feed=self.name,
            tasks=(),
            op="upsert",
            rev=0,
            content=line.content,
            time_ms=now_ms,
            received_ms=now_ms,
            author=line.author,
            lang_hint=line.lang if line.source in _SAYS_LANGUAGE else None,
        )
