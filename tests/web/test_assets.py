"""Static files and the page's markup."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import aiohttp
import pytest

from heartbeat.settings import Settings
from heartbeat.tasks import Task, parse
from heartbeat.testing.clock import FakeClock
from heartbeat.web.assets import Assets
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

WEB = Path(__file__).resolve().parents[2] / "heartbeat" / "web"


async def page(world: World) -> tuple[str, dict[str, str]]:
    async with Serving(world) as served, aiohttp.ClientSession() as session, session.get(served.url) as response:
        assert response.status == 200
        return await response.text(), dict(response.headers)


async def test_files_are_kept_for_ever_under_addresses_that_name_them() -> None:
    world = World(FakeClock(), some_tasks("aurora"), Settings.model_validate({}))
    async with Serving(world) as served, aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(served.url) as response:
            html = await response.text()
        addresses = set(re.findall(r"/static/[0-9a-f]{16}/[\w.]+", html))
        assert {address.rpartition("/")[2] for address in addresses} == {
            path.name for path in (WEB / "static").iterdir()
        } | {"plotly.min.js"}
        for address in addresses:
            async with session.get(served.url + address, headers={"Accept-Encoding": "gzip"}) as response:
                assert response.status == 200
                assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
                body = await response.read()
                if response.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
            async with session.get(served.url + address, headers={"Accept-Encoding": "identity"}) as response:
                assert await response.read() == body
                assert "Content-Encoding" not in response.headers
            old = re.sub(r"[0-9a-f]{16}", "0" * 16, address)
            async with session.get(served.url + old) as response:
                assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
        for nothing in ("/static/x/nope.js", "/static/x/../install.py", "/static/x/%2e%2e%2finstall.py", "/static/"):
            async with session.get(served.url + nothing) as response:
                assert response.status == 404


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True), ("GZIP;q=0.5, br", True), ("*", True), ("gzip;q=0", False), ("gzip; q=0.0, *", False),
        ("*;q=0", False), ("br", False), ("gzip;q=x", False), ("", False),
    ],
)  # fmt: skip
async def test_whoever_does_not_take_gzip_gets_none(accepted: str, compressed: bool) -> None:
    world = World(FakeClock(), some_tasks("aurora"), Settings.model_validate({}))
    async with (
        Serving(world) as served,
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(served.url + "/static/x/pulse.css", headers={"Accept-Encoding": accepted}) as response,
    ):
        assert (response.headers.get("Content-Encoding") == "gzip") is compressed


async def test_plotly_is_compressed_once_and_its_own_styles_are_named_by_hash() -> None:
    assets = Assets()
    plotly = await assets.plotly()
    assert plotly is await assets.plotly()
    assert len(plotly.compressed) < len(plotly.body) / 3
    empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    assert empty in await assets.style_hashes()


async def test_the_page_holds_no_inline_script_or_style_and_nothing_from_elsewhere() -> None:
    html, headers = await page(World(FakeClock(), some_tasks("aurora"), Settings.model_validate({})))
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


async def test_what_is_configured_is_escaped() -> None:
    task = Task("evil", '"><script>alert(1)</script>', parse('"<img src=x onerror=alert(1)>"'), ("demo",))
    html, _ = await page(World(FakeClock(), [task], Settings.model_validate({})))
    assert "<script>alert" not in html and "<img" not in html
    assert "&lt;script&gt;alert" in html


async def test_without_tasks_it_says_what_to_do() -> None:
    html, _ = await page(World(FakeClock(), [], Settings.model_validate({})))
    assert "No task is configured" in html


def test_no_module_writes_markup_from_text() -> None:
    """Posts are written by strangers: they may become text of the page, never markup."""
    for path in (WEB / "static").glob("*.js"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source), (
            path
        )
