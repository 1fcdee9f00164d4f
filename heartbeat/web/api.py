"""The JSON API: history, overlaid by the live table."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from heartbeat.corrections.rows import Correction
from heartbeat.errors import CorrectionsUnusable
from heartbeat.records import Pulse
from heartbeat.sinks.history_rollup import DAY_S, HOUR_S, day_of
from heartbeat.sinks.history_rows import By, FiguresRow, Summary
from heartbeat.tasks import Task
from heartbeat.web import shapes
from heartbeat.web.params import Params
from heartbeat.web.problems import answer, problem
from heartbeat.web.sources import WebSources

logger = logging.getLogger(__name__)

WINDOWS_DEFAULT: Final = 120
WINDOWS_MOST: Final = 10_000
AUTO: Final = "auto"
"""As a size: the smallest that makes no more points than a chart can show, and is kept throughout the range."""
POINTS_DEFAULT: Final = 3_000
POINTS_CUT: Final = 750
"""The same by language or source, where a window has a row for each of them."""
POSTS_DEFAULT: Final = 50
POSTS_MOST: Final = 1_000


class Api:
    """The handlers of /api."""

    def __init__(self, sources: WebSources) -> None:
        self._sources = sources
        self._met: set[str] = set()

    async def tasks(self, request: web.Request) -> web.Response:
        """Every task: the configured ones in their order, then the replayed ones by name."""
        Params(request, ())
        infos, spans = await self._known()
        sizes = self._sources.settings.window_sizes_s
        listed = [shapes.task(info, spans.get(name), sizes) for name, info in infos.items()]
        listed += [shapes.task(None, spans[name], sizes) for name in sorted(spans.keys() - infos.keys())]
        return answer({"tasks": listed, "now": self._now()})

    async def windows(self, request: web.Request) -> web.Response:
        """Windows of one task and size that begin in [from, to), oldest first."""
        params = Params(request, ("task", "size", "points", "from", "to", "by"))
        name = await self._task(params)
        sizes = self._sizes()
        size = params.choice("size", [*(str(size) for size in self._preferred(sizes)), AUTO])
        size_s = sizes[0] if size == AUTO else int(size)
        by: By = params.choice("by", ("all", "lang", "source", "model"))  # type: ignore[assignment]
        points = params.whole("points", POINTS_DEFAULT if by == "all" else POINTS_CUT, 1, WINDOWS_MOST)
        from_ms, to_ms = params.time_ms("from"), params.time_ms("to")
        span = None
        if to_ms is None or (from_ms is None and size == AUTO):
            span = (await self._known())[1].get(name)
        if to_ms is None:
            ends = [window.start_ms + 1000 * size_s for window in self._sources.open_windows(name, size_s)]
            to_ms = max([*ends, *([span.to_ms] if span else [])], default=self._sources.clock.now_ms())
            if from_ms is not None:
                to_ms = max(to_ms, from_ms)
        if from_ms is None:
            from_ms = to_ms - 1000 * size_s * WINDOWS_DEFAULT
            if size == AUTO and span:
                from_ms = min(span.from_ms, to_ms)
        if from_ms > to_ms:
            raise problem(web.HTTPBadRequest, "from is after to", "`from` is the earlier one; `to` itself is left out")
        if size == AUTO:
            size_s = next((each for each in sizes if to_ms - from_ms <= 1000 * each * points), sizes[-1])
        if to_ms - from_ms > 1000 * size_s * WINDOWS_MOST:
            count = -(-(to_ms - from_ms) // (1000 * size_s))
            raise problem(
                web.HTTPBadRequest,
                f"that is {count} windows of {size_s} s",
                f"at most {WINDOWS_MOST} can be had at once: take a larger size or a shorter range",
            )
        rows = await self._rows(name, size_s, from_ms, to_ms, by)
        while size == AUTO and (kept_s := max((row.size_s for row in rows), default=size_s)) > size_s:
            size_s = kept_s  # smaller ones are not kept throughout
            rows = await self._rows(name, size_s, from_ms, to_ms, by)
        return answer(
            {
                "task": name,
                "size": size_s,
                "by": by,
                "from": shapes.rfc3339(from_ms),
                "to": shapes.rfc3339(to_ms),
                "unheard": await self._unheard(name, from_ms, to_ms),
                "windows": [shapes.window_row(name, by, row) for row in rows],
            }
        )

    async def _unheard(self, name: str, from_ms: int, to_ms: int) -> list[dict[str, str]]:
        """Of which times the task's feeds have heard nothing; a replay has heard all of its files."""
        feeds = next((task.feeds for task in self._sources.tasks() if task.name == name), ())
        spans = await self._sources.history.unheard(feeds, from_ms, to_ms) if feeds else ()
        return [{"from": shapes.rfc3339(first_ms), "to": shapes.rfc3339(last_ms)} for first_ms, last_ms in spans]

    async def _rows(self, name: str, size_s: int, from_ms: int, to_ms: int, by: By) -> list[FiguresRow]:
        """History's rows; a window in the live table replaces what history has of it, unless that is newer.

        The live table is read before and after history, so that a window that is sealed meanwhile is not missed. Days
        of which history keeps larger windows alone are told by these alone.
        """
        live = self._live(name, size_s, from_ms, to_ms)
        kept: dict[int, list[FiguresRow]] = {}
        for row in await self._sources.history.windows(name, size_s, from_ms, to_ms, by):
            kept.setdefault(row.start_ms, []).append(row)
        live |= self._live(name, size_s, from_ms, to_ms)
        coarse = {day_of(start_ms) for start_ms, rows in kept.items() if rows[0].size_s > size_s}
        for start_ms, window in live.items():
            if day_of(start_ms) in coarse:
                continue
            stored = kept.get(start_ms)
            if stored is None or stored[0].revision <= window.revision:
                kept[start_ms] = list(shapes.rows_of(window, by))
        return [row for start_ms in sorted(kept) for row in sorted(kept[start_ms], key=lambda row: row.key)]

    def _live(self, name: str, size_s: int, from_ms: int, to_ms: int) -> dict[int, Pulse]:
        windows = self._sources.open_windows(name, size_s)
        return {window.start_ms: window for window in windows if from_ms <= window.start_ms < to_ms}

    async def posts(self, request: web.Request) -> web.Response:
        """The newest posts of a task, newest first."""
        params = Params(request, ("task", "limit"))
        name = await self._task(params)
        limit = params.whole("limit", POSTS_DEFAULT, 1, POSTS_MOST)
        rows = await self._sources.history.posts(name, limit)
        said = await self._corrections([(row.source, row.id) for row in rows])
        return answer({"task": name, "posts": [shapes.post_row(row, said.get((row.source, row.id))) for row in rows]})

    async def _corrections(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Correction]:
        """What stands of these posts. Without it they are shown all the same."""
        try:
            return await self._sources.corrections.standing(keys) if keys else {}
        except CorrectionsUnusable as error:
            logger.warning("posts are shown without their corrections: %s", error)
            return {}

    async def feeds(self, request: web.Request) -> web.Response:
        """Every feed."""
        Params(request, ())
        now_ms = self._sources.clock.now_ms()
        return answer({"feeds": [shapes.feed(info, now_ms) for info in self._sources.feeds()], "now": self._now()})

    async def health(self, request: web.Request) -> web.Response:
        """The state of every part."""
        Params(request, ())
        return answer({**shapes.health(self._sources), "now": self._now()})

    async def missing(self, request: web.Request) -> web.Response:
        """Whatever else is asked for under /api."""
        raise problem(
            web.HTTPNotFound,
            f"there is nothing at {request.path[:200]!r}",
            "known are: /api/tasks, /api/windows, /api/insights, /api/voice, /api/posts, /api/corrections, /api/feeds, "
            "/api/health",
        )

    def _sizes(self) -> tuple[int, ...]:
        """What can be asked for, ascending: the configured sizes, and hours and days, which history adds up."""
        measured = self._sources.settings.window_sizes_s
        hours = {HOUR_S} if any(HOUR_S % size == 0 for size in measured) else set()
        return tuple(sorted({*measured, *hours, DAY_S}))

    def _now(self) -> str:
        return shapes.rfc3339(self._sources.clock.now_ms())

    async def _known(self) -> tuple[dict[str, Task], dict[str, Summary]]:
        spans = {span.task: span for span in await self._sources.history.tasks()}
        self._met |= spans.keys()
        return {info.name: info for info in self._sources.tasks()}, spans

    async def _task(self, params: Params) -> str:
        """The task that is asked for: configured, or in history, or with windows in the live table."""
        name = params.text("task")
        if name is not None and (name in self._met or any(name == info.name for info in self._sources.tasks())):
            return name
        infos, spans = await self._known()
        known = sorted(infos.keys() | spans.keys())
        if name is None:
            raise problem(web.HTTPBadRequest, "no task is named", "add task=NAME; see known", known=known)
        if name not in known and not self._speaks(name):
            raise problem(web.HTTPNotFound, "there is no such task", "see known", known=known)
        return name

    def _speaks(self, name: str) -> bool:
        """Whether a task that history has not met yet has windows in the live table."""
        sizes = self._sources.settings.window_sizes_s
        return any(True for size_s in sizes for _ in self._sources.open_windows(name, size_s))

    @staticmethod
    def _preferred(sizes: tuple[int, ...]) -> list[int]:
        """Sizes with the default first: a minute where there is one."""
        return sorted(sizes, key=lambda size: (size != 60, size))
