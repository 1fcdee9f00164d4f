"""Which requests are answered at all, and the headers that every answer carries.

The server listens on the loopback address, so whoever can reach it is on this machine; but a web page from elsewhere
runs on this machine too. It must neither read from here (DNS rebinding: its own name made to point to 127.0.0.1, which
the Host header gives away) nor cause anything here (a request across origins, which Origin and Sec-Fetch-Site give
away).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from heartbeat.web.problems import problem

CORRECTIONS: Final = "/api/corrections"
LONGEST_BODY: Final = 16_384
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_ANYWHERE: Final = ("", "0.0.0.0", "::")
_METHODS: Final = ("GET", "HEAD")


class Body(NamedTuple):
    """What a request that changes something has to look like."""

    methods: Sequence[str]
    content_type: str
    most_bytes: int


WRITING: Final[Mapping[str, Body]] = {
    "/login": Body(("POST",), "application/x-www-form-urlencoded", 4_096),
    "/logout": Body(("POST",), "application/x-www-form-urlencoded", 0),
    CORRECTIONS: Body(("POST", "DELETE"), "application/json", LONGEST_BODY),
}
"""Where a request may change something: these methods more."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The content security policy of whatever is no page."""


class _TooLarge(web.HTTPClientError):
    """As aiohttp's own, which wants to word its text itself."""

    status_code = 413


class Guard:
    """A middleware that refuses what does not come from a page of this server or a program on this machine.

    `web_host` is the address that the server was told to listen on: it may be named too, unless it is a wildcard.
    `web_hosts` are further names, those of a proxy for example; only they may be reached over https.
    """

    def __init__(self, web_host: str, web_hosts: Sequence[str] = ()) -> None:
        self._further = frozenset(web_hosts)
        own = f"[{web_host}]" if ":" in web_host else web_host
        self._hosts = (*_LOOPBACK, *(() if web_host in _ANYWHERE else (own.lower(),)))

    def allowed(self, port: int) -> set[str]:
        """What the Host header may say on a port."""
        with_port = {f"{host}:{port}" for host in (*self._hosts, *self._further)} | self._further
        return with_port | set(self._hosts) if port == 80 else with_port

    def middleware(self) -> Middleware:
        """The middleware itself."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.check(request)
            return await handler(request)

        return guard

    def check(self, request: web.Request) -> None:
        """Raise 400, 403, 405, 411, 413 or 415 unless the request may be answered."""
        socket = request.transport.get_extra_info("sockname") if request.transport else None
        port = socket[1] if isinstance(socket, tuple) else 80
        host = request.headers.get("Host", "").lower()
        if host not in self.allowed(port) or len(request.headers.getall("Host", [])) != 1:
            raise problem(
                web.HTTPForbidden,
                "the request does not name this server as its host",
                f"open http://127.0.0.1:{port}/; other names that lead here have to stand in web_hosts",
            )
        own = {f"http://{host}", *((f"https://{host}",) if self._is_further(host) else ())}
        if not {origin.lower() for origin in request.headers.getall("Origin", [])} <= own:
            raise problem(web.HTTPForbidden, "the request comes from a page of another origin", "use a page from here")
        sites, modes, aims = (_values(request, f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest"))
        # a link from elsewhere may lead here, but no form of theirs may be sent here
        opened = request.method in _METHODS and modes == {"navigate"} and aims <= {"document"}
        if not sites <= {"same-origin", "none"} and not opened:
            raise problem(web.HTTPForbidden, "the request was made by a page of another site", "use a page from here")
        body = WRITING.get(request.path)
        allowed = (*_METHODS, *(body.methods if body else ()))
        if request.method not in allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        if body is not None and request.method == "POST":
            _check_body(request, body)
        elif request.body_exists:
            raise problem(
                web.HTTPBadRequest, "the request has a body", "a GET here takes its parameters from the address"
            )

    def _is_further(self, host: str) -> bool:
        return host in self._further or host.rpartition(":")[0] in self._further


def _check_body(request: web.Request, body: Body) -> None:
    """A page of another site can send JSON only after it has asked, which is refused (405)."""
    if body.most_bytes and request.content_type != body.content_type:
        raise problem(
            web.HTTPUnsupportedMediaType,
            f"the body is not said to be {body.content_type}",
            f"send Content-Type: {body.content_type}",
        )
    if request.content_length is None:
        raise problem(web.HTTPLengthRequired, "the request does not say how long it is", "send Content-Length")
    if request.content_length > body.most_bytes:
        raise problem(_TooLarge, f"the body has {request.content_length} bytes", f"at most {body.most_bytes} are taken")


def _values(request: web.Request, name: str) -> set[str]:
    """Everything that a header says, however often it stands there, in small letters."""
    return {value.strip().lower() for value in request.headers.getall(name, [])}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: what every answer carries, errors and streams too. A page brings its own content security policy."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", NOTHING)
    response.headers["Server"] = "Heartbeat"  # aiohttp would tell its version, and Python's
