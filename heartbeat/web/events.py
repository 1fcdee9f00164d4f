"""`GET /events`: the stream of server-sent events.

A task that nobody knows is no error here: it may come while somebody listens (a replay begins).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import web

from heartbeat.web.hub import Full
from heartbeat.web.live import Live
from heartbeat.web.params import Params
from heartbeat.web.problems import problem
from heartbeat.web.shapes import rfc3339
from heartbeat.web.sources import WebSources

RETRY_MS: Final = 3_000
COMMENT_S: Final = 15.0
LOOK_S: Final = 1.0
"""How often it is seen whether a silent reader is still there."""
STUCK_S: Final = 20.0
"""A reader that takes nothing for this long is dropped."""
PACE_S: Final = 0.1
"""The least time between two writes to one reader, so that newest states can replace older ones in between."""


class Events:
    """The handler.

    Args:
        sources: what it tells of.
        live: where events come from.
        version: names the page's files, so that an open page can tell that there is a newer one.
        admits: whether a reader may still be answered: a session ends.
    """

    def __init__(
        self,
        sources: WebSources,
        live: Live,
        version: str,
        admits: Callable[[web.Request], bool] = lambda request: True,
    ) -> None:
        self._sources, self._live, self._version, self._admits = sources, live, version, admits

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Stream until the reader goes, is too slow, or the server stops."""
        params = Params(request, ("task", "last_event_id"), repeated=("task",))
        last_id = request.headers.get("Last-Event-ID") or params.text("last_event_id")
        joined = self._live.join(last_id, [name for name in params.texts("task") if name])
        if isinstance(joined, Full):
            error = problem(
                web.HTTPServiceUnavailable, f"{joined.clients} readers are connected", "close some pages, or try later"
            )
            error.headers["Retry-After"] = "10"
            raise error
        client, resumed = joined
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            await response.write(b"retry: %d\n\nevent: hello\ndata: %b\n\n" % (RETRY_MS, self._hello(resumed)))
            silent_s = 0.0
            while (wire := await client.take(LOOK_S)) is not None:
                if request.transport is None or request.transport.is_closing() or not self._admits(request):
                    break
                silent_s = 0.0 if wire else silent_s + LOOK_S
                if silent_s >= COMMENT_S:
                    wire, silent_s = b": still here\nevent: tick\ndata: {}\n\n", 0.0
                if wire:
                    async with asyncio.timeout(STUCK_S):
                        await response.write(wire)
                    await asyncio.sleep(PACE_S)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._live.leave(client)
        if client.dropped and request.transport is not None:
            request.transport.abort()
        return response

    def _hello(self, resumed: bool) -> bytes:
        """The first event, which has no id. Not resumed: what was known may be out of date, ask the API."""
        return orjson.dumps(
            {
                "resumed": resumed,
                "ready": self._sources.ready(),
                "now": rfc3339(self._sources.clock.now_ms()),
                "version": self._version,
            }
        )
