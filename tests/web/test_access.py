"""Who may come in where a token is set: every route as nobody and as somebody, sessions, and attempts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from heartbeat.errors import StartError
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.web import install
from heartbeat.web.access import OPEN, OPEN_FOLDER, SESSION_S, Access, check_address, is_loopback
from heartbeat.web.attempts import FROM_ALL, FROM_ONE, KNOWN, WITHIN_S, Attempts, address_of
from heartbeat.web.guard import WRITING
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def new_world(**settings: object) -> World:
    return World(FakeClock(), some_tasks("aurora"), Settings.model_validate({"web_token": TOKEN, **settings}))


@asynccontextmanager
async def browsing(served: Serving) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies, as a browser does."""
    async with aiohttp.ClientSession(URL(served.url), cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        yield client


async def log_in(client: aiohttp.ClientSession, token: str = TOKEN, **headers: str) -> int:
    async with client.post("/login", data={"token": token}, headers=headers, allow_redirects=False) as response:
        return response.status


def routes() -> Iterator[tuple[str, str]]:
    """Every method and path that there is, with something in the place of each variable part."""
    app = web.Application()
    install(app, new_world())
    for route in app.router.routes():
        assert route.resource is not None
        yield route.method, re.sub(r"\{[^{}]*\{?[^{}]*\}?[^{}]*\}", "", route.resource.canonical) or "/"


ROUTES = sorted(set(routes()))


def test_every_route_is_walked() -> None:
    paths = {path for _, path in ROUTES}
    assert {"/", "/login", "/logout", "/metrics", "/events", "/live", "/ready", "/api", "/api/tasks"} <= paths
    assert any(path.startswith(OPEN_FOLDER) for path in paths)


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/nope"), ("GET", "/api/nope"), ("GET", "/login/x")])
async def test_every_route_as_nobody_and_as_somebody(method: str, path: str) -> None:
    body = WRITING.get(path)
    sends = body is not None and method == "POST"
    data = b"{}" if sends and body is not None and body.content_type == "application/json" else b""
    form = {"Content-Type": body.content_type} if sends and body is not None else {}
    async with Serving(new_world()) as served, browsing(served) as client:
        is_open = path in OPEN or path.startswith(OPEN_FOLDER)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": "x=1"}):
            asked = client.request(method, path, headers={**form, **headers}, data=data, allow_redirects=False)
            async with asked as response:
                said = await response.text()
                if is_open:
                    assert response.status in (200, 401, 404)
                elif path == "/":
                    assert (response.status, response.headers["Location"]) == (303, "/login")
                else:
                    assert response.status == 401 and response.headers["WWW-Authenticate"].startswith("Bearer")
                assert "aurora" not in said and TOKEN not in said
        for headers in (BEARER, {"Authorization": f"bearer  {TOKEN}"}):
            asked = client.request(method, path, headers={**form, **headers}, data=data, allow_redirects=False)
            async with asked as response:
                assert response.status != 401 or path == "/login"
        assert await log_in(client) == 303
        if path != "/logout":
            async with client.request(method, path, headers=form, data=data, allow_redirects=False) as response:
                assert response.status != 401 or (method, path) == ("POST", "/login")
                assert response.headers.get("Location") != "/login"


@pytest.mark.parametrize(
    "target",
    [
        "/static/../api/tasks",
        "/static/%2e%2e/api/tasks",
        "/static/x/../../api/tasks",
        "/login/../api/tasks",
        "/live/%2e%2e/metrics",
        "//api/tasks",
        "/api//tasks",
        "/static//api/tasks",
        "http://127.0.0.1:{port}/api/tasks",
        "/login;/api/tasks",
        "/api/tasks?/login",
        "/api/tasks#/static/",
    ],
)
async def test_no_way_of_writing_an_address_leads_past_the_door(target: str) -> None:
    async with Serving(new_world()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        asked = target.format(port=served.port)
        writer.write(f"GET {asked} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.split(b" ", 2)[1] in (b"400", b"401", b"404") and b"aurora" not in answer


async def test_without_a_token_everybody_comes_in() -> None:
    async with Serving(new_world(web_token=None)) as served, browsing(served) as client:
        await served.get("/api/tasks")
        async with client.get("/") as response:
            assert response.status == 200 and "Log out" not in await response.text()
        async with client.get("/login", allow_redirects=False) as response:
            assert response.headers["Location"] == "/"
        assert await log_in(client, "anything at all") == 303
        assert not list(client.cookie_jar)


async def test_a_browser_logs_in_and_out() -> None:
    async with Serving(new_world()) as served, browsing(served) as client:
        assert await log_in(client, "wrong") == 401
        assert not list(client.cookie_jar)
        async with client.post("/login", data={"token": TOKEN}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            (said,) = response.headers.getall("Set-Cookie")
        assert "HttpOnly" in said and "SameSite=Strict" in said and "Path=/" in said and "Secure" not in said
        (cookie,) = client.cookie_jar
        assert TOKEN not in said and hashlib.sha256(TOKEN.encode()).hexdigest() not in said
        async with client.get("/login", allow_redirects=False) as response:
            assert response.headers["Location"] == "/"
        async with client.get("/") as response:
            assert (
                "Log out" in await response.text()
                and "form-action 'self'" in response.headers["Content-Security-Policy"]
            )
        async with client.post("/logout", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login")
        assert not list(client.cookie_jar)
        await served.get("/api/tasks", 401, Cookie=f"{cookie.key}={cookie.value}")  # a copy of it is of no use either


async def test_a_session_outlives_a_restart_but_neither_its_time_nor_another_token() -> None:
    world = new_world()
    async with Serving(world) as served, browsing(served) as client:
        await log_in(client)
        (cookie,) = client.cookie_jar
    session = f"{cookie.key}={cookie.value}"
    async with Serving(world) as served:
        await served.get("/api/tasks", Cookie=session)
    async with Serving(new_world(web_token=TOKEN + "2")) as served:
        await served.get("/api/tasks", 401, Cookie=session)
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(SESSION_S)
    async with Serving(world) as served:
        await served.get("/api/tasks", 401, Cookie=session)


async def test_a_session_cannot_be_made_up() -> None:
    async with Serving(new_world()) as served, browsing(served) as client:
        await log_in(client)
        (cookie,) = client.cookie_jar
        ends, number, seal = cookie.value.split(".")
        for value in (
            f"{int(ends) + 1}.{number}.{seal}",
            f"{ends}.{number}x.{seal}",
            f"{ends}.{number}.{seal[:-1]}",
            f"{ends}.{number}.",
            "..",
            "",
            "é\x80",
            TOKEN,
        ):
            await served.get("/api/tasks", 401, Cookie=f"{cookie.key}={value}")


async def test_a_stream_ends_with_its_session() -> None:
    world = new_world()
    async with Serving(world) as served, browsing(served) as client:
        await log_in(client)
        async with client.get("/events") as response:
            assert b"event: hello" in await response.content.readuntil(b"\n\n") + await response.content.readuntil(
                b"\n\n"
            )
            assert isinstance(world.clock, FakeClock)
            world.clock.advance(SESSION_S)
            async with asyncio.timeout(30):
                await response.content.read()


async def test_over_https_the_cookie_stays_there() -> None:
    world = new_world(web_hosts=["pulse.example.org"])
    async with Serving(world) as served, browsing(served) as client:
        for headers in (
            {"Host": "pulse.example.org", "Origin": "https://pulse.example.org"},
            {"Host": "pulse.example.org", "X-Forwarded-Proto": "https"},
        ):
            async with client.post("/login", data={"token": TOKEN}, headers=headers, allow_redirects=False) as response:
                assert response.status == 303 and "Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Host": "evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_form_of_another_site_is_refused(path: str, headers: dict[str, str]) -> None:
    data = {} if path == "/logout" else {"token": TOKEN}
    async with (
        Serving(new_world()) as served,
        browsing(served) as client,
        client.post(path, headers=headers, data=data) as response,
    ):
        assert response.status == 403 and "Set-Cookie" not in response.headers


async def test_bodies_are_small_and_of_one_kind() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"token="

    async with Serving(new_world()) as served, browsing(served) as client:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for data, headers, status in (
            (b"token=" + b"x" * 5_000, form, 413),
            (b'{"token": "x"}', {"Content-Type": "application/json"}, 415),
            (pieces(), form, 411),
            (b"token=\xff\xfe%ff", form, 401),
            (b"", form, 401),
            (b"&".join([b"token=x"] * 50), form, 401),
            (b"token=x", {"Content-Type": form["Content-Type"] + "; charset=rubbish"}, 401),
        ):
            async with client.post("/login", data=data, headers=headers) as response:
                assert response.status == status, await response.text()
        async with client.post("/logout", data=b"x") as response:
            assert response.status == 413


async def test_a_body_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartbeat.web.problems.TIME_LIMIT_S", 0.2)
    async with Serving(new_world()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: 100\r\n"
        writer.write(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=".encode())
        async with asyncio.timeout(30):
            assert b" 503 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_attempts_are_limited_and_told_of_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    async with Serving(new_world()) as served, browsing(served) as client:
        await log_in(client)
        async with browsing(served) as other:
            for number in range(FROM_ONE):
                assert await log_in(other, f"guess-{number}") == 401
            for headers in ({"Authorization": "Bearer guess"}, BEARER):  # the right one is not listened to either
                async with other.get("/api/tasks", headers=headers) as response:
                    assert response.status == 429 and 0 < int(response.headers["Retry-After"]) <= WITHIN_S
            async with other.post("/login", data={"token": TOKEN}) as response:
                assert response.status == 429 and "Too many wrong tokens" in await response.text()
                assert 0 < int(response.headers["Retry-After"]) <= WITHIN_S
            async with other.post("/login", data={"token": TOKEN}, headers={"X-Forwarded-For": "192.0.2.7"}) as far:
                assert far.status == 200
        async with client.get("/api/tasks") as response:  # nor are sessions in the way of it
            assert response.status == 200
    assert sum("a wrong token came from 127.0.0.1" in record.message for record in caplog.records) == FROM_ONE
    assert "guess" not in caplog.text and TOKEN not in caplog.text


class Timer:
    """Seconds that go by when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_many_addresses_do_not_lock_out_who_is_known() -> None:
    attempts = Attempts(timer := Timer())
    attempts.succeeded("192.0.2.1")
    for number in range(FROM_ALL):
        assert not attempts.wait_s(f"10.0.0.{number}")
        attempts.failed(f"10.0.0.{number}")
    assert attempts.wait_s("10.1.0.0") == WITHIN_S and attempts.wait_s("192.0.2.1") == 0
    timer.now += WITHIN_S
    assert attempts.wait_s("10.1.0.0") == 0
    for number in range(2 * KNOWN):
        attempts.succeeded(str(number))
    assert len(attempts._known) == KNOWN and not attempts._failed


@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from("abc"), st.booleans()), max_size=120))
def test_no_address_ever_has_more_failures_than_allowed(steps: list[tuple[float, str, bool]]) -> None:
    attempts = Attempts(timer := Timer())
    failures: list[tuple[float, str]] = []
    for seconds, address, right in steps:
        timer.now += seconds
        if attempts.wait_s(address):
            continue
        if right:
            attempts.succeeded(address)
            failures = [(at, who) for at, who in failures if who != address]
        else:
            attempts.failed(address)
            failures.append((timer.now, address))
        recent = [who for at, who in failures if at > timer.now - WITHIN_S]
        assert recent.count(address) <= FROM_ONE


@pytest.mark.parametrize(
    ("remote", "said", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.1, 198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", "rubbish", "127.0.0.1"),
        ("::1", "", "::/64"),
        ("2001:db8::1:2:3:4", "", "2001:db8::/64"),
        ("", "", "None"),
    ],
)
def test_only_a_proxy_on_this_machine_is_believed(remote: str, said: str, address: str) -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": said} if said else {}).clone(remote=remote)
    assert address_of(request) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_address(host, None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.7", "example.org", "127.0.0.1.example.org", "2130706433"]
)
def test_anything_else_needs_one(host: str) -> None:
    with pytest.raises(StartError, match="HEARTBEAT_WEB_TOKEN"):
        check_address(host, None)
    check_address(host, TOKEN)


async def test_the_token_stands_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = new_world()
    assert TOKEN not in repr(world.settings) and TOKEN not in str(world.settings)
    assert TOKEN not in repr(vars(Access)) and TOKEN not in world.settings.model_dump_json()
    async with Serving(world) as served, browsing(served) as client:
        await log_in(client, Referer=served.url + "/login")
        for path in ("/", "/login", "/metrics", "/api/health", "/api/tasks"):
            async with client.get(path) as response:
                assert TOKEN not in await response.text() and TOKEN not in str(response.headers)
                assert TOKEN not in str(response.url)
    assert TOKEN not in caplog.text
