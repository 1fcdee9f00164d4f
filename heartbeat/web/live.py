"""Fills the hub from the live stream, the feeds and health, for as long as somebody watches and a little longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from heartbeat.records import Heartbeat, Pulse, Scored
from heartbeat.web import shapes
from heartbeat.web.hub import Client, Full, Hub
from heartbeat.web.sources import LiveRecord, WebSources

logger = logging.getLogger(__name__)

LINGER_S: Final = 120.0
"""How long events are still collected when nobody watches, so that a reader who comes back misses nothing."""
LOOK_S: Final = 1.0
"""How often feeds and health are looked at."""


class Live:
    """Runs the hub. Without readers nothing is read from the log: the pages cost nothing while nobody looks.

    Before recovery is complete there is nothing to follow; feeds and health are told all the same.
    """

    def __init__(self, sources: WebSources, hub: Hub, *, linger_s: float = LINGER_S) -> None:
        self._sources, self._hub, self._linger_s = sources, hub, linger_s
        self._running: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._feeds: dict[str, dict[str, Any]] = {}
        self._health: dict[str, Any] = {}

    def join(self, last_id: str | None, wanted: list[str]) -> tuple[Client, bool] | Full:
        """A client of the hub, which runs from now on."""
        if self._running is None or self._running.done():
            self._hub.restart()
            self._feeds, self._health = {}, {}
            if self._sources.ready():
                self._follow()
            self._running = asyncio.create_task(self._run(), name="web live")
        return self._hub.join(last_id, wanted)

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._hub.leave(client)

    async def stop(self) -> None:
        """Send readers away and stop reading. Can be called again."""
        self._hub.close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    def _follow(self) -> None:
        """Begin to read. The place is taken now, before anybody is told to read history."""
        self._following = asyncio.create_task(self._publish_all(self._sources.tail()), name="web follow")

    async def _run(self) -> None:
        try:
            await self._look_around()
        except Exception:
            logger.exception("the live stream of the pages stopped; it starts again when a page asks")
        finally:
            self._hub.close()
            if self._following is not None:
                self._following.cancel()
                await asyncio.gather(self._following, return_exceptions=True)
                self._following = None

    async def _publish_all(self, tail: AsyncIterator[LiveRecord]) -> None:
        try:
            async for record in tail:
                self._publish(record)
        finally:
            if isinstance(tail, AsyncGenerator):
                await tail.aclose()

    def _publish(self, record: LiveRecord) -> None:
        if isinstance(record, Pulse):
            key = (record.task, record.size_s, record.start_ms)
            self._hub.publish("window", shapes.window_event(record), key=key, task=record.task)
        elif isinstance(record, Scored):
            post = (record.task, record.source, record.id)
            self._hub.publish("post", shapes.post_event(record), key=post, task=record.task)
        elif isinstance(record, Heartbeat):
            self._hub.publish("unheard", shapes.unheard_event(record), key=(record.feed, record.unheard_from_ms))
        elif record.op == "add":
            mark = ("late", record.task, record.source, record.id)
            self._hub.publish("post", shapes.post_event(record), key=mark, task=record.task)

    async def _look_around(self) -> None:
        """Publish what changed about feeds and health; return when nobody has watched for a while."""
        loop = asyncio.get_running_loop()
        watched = loop.time()
        while loop.time() - watched <= self._linger_s:
            if self._following is not None and self._following.done():
                self._following.result()
                raise RuntimeError("the live stream ended")
            if self._following is None and self._sources.ready():
                self._follow()
            self._tell_changes()
            if self._hub.clients:
                watched = loop.time()
            await asyncio.sleep(LOOK_S)

    def _tell_changes(self) -> None:
        now_ms = self._sources.clock.now_ms()
        feeds = {info.name: shapes.feed(info, now_ms) for info in self._sources.feeds()}
        for name, feed in feeds.items():
            if feed != self._feeds.get(name):
                self._hub.publish("feed", feed, key=name)
        for name in self._feeds.keys() - feeds.keys():
            self._hub.publish("feed", {"name": name, "state": "gone"}, key=name)
        health = shapes.health(self._sources)
        if health != self._health:
            self._hub.publish("health", health, key="health")
        self._feeds, self._health = feeds, health
