"""Static files: read once, compressed once, under addresses that name their contents, so that browsers keep them.

Plotly comes out of its pip package. It makes `<style>` elements while it runs; the hashes of exactly those go into the
page's content security policy, so that no other inline style gets in.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from aiohttp import web

from heartbeat.errors import StartError

_STATIC: Final = Path(__file__).resolve().parent / "static"
_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
PLOTLY: Final = "plotly.min.js"
_STYLE_MADE: Final = re.compile(rb"createElement\(.style.\).{0,300}?textContent=(['\"`])(.*?)(?<!\\)\1", re.DOTALL)
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    body: bytes
    kind: str

    @cached_property
    def digest(self) -> str:
        """Names the contents."""
        return hashlib.sha256(self.body).hexdigest()[:16]

    @cached_property
    def compressed(self) -> bytes:
        """The body, gzipped."""
        return gzip.compress(self.body, 6, mtime=0)


class Assets:
    """The files of the page. `version` names all of them together."""

    def __init__(self) -> None:
        self._files = {
            path.name: Asset(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(_STATIC.iterdir())
            if path.suffix in _TYPES
        }
        everything = "".join(f"{name} {asset.digest}\n" for name, asset in self._files.items())
        self.version = hashlib.sha256(everything.encode()).hexdigest()[:16]
        self._plotly: asyncio.Future[Asset] | None = None

    def url(self, name: str) -> str:
        """The address of a file. All share one folder, for modules name each other by relative addresses."""
        return f"/static/{self.version}/{name}"

    async def plotly(self) -> Asset:
        """Plotly's bundle, read and compressed at the first call, off the event loop."""
        if self._plotly is None:
            self._plotly = asyncio.ensure_future(asyncio.to_thread(_read_plotly))
        return await asyncio.shield(self._plotly)

    async def plotly_url(self) -> str:
        """Its address; stays the same until Plotly itself changes."""
        return f"/static/{(await self.plotly()).digest}/{PLOTLY}"

    async def style_hashes(self) -> list[str]:
        """Hashes, as a content security policy writes them, of the style elements that Plotly makes."""
        made = [b"", *(found[2] for found in _STYLE_MADE.finditer((await self.plotly()).body))]
        return [f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'" for style in made]

    async def get(self, request: web.Request) -> web.Response:
        """Serve a file. Under an address of another version the present one is given, and not kept."""
        name = request.match_info["name"]
        if name == PLOTLY:
            asset = await self.plotly()
            current = request.match_info["digest"] == asset.digest
        elif name in self._files:
            asset = self._files[name]
            current = request.match_info["digest"] == self.version
        else:
            raise web.HTTPNotFound
        headers = {"Cache-Control": _FOR_EVER if current else "no-store", "Vary": "Accept-Encoding"}
        body = asset.body
        if _takes_gzip(request) and len(body) > 1000 and asset.kind != "image/png":
            body, headers["Content-Encoding"] = asset.compressed, "gzip"
        charset = None if asset.kind.startswith("image/png") else "utf-8"
        return web.Response(body=body, content_type=asset.kind, charset=charset, headers=headers)


def _takes_gzip(request: web.Request) -> bool:
    """Whether the client takes gzip: named, or meant by `*`, and not with a weight of zero."""
    weights: dict[str, float] = {}
    for part in ",".join(request.headers.getall("Accept-Encoding", [])).split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


@cache
def _read_plotly() -> Asset:
    """Read and compress it, once in a process. Raises StartError where the package does not hold what it should."""
    found = importlib.util.find_spec("plotly")
    for place in found.submodule_search_locations or () if found else ():
        path = Path(place) / "package_data" / PLOTLY
        if path.is_file():
            asset = Asset(path.read_bytes(), _TYPES[".js"])
            _ = asset.digest, asset.compressed
            return asset
    raise StartError(f"the plotly package has no {PLOTLY}; install Heartbeat's dependencies again")
