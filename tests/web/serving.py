"""Serves a world on a port of this machine, and stops serving it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from heartbeat.web import WebSources, install


class Serving:
    """`async with Serving(world) as served`: the pages at `served.url`. Can be stopped and started again."""

    def __init__(self, world: WebSources, port: int = 0) -> None:
        self._world, self._port = world, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        app = web.Application()
        install(app, self._world)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Serving:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def get(self, path: str, status: int = 200, method: str = "GET", **headers: str) -> Any:
        """The JSON answer to a request, which has to have this status."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            ) as response,
        ):
            body = await response.read()
            assert response.status == status, (response.status, body)
            return orjson.loads(body) if body else None


class Reader:
    """Reads server-sent events, by the rules of the standard, far enough for what is sent here."""

    def __init__(self, served: Serving, last_id: str | None = None, query: str = "") -> None:
        self._url, self.last_id = f"{served.url}/events{query}", last_id
        self.retry: int | None = None
        self.comments: list[str] = []

    async def __aenter__(self) -> Reader:
        self._session = aiohttp.ClientSession()
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        self.response = await self._session.get(self._url, headers=headers)
        if self.response.status != 200:
            await self.__aexit__(None, None, None)
        assert (self.response.status, self.response.content_type) == (200, "text/event-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.response.close()
        await self._session.close()

    async def next(self, wanted: str | None = None, timeout_s: float = 30.0) -> tuple[str, Any]:
        """The next event, or the next of one kind; ("end", None) at the end."""
        async with asyncio.timeout(timeout_s):
            while True:
                kind, data = await self._event()
                if wanted is None or kind in (wanted, "end"):
                    return kind, data

    async def until(self, kind: str, data: dict[str, Any], timeout_s: float = 30.0) -> Any:
        """The next event of a kind whose data has these fields."""
        async with asyncio.timeout(timeout_s):
            while True:
                _, told = await self.next(kind, timeout_s)
                assert told is not None, "the stream ended"
                if all(told.get(name) == value for name, value in data.items()):
                    return told

    async def _event(self) -> tuple[str, Any]:
        kind = "message"
        lines: list[str] = []
        event_id: str | None = None
        while True:
            line = (await self.response.content.readline()).decode()
            if not line:
                return "end", None
            line = line.rstrip("\n")
            if not line:
                if event_id is not None:
                    self.last_id = event_id
                if lines:
                    return kind, orjson.loads("\n".join(lines))
                kind, event_id = "message", None
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "":
                    self.comments.append(value)
                case "event":
                    kind = value
                case "data":
                    lines.append(value)
                case "id":
                    event_id = value
                case "retry":
                    self.retry = int(value)
