"""A server between us and InfluxDB that answers as it is told: what a hosted one, or a bad line, would do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from heartbeat.sinks.influx_client import InfluxPlace
from tests.influx.server import Influxd

Answer = Callable[[web.Request, bytes], web.Response | None]
"""Answers a request; None: it is passed on to InfluxDB."""


def passes(request: web.Request, body: bytes) -> None:
    """Pass everything on."""
    return None


class StandIn:
    """See the top of the module.

    Attributes:
    answer: what is done with each request.
    requests: the bodies that came, in order, unpacked.
    held: requests that were taken and never answered; `land` has them take place after all.
    """

    def __init__(self, influxd: Influxd) -> None:
        self._influxd = influxd
        self.answer: Answer = passes
        self.requests: list[bytes] = []
        self.held: list[tuple[str, bytes]] = []
        self.hang = False
        self.reset = False
        self.place: InfluxPlace

    async def land(self) -> None:
        """What was held takes place now."""
        async with aiohttp.ClientSession() as session:
            for path, body in self.held:
                assert (await self._pass_on(session, path, body)).status == 204
        self.held.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(body)
        if self.hang or self.reset:
            self.held.append((request.raw_path, body))
            if self.reset:
                assert request.transport is not None
                request.transport.abort()
            await asyncio.sleep(3600)
        answer = self.answer(request, body)
        if answer is not None:
            return answer
        async with aiohttp.ClientSession() as session:
            return await self._pass_on(session, request.raw_path, body)

    async def _pass_on(self, session: aiohttp.ClientSession, path: str, body: bytes) -> web.Response:
        headers = {"Authorization": f"Token {self._influxd.place.token.get_secret_value()}"}
        async with session.post(self._influxd.url + path, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[StandIn]:
        """Serve on a free port."""
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/api/v2/write", self._handle)
        app.router.add_post("/api/v2/delete", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        real = self._influxd.place
        self.place = InfluxPlace(site.name, real.org, real.bucket, real.token)
        try:
            yield self
        finally:
            await runner.cleanup()
