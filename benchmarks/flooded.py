"""A worker whose live feed talks as fast as it is let, in long posts too: `faust -A benchmarks.flooded worker`.

FLOOD_POSTS_PER_S says how fast, FLOOD_LONG how many characters every twentieth post has.
"""

from __future__ import annotations

import os
from dataclasses import replace

from heartbeat import settings
from heartbeat.app import build
from heartbeat.clock import SystemClock
from heartbeat.feeds.demo import DemoFeed, Line, script

_RATE = float(os.environ.get("FLOOD_POSTS_PER_S", "1000"))
_LONG = int(os.environ.get("FLOOD_LONG", "20000"))


def _lines() -> list[Line]:
    return [
        replace(line, content=f"{line.content} " * (_LONG // (len(line.content) + 1))) if number % 20 == 0 else line
        for number, line in enumerate(script())
    ]


app = build(settings.load(), [DemoFeed(SystemClock(), lines=_lines(), posts_per_s=(_RATE, _RATE))])
