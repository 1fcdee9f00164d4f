"""Which requests are answered at all, and the headers that every answer carries.

The server listens on the loopback address, so whoever can reach it is on this machine; but a web page from elsewhere
runs on this machine too. It must neither read from here (DNS rebinding: its own name made to point to 127.0.0.1, which
the Host header gives away) nor cause anything here (a request across origins, which Origin and Sec-Fetch-Site give
away).
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from heartbeat.web.problems import problem

_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_ANYWHERE: Final = ("", "0.0.0.0", "::")
_METHODS: Final = ("GET", "HEAD")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The content security policy of whatever is no page."""


class Guard:
    """A middleware that refuses what does not come from a page of this server or a program on this machine.

    `web_host` is the address that the server was told to listen on: it may be named too, unless it is a wildcard.
    """

    def __init__(self, web_host: str) -> None:
        own = f"[{web_host}]" if ":" in web_host else web_host
        self._hosts = (*_LOOPBACK, *(() if web_host in _ANYWHERE else (own.lower(),)))

    def allowed(self, port: int) -> set[str]:
        """What the Host header may say on a port."""
        with_port = {f"{host}:{port}" for host in self._hosts}
        return with_port | set(self._hosts) if port == 80 else with_port

    def middleware(self) -> Middleware:
        """The middleware itself."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.check(request)
            return await handler(request)

        return guard

    def check(self, request: web.Request) -> None:
        """Raise 403, 405 or 413 unless the request may be answered."""
        socket = request.transport.get_extra_info("sockname") if request.transport else None
        port = socket[1] if isinstance(socket, tuple) else 80
        host = request.headers.get("Host", "").lower()
        if host not in self.allowed(port) or len(request.headers.getall("Host", [])) != 1:
            raise problem(
                web.HTTPForbidden,
                "the request does not name this server as its host",
                f"open http://127.0.0.1:{port}/",
            )
        if any(origin.lower() != f"http://{host}" for origin in request.headers.getall("Origin", [])):
            raise problem(web.HTTPForbidden, "the request comes from a page of another origin", "use a page from here")
        sites, modes, aims = (_values(request, f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest"))
        opened = modes == {"navigate"} and aims <= {"document"}
        if not sites <= {"same-origin", "none"} and not opened:
            raise problem(web.HTTPForbidden, "the request was made by a page of another site", "use a page from here")
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        if request.body_exists:
            raise problem(
                web.HTTPBadRequest, "the request has a body", "a GET here takes its parameters from the address"
            )


def _values(request: web.Request, name: str) -> set[str]:
    """Everything that a header says, however often it stands there, in small letters."""
    return {value.strip().lower() for value in request.headers.getall(name, [])}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: what every answer carries, errors and streams too. A page brings its own content security policy."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Content-Security-Policy", NOTHING)
