"""Puts everything into an aiohttp application."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from aiohttp.log import server_logger

from heartbeat.web.access import Access
from heartbeat.web.assets import Asset, Assets
from heartbeat.web.corrections import CorrectionsApi
from heartbeat.web.events import Events
from heartbeat.web.guard import CORRECTIONS, Guard, add_headers
from heartbeat.web.hub import Hub
from heartbeat.web.insights import InsightsApi
from heartbeat.web.live import Live
from heartbeat.web.login import Login
from heartbeat.web.pages import Pages
from heartbeat.web.problems import NoRubbish, answer, problems
from heartbeat.web.sources import WebSources


def install(web_app: web.Application, sources: WebSources, hub: Hub | None = None) -> None:
    """Add middlewares, routes and clean-up to an application that has not started."""
    assets = Assets()
    live = Live(sources, hub or Hub())
    api, corrections = InsightsApi(sources), CorrectionsApi(sources)
    settings = sources.settings
    token = settings.web_token.get_secret_value() if settings.web_token else None
    access = Access(token, sources.clock, time.monotonic, settings.web_port)
    pages = Pages(sources, assets)
    login = Login(access, pages)

    async def alive(request: web.Request) -> web.Response:
        return answer({"live": True})

    async def ready(request: web.Request) -> web.Response:
        if sources.ready():
            return answer({"ready": True})
        if not access.admits(request):
            return answer({"ready": False}, status=503)
        failed = [f"{status.part}: {status.why}" for status in sources.health if status.state == "failed"]
        reason = "; ".join(failed) or "recovery is not complete"
        response = answer({"ready": False, "error": {"reason": reason, "hint": "ask again in a second"}}, status=503)
        response.headers["Retry-After"] = "1"
        return response

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = sources.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    warming: list[asyncio.Task[Asset]] = []

    async def warm(_: web.Application) -> None:
        warming.append(asyncio.create_task(assets.plotly(), name="web warm"))

    async def stop(_: web.Application) -> None:
        await live.stop()

    if not any(isinstance(each, NoRubbish) for each in server_logger.filters):
        server_logger.addFilter(NoRubbish())
    web_app.middlewares.append(problems)
    web_app.middlewares.append(Guard(settings.web_host, settings.web_hosts).middleware())
    web_app.middlewares.append(access.middleware())
    web_app.on_response_prepare.append(add_headers)
    web_app.on_startup.append(warm)
    web_app.on_shutdown.append(stop)
    router = web_app.router
    router.add_get("/", pages.pulse)
    router.add_get("/login", login.show)
    router.add_post("/login", login.enter)
    router.add_post("/logout", login.leave)
    router.add_get("/static/{digest}/{name}", assets.get)
    router.add_get("/api/tasks", api.tasks)
    router.add_get("/api/windows", api.windows)
    router.add_get("/api/insights", api.insights)
    router.add_get("/api/voice", api.voice)
    router.add_get("/api/posts", api.posts)
    router.add_get("/api/feeds", api.feeds)
    router.add_get("/api/health", api.health)
    router.add_get(CORRECTIONS, corrections.get)
    router.add_post(CORRECTIONS, corrections.post)
    router.add_delete(CORRECTIONS, corrections.delete)
    router.add_get("/api{rest:(/.*)?}", api.missing)
    router.add_get("/events", Events(sources, live, assets.version, access.still_admits).get, allow_head=False)
    router.add_get("/metrics", metrics)
    router.add_get("/live", alive)
    router.add_get("/ready", ready)
