"""`/api/corrections`: what people say of posts' labels and languages. Nowhere else does a request change anything."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from heartbeat.corrections.lines import Label, Moment, Name
from heartbeat.corrections.store import ANY
from heartbeat.errors import CorrectedMeanwhile, CorrectionsUnusable, HistoryError, PostNotThere, TextNotKept
from heartbeat.web import shapes
from heartbeat.web.params import Params
from heartbeat.web.problems import answer, problem
from heartbeat.web.sources import WebSources

logger = logging.getLogger(__name__)

PAGE_DEFAULT: Final = 100
PAGE_MOST: Final = 1_000


class _Asked(BaseModel):
    """The body of a POST: which post, and what it should be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Name
    source: Name
    id: Name
    time: Moment
    label: Label = None
    lang: str | None = None
    seen: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Asked:
        if self.label is None and self.lang is None:
            raise ValueError("neither label nor lang is there: say what is right")
        return self


class CorrectionsApi:
    """The handlers."""

    def __init__(self, sources: WebSources) -> None:
        self._sources = sources

    async def post(self, request: web.Request) -> web.Response:
        """Correct a post, or confirm it."""
        Params(request, ())
        asked = self._asked(await request.read())
        desk, key = self._sources.corrections, (asked.source, asked.id)
        async with _explaining():
            try:
                made = await desk.correct(
                    asked.task,
                    asked.time,
                    *key,
                    label=asked.label,
                    lang=asked.lang,
                    over=ANY if asked.seen is None else asked.seen,
                )
            except CorrectedMeanwhile as error:
                stands = (await desk.standing([key])).get(key)
                told = shapes.verdict(stands) if stands else None
                raise problem(web.HTTPConflict, str(error), "see correction", correction=told) from None
        return answer({"correction": shapes.verdict(made)}, status=201)

    async def delete(self, request: web.Request) -> web.Response:
        """Take a post's corrections back."""
        params = Params(request, ("source", "id", "number"))
        number = params.whole("number", 0, 0, 2**53) or None
        source, post_id = params.text("source"), params.text("id")
        if source is None or post_id is None:
            raise problem(web.HTTPBadRequest, "no post is named", "add source=SOURCE&id=ID")
        async with _explaining():
            removed, stands = await self._sources.corrections.take_back(source, post_id, number)
        told = shapes.verdict(stands) if stands else None
        if not removed:
            raise problem(web.HTTPNotFound, "there is no such correction", "nothing is taken back", correction=told)
        return answer({"removed": removed, "correction": told})

    async def get(self, request: web.Request) -> web.Response:
        """Corrections, a page at a time, in the order in which they were made."""
        params = Params(request, ("after", "limit", "every", "since"))
        after = params.whole("after", 0, 0, 2**53)
        limit = params.whole("limit", PAGE_DEFAULT, 1, PAGE_MOST)
        every = params.choice("every", ("no", "yes")) == "yes"
        async with _explaining():
            rows = await self._sources.corrections.page(after, limit, every=every, since_ms=params.time_ms("since"))
        following = rows[-1].number if len(rows) == limit else None
        return answer({"corrections": [shapes.correction_row(row) for row in rows], "next": following})

    def _asked(self, body: bytes) -> _Asked:
        try:
            item: Any = orjson.loads(body)
            if not isinstance(item, dict):
                raise problem(web.HTTPBadRequest, "the body is no object", "see docs/api.md")
            asked = _Asked.model_validate(item)
        except orjson.JSONDecodeError as error:
            raise problem(web.HTTPBadRequest, "the body is no JSON", str(error)) from None
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            field = f"{first['loc'][0]}: " if first["loc"] else ""
            raise problem(
                web.HTTPBadRequest, field + first["msg"].removeprefix("Value error, "), "see docs/api.md"
            ) from None
        if asked.lang is not None and asked.lang not in (known := list(self._sources.languages())):
            raise problem(
                web.HTTPBadRequest, "lang: is no language of the models", "see known; `und` is any other", known=known
            )
        return asked


@asynccontextmanager
async def _explaining() -> AsyncIterator[None]:
    """What goes wrong, as an answer."""
    try:
        yield
    except PostNotThere as error:
        raise problem(web.HTTPNotFound, str(error), "look at the newest posts") from None
    except TextNotKept as error:
        raise problem(web.HTTPConflict, str(error), "content_hours says how long texts are kept") from None
    except (CorrectionsUnusable, HistoryError) as error:
        logger.warning("a correction cannot be taken or read: %s", error)
        busy = problem(web.HTTPServiceUnavailable, "corrections cannot be kept now", "try again; the log says why")
        busy.headers["Retry-After"] = "2"
        raise busy from None
