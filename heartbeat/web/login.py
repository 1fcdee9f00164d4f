"""The way in for browsers: a form that takes the token and gives a session for it."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from heartbeat.web.access import Access
from heartbeat.web.pages import Pages


class Login:
    """The handlers of /login and /logout."""

    def __init__(self, access: Access, pages: Pages) -> None:
        self._access, self._pages = access, pages

    async def show(self, request: web.Request) -> web.Response:
        """The form; who has a session already goes on to the page."""
        if not self._access.asked_for or self._access.has_session(request):
            raise web.HTTPSeeOther("/", headers={"Cache-Control": "no-store"})
        return self._pages.login()

    async def enter(self, request: web.Request) -> web.Response:
        """The form was sent."""
        if not self._access.asked_for:
            raise web.HTTPSeeOther("/")
        token = _token_in(await request.read())
        try:
            right = self._access.try_token(request, token)
        except web.HTTPTooManyRequests as error:
            wait_s = error.headers["Retry-After"]
            response = self._pages.login(f"Too many wrong tokens. Try again in {wait_s} s.", status=429)
            response.headers["Retry-After"] = wait_s
            return response
        if not right:
            return self._pages.login("That is not the token.", status=401)
        answer = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
        self._access.begin(request, answer)
        return answer

    async def leave(self, request: web.Request) -> web.Response:
        """Log out."""
        answer = web.Response(status=303, headers={"Location": "/login", "Cache-Control": "no-store"})
        self._access.end(request, answer)
        return answer


def _token_in(form: bytes) -> str:
    """The field of that name, or nothing where there is none. A token is ASCII, whatever else the form is."""
    try:
        return parse_qs(form.decode("ascii", "replace"), max_num_fields=10).get("token", [""])[0]
    except ValueError:
        return ""
