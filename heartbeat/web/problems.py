"""Errors as the API answers them: JSON with a reason and a hint, for every status."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

logger = logging.getLogger(__name__)

TIME_LIMIT_S: Final = 15.0
"""How long a request may take; the stream of events has none."""
_FOR_MACHINES: Final = ("/api", "/events", "/metrics", "/live", "/ready")


def answer(data: Any, *, status: int = 200) -> web.Response:
    """A JSON response that nobody caches."""
    return web.Response(
        body=orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def body(reason: str, hint: str = "", **more: Any) -> bytes:
    """The JSON text of an error."""
    return orjson.dumps({"error": {"reason": reason, "hint": hint, **more}})


def problem(kind: type[web.HTTPException], reason: str, hint: str = "", **more: Any) -> web.HTTPException:
    """An error to raise: `kind` gives the status, `more` goes beside reason and hint."""
    return kind(text=body(reason, hint, **more).decode(), content_type="application/json")


class NoRubbish(logging.Filter):
    """Lets go of what aiohttp logs as an error when something arrives that is no HTTP: that is the sender's trouble.

    It is answered (400, in plain text, since there is no request yet) and logged for whoever looks for it: at DEBUG.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be logged."""
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno < logging.ERROR or not isinstance(error, HttpProcessingError):
            return True
        logger.debug("what is no HTTP was refused: %s", str(error.message).splitlines()[:1])
        return False


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what aiohttp raises, and what nobody foresaw, into answers of one form."""
    try:
        if request.path == "/events":
            return await handler(request)
        async with asyncio.timeout(TIME_LIMIT_S):
            return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        possible = sorted(error.allowed_methods)
        hint = f"only {', '.join(possible[:-1])} and {possible[-1]} are" if len(possible) > 1 else ""
        return _formed(request, error, f"{request.method} is not possible here", hint)
    except web.HTTPNotFound as error:
        return _formed(request, error, f"there is nothing at {request.path[:200]!r}", "see docs/api.md; the page is /")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _formed(request, error, error.reason, "")
    except TimeoutError:
        logger.warning("%s took longer than %g s", request.path, TIME_LIMIT_S)
        late = web.HTTPServiceUnavailable()
        return _formed(request, late, f"it took longer than {TIME_LIMIT_S:g} s", "ask for less, or again later")
    except Exception:
        logger.exception("%s failed", request.path)
        return _formed(request, web.HTTPInternalServerError(), "something went wrong here", "the log says what")


def _formed(request: web.Request, error: web.HTTPException, reason: str, hint: str) -> web.Response:
    """The error as JSON, unless it is already; people get plain text."""
    headers = {"Cache-Control": "no-store"}
    headers.update(
        {name: error.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in error.headers}
    )
    if error.content_type == "application/json" and isinstance(error.body, bytes):
        return web.Response(
            body=error.body, status=error.status, content_type="application/json", charset="utf-8", headers=headers
        )
    if request.path.startswith(_FOR_MACHINES):
        return web.Response(
            body=body(reason, hint),
            status=error.status,
            content_type="application/json",
            charset="utf-8",
            headers=headers,
        )
    return web.Response(text=f"{error.status}: {reason}\n{hint}\n", status=error.status, headers=headers)
