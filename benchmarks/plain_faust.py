"""The same job as one would write it with plain Faust, on the same transport.

`python -m benchmarks.plain_faust FILE DIR`. Three agents with `async for`, `topic.send` and `Table +=`, the same two
models. It does less than Heartbeat: no duplicates, edits, deletions, watermarks or history, and nothing in it is exact
after a crash.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from heartbeat.clock import SystemClock
from heartbeat.engine.faust import HeartbeatApp
from heartbeat.engine.faust_worker import run_worker
from heartbeat.engine.ownership import own
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.models.configured import ConfiguredModels
from heartbeat.settings import load

FILE, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
SIZES_S = (10, 60, 900)

models = ConfiguredModels(load())


def open_log() -> SqliteLog:
    """The same log that Heartbeat has."""
    own(FOLDER)
    models.load()
    return SqliteLog.open(FOLDER / "log.db", clock=SystemClock())


app = HeartbeatApp("plain", open_log=open_log, topics=(), web_enabled=False, datadir=str(FOLDER))
ingest = app.topic("plain-ingest", key_type=str, value_type=bytes, value_serializer="json", acks=True)
language = app.topic("plain-language", key_type=str, value_serializer="json")
sentiment = app.topic("plain-sentiment", key_type=str, value_serializer="json")
windows = app.Table("plain-windows", default=int, partitions=4)
lines = FILE.read_text().splitlines()
began = 0.0
seen = 0


@app.agent(ingest)
async def find_language(stream: Any) -> None:
    """Language, a post at a time."""
    async for key, post in stream.items():
        (guess,) = await models.identify([post["content"]])
        await language.send(key=key, value={**post, "lang": guess.lang, "lang_confidence": guess.confidence})


@app.agent(language)
async def find_sentiment(stream: Any) -> None:
    """Sentiment, a post at a time."""
    async for post in stream:
        (said,) = await models.score(models.model_for("bench", post["lang"]), [post["content"]], [post["lang"]])
        value = {"time": post["time"], "lang": post["lang"], "source": post["source"], **said._asdict()}
        await sentiment.send(key="bench", value=value)


@app.agent(sentiment)
async def count(stream: Any) -> None:
    """Windows in a table, an addition at a time."""
    global seen
    async for post in stream:
        for size_s in SIZES_S:
            start = post["time"] // (1000 * size_s) * size_s
            for key in ("all", post["lang"], post["source"]):
                windows[f"{size_s}/{start}/{key}/{post['label']}"] += 1
        seen += 1
        if seen == len(lines):
            print(json.dumps({"posts": seen, "seconds": time.perf_counter() - began}), file=sys.__stdout__, flush=True)
            os._exit(0)


@app.task
async def feed() -> None:
    """Send the file."""
    global began
    await asyncio.sleep(1.0)
    began = time.perf_counter()
    for line in lines:
        post = json.loads(line)
        await ingest.send(key=f"{post['source']}\n{post['id']}", value=post)


if __name__ == "__main__":
    run_worker(app, log_level="warning")
