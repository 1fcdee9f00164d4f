"""Who is answered, and with which headers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.web.guard import Guard
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

PATHS = ["/", "/api/tasks", "/api/windows?task=aurora", "/events", "/live", "/ready", "/nope", "/static/x/pulse.js"]


def new_world() -> World:
    return World(FakeClock(), some_tasks("aurora"), Settings.model_validate({}))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "[::1]", ""],
)
async def test_another_host_is_refused(path: str, host: str) -> None:
    async with Serving(new_world()) as served:
        error = (await served.get(path, 403, Host=host.format(port=served.port)))["error"]
    assert "does not name this server" in error["reason"]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"])
async def test_this_host_is_answered(host: str) -> None:
    async with Serving(new_world()) as served:
        await served.get("/api/tasks", Host=host.format(port=served.port))
        await served.get(
            "/api/tasks", Host=host.format(port=served.port), Origin="http://" + host.format(port=served.port)
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost:{port}"],
)
async def test_another_origin_is_refused(path: str, origin: str) -> None:
    async with Serving(new_world()) as served:
        error = (await served.get(path, 403, Origin=origin.format(port=served.port)))["error"]
    assert "another origin" in error["reason"]


async def test_a_page_of_another_site_may_lead_here_but_not_read() -> None:
    async with Serving(new_world()) as served:
        for site in ("cross-site", "same-site"):
            await served.get("/api/tasks", 403, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script")
            await served.get("/", 403, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")
            await served.get("/ready", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")


async def test_headers_are_read_however_they_are_written() -> None:
    async with Serving(new_world()) as served:
        for site in ("CROSS-SITE", "Same-Site", " cross-site ", "something-new"):
            await served.get("/api/tasks", 403, Sec_Fetch_Site=site, Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty")
        await served.get("/api/tasks", Sec_Fetch_Site="Same-Origin", Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty")
        await served.get("/ready", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="Navigate", Sec_Fetch_Dest="Document")
        host = f"127.0.0.1:{served.port}"
        for more in (
            f"Origin: http://{host}\r\nOrigin: http://evil.example",
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site",
        ):
            assert b" 403 " in await _first_line(
                served.port, f"GET /api/tasks HTTP/1.1\r\nHost: {host}\r\n{more}\r\n\r\n"
            )


@pytest.mark.parametrize(
    "rubbish", ["\x16\x03\x01\x02\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "x" * 9_000 + "\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_without_a_fuss(rubbish: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Serving(new_world()) as served:
        assert b" 400 " in await _first_line(served.port, rubbish)
        await served.get("/api/tasks", Host=f"127.0.0.1:{served.port}")
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def _first_line(port: int, request: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode("latin-1"))
    async with asyncio.timeout(30):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/events", "/nope"])
async def test_only_get_is_possible(method: str, path: str) -> None:
    async with (
        Serving(new_world()) as served,
        aiohttp.ClientSession() as session,
        session.request(method, served.url + path) as response,
    ):
        assert response.status == 405
        assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD"}
        assert "not possible here" in await response.text()


async def test_a_request_with_a_body_is_refused() -> None:
    async with (
        Serving(new_world()) as served,
        aiohttp.ClientSession() as session,
        session.get(served.url + "/api/tasks", data=b"x" * 100) as response,
    ):
        assert response.status == 400


async def test_head_answers_without_a_body() -> None:
    async with Serving(new_world()) as served:
        for path in ("/", "/api/tasks", "/live"):
            async with aiohttp.ClientSession() as session, session.head(served.url + path) as response:
                assert (response.status, await response.read()) == (200, b"")
        await served.get("/events", 405, method="HEAD")


@pytest.mark.parametrize("path", [*PATHS, "/api/nope"])
async def test_every_answer_carries_the_headers(path: str) -> None:
    async with Serving(new_world()) as served, aiohttp.ClientSession() as session:
        for headers in ({}, {"Host": "evil.example"}):
            async with session.get(served.url + path, headers=headers) as response:
                told = response.headers
                assert told["X-Content-Type-Options"] == "nosniff"
                assert told["Referrer-Policy"] == ("same-origin" if path == "/" and not headers else "no-referrer")
                assert told["Cross-Origin-Resource-Policy"] == "same-origin"
                policy = told["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert "Access-Control-Allow-Origin" not in told
                assert told["Server"] == "Heartbeat"


async def test_two_hosts_are_refused() -> None:
    async with Serving(new_world()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        host = f"127.0.0.1:{served.port}"
        writer.write(f"GET /api/tasks HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n".encode())
        assert b" 40" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_further_name_may_be_named_over_https_too() -> None:
    world = World(FakeClock(), some_tasks("aurora"), Settings.model_validate({"web_hosts": ["Pulse.example.org"]}))
    async with Serving(world) as served:
        for host, origin, status in (
            ("pulse.example.org", "https://pulse.example.org", 200),
            ("pulse.example.org", "http://pulse.example.org", 200),
            (f"pulse.example.org:{served.port}", f"https://pulse.example.org:{served.port}", 200),
            ("pulse.example.org", "https://pulse.example.org.evil.example", 403),
            ("pulse.example.org", f"https://127.0.0.1:{served.port}", 403),
            ("pulse.example.org:1", "https://pulse.example.org:1", 403),
            ("evil.example", "https://pulse.example.org", 403),
        ):
            await served.get("/api/tasks", status, Host=host, Origin=origin)


def test_the_configured_address_may_be_named_unless_it_is_every_address() -> None:
    assert "192.0.2.7:6066" in Guard("192.0.2.7").allowed(6066)
    assert "[2001:db8::7]:6066" in Guard("2001:db8::7").allowed(6066)
    assert Guard("0.0.0.0").allowed(6066) == Guard("127.0.0.1").allowed(6066)
    assert "localhost" in Guard("127.0.0.1").allowed(80)
