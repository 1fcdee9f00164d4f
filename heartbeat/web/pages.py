"""The pages: templates filled on the server, so that something is there before any script runs."""

from __future__ import annotations

from typing import Final

import jinja2
import orjson
from aiohttp import web

from heartbeat.web.assets import Assets
from heartbeat.web.sources import WebSources

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' {styles}; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_LOGIN_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_REFERRER: Final = "same-origin"
"""With `no-referrer`, browsers would not even tell us that a form comes from our own page."""


class Pages:
    """The handlers of the pages."""

    def __init__(self, sources: WebSources, assets: Assets) -> None:
        self._sources, self._assets = sources, assets
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("heartbeat.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["json"] = lambda value: orjson.dumps(value).decode()

    async def pulse(self, request: web.Request) -> web.Response:
        """The Pulse page, with every configured task in place."""
        text = self._templates.get_template("pulse.html").render(
            tasks=self._sources.tasks(),
            sizes=self._sources.settings.window_sizes_s,
            languages=self._sources.languages(),
            days=self._sources.settings.corrections_days,
            ready=self._sources.ready(),
            url=self._assets.url,
            plotly=await self._assets.plotly_url(),
            version=self._assets.version,
            leave=self._sources.settings.web_token is not None,
        )
        policy = _POLICY.format(styles=" ".join(await self._assets.style_hashes()))
        return _page(text, policy)

    def login(self, problem: str = "", *, status: int = 200) -> web.Response:
        """The login page, with what went wrong before."""
        text = self._templates.get_template("login.html").render(problem=problem, url=self._assets.url)
        return _page(text, _LOGIN_POLICY, status)


def _page(text: str, policy: str, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy, "Referrer-Policy": _REFERRER}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
