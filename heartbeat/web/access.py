"""Who may come in, where a token is asked for: programs by the token itself, browsers by a session.

A session is a value that only the holder of the token could have made: when it ends and a random number, sealed by a
key that is derived from the token. So it outlives restarts, holds nothing of the token, and ends with it. One that was
logged out is remembered for as long as this process lives.

A browser's stream of events can send no headers of its own, and a token in an address ends up in logs; hence cookies.
They are SameSite=Strict: no page of another site can use them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from heartbeat.clock import Clock
from heartbeat.errors import StartError
from heartbeat.web.attempts import Attempts, address_of
from heartbeat.web.problems import problem

logger = logging.getLogger(__name__)

SESSION_S: Final = 7 * 86_400
OPEN: Final = ("/login", "/live", "/ready")
"""Asked for without a token: whoever starts and watches processes has none, and they say nothing but yes or no."""
OPEN_FOLDER: Final = "/static/"
"""The page's own files, which are the same for everybody: the login page needs some of them."""
_BY_TOKEN: Final = web.RequestKey("heartbeat.by_token", bool)
PAGES: Final = ("/",)
"""Whoever asks for one of these without a session is led to the login page."""


class Access:
    """Holds requests against the token.

    Args:
        token: what is asked for; None lets everybody in.
        clock: for the end of sessions.
        timer: seconds that only go forward, for attempts.
        port: names the cookie: browsers give one host's cookies to all of its ports.
    """

    def __init__(self, token: str | None, clock: Clock, timer: Callable[[], float], port: int) -> None:
        self._token, self._clock = token, clock
        self._ended: dict[str, int] = {}
        self.attempts = Attempts(timer)
        self.cookie = f"heartbeat_session_{port}"

    @property
    def asked_for(self) -> bool:
        """Whether a token is asked for at all."""
        return self._token is not None

    def middleware(self) -> Middleware:
        """Refuses whoever may not come in."""

        @web.middleware
        async def access(request: web.Request, handler: Handler) -> web.StreamResponse:
            is_open = request.path in OPEN or request.path.startswith(OPEN_FOLDER)
            if not is_open and not self.admits(request):
                if request.path in PAGES and request.method in ("GET", "HEAD"):
                    raise web.HTTPSeeOther("/login", headers={"Cache-Control": "no-store"})
                self._refuse(request)
            return await handler(request)

        return access

    def admits(self, request: web.Request) -> bool:
        """Whether a request may be answered.

        Raises:
            HTTPTooManyRequests: it brings a token, but too many wrong ones came before it.
        """
        if self._token is None or self.has_session(request):
            return True
        request[_BY_TOKEN] = self._bears_token(request)
        return request[_BY_TOKEN]

    def still_admits(self, request: web.Request) -> bool:
        """Whether one that is being answered may go on being so: sessions end."""
        return self._token is None or request.get(_BY_TOKEN, False) or self.has_session(request)

    def _refuse(self, request: web.Request) -> None:
        error = problem(
            web.HTTPUnauthorized,
            "this needs the token, or a session",
            "send Authorization: Bearer TOKEN (HEARTBEAT_WEB_TOKEN of the server), or log in at /login",
        )
        error.headers["WWW-Authenticate"] = 'Bearer realm="heartbeat"'
        raise error

    # -- the token itself -----------------------------------------------------------------------------------------

    def try_token(self, request: web.Request, token: str) -> bool:
        """Whether it is the right one.

        Raises:
            HTTPTooManyRequests: too many wrong ones came before it; then it is not even looked at.
        """
        address = address_of(request)
        if wait_s := self.attempts.wait_s(address):
            error = problem(web.HTTPTooManyRequests, "too many wrong tokens", f"try again in {wait_s} s")
            error.headers["Retry-After"] = str(wait_s)
            raise error
        given, right = (hashlib.sha256(_raw(text)).digest() for text in (token, self._token or ""))
        if self._token is not None and hmac.compare_digest(given, right):
            self.attempts.succeeded(address)
            return True
        self.attempts.failed(address)
        logger.warning("a wrong token came from %s", address)
        return False

    def _bears_token(self, request: web.Request) -> bool:
        scheme, _, token = ",".join(request.headers.getall("Authorization", [])).partition(" ")
        return scheme.lower() == "bearer" and self.try_token(request, token.strip())

    # -- sessions -------------------------------------------------------------------------------------------------

    def begin(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give a browser a session."""
        ends_s = self._clock.now_ms() // 1000 + SESSION_S
        content = f"{ends_s}.{secrets.token_urlsafe(18)}"
        response.set_cookie(
            self.cookie,
            f"{content}.{self._seal(content)}",
            max_age=SESSION_S,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_over_https(request),
        )

    def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take a browser's session away, here too, in case somebody copied it."""
        now_s = self._clock.now_ms() // 1000
        self._ended = {value: ends_s for value, ends_s in self._ended.items() if ends_s > now_s}
        value = request.cookies.get(self.cookie, "")
        if self.has_session(request):
            self._ended[value] = int(value.partition(".")[0])
        response.del_cookie(self.cookie, path="/", httponly=True, samesite="Strict", secure=_over_https(request))

    def has_session(self, request: web.Request) -> bool:
        """Whether a request comes with a session that has not ended."""
        value = request.cookies.get(self.cookie, "")
        content, _, seal = value.rpartition(".")
        ends_s = content.partition(".")[0]
        return (
            self._token is not None
            and hmac.compare_digest(_raw(seal), _raw(self._seal(content)))
            and self._clock.now_ms() // 1000 < int(ends_s)
            and value not in self._ended
        )

    def _seal(self, content: str) -> str:
        return hmac.new(self._key, _raw(content), "sha256").hexdigest()

    @cached_property
    def _key(self) -> bytes:
        """Costly to derive: whoever gets hold of a session cannot try tokens on it by the million."""
        assert self._token is not None
        return hashlib.scrypt(self._token.encode(), salt=b"heartbeat session", n=2**14, r=8, p=1)


def _raw(text: str) -> bytes:
    """The bytes that a header had; they need not have been UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _over_https(request: web.Request) -> bool:
    """Whether the browser speaks https, to a proxy before us. If that is a lie, it is the liar's own cookie."""
    origin = request.headers.get("Origin", "")
    return request.secure or origin.startswith("https://") or request.headers.get("X-Forwarded-Proto") == "https"


def check_address(host: str, token: object) -> None:
    """Hold the address that the server is to listen on against the token, which is None where there is none.

    Raises:
        StartError: others than this machine could reach it, and no token is set.
    """
    if token is None and not is_loopback(host):
        raise StartError(
            f"the pages are to be served on {host or 'every address'}, where others can reach them, but no token is "
            "set; put one of at least 16 characters into HEARTBEAT_WEB_TOKEN, or leave web_host at 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name other than localhost may mean anything."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
