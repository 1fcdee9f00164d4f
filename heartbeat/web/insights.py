"""The JSON API: figures that analysts ask for. docs/figures.md defines them, docs/api.md describes each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from heartbeat.insights.company import company_of
from heartbeat.insights.insight import Insight, Judge, Past, spans_of
from heartbeat.insights.voice import Said, by_window, voices
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Pulse
from heartbeat.tasks import feeds_by_task
from heartbeat.web import insight_shapes as shapes
from heartbeat.web.api import WINDOWS_DEFAULT, WINDOWS_MOST, Api
from heartbeat.web.params import Params
from heartbeat.web.problems import answer, problem
from heartbeat.web.shapes import rfc3339

VOICES_MOST: Final = 100_000
"""Windows times tasks of one answer."""
LIVE_WINDOWS: Final = 4
"""How many windows at the end of a range are looked up in the live table; of those before history knows all."""


class InsightsApi(Api):
    """The handlers of /api, with those of insights."""

    async def insights(self, request: web.Request) -> web.Response:
        """One window of one task, and how it stands to others: the newest closed one, or the one that holds `at`."""
        params = Params(request, ("task", "size", "at"))
        name = await self._task(params)
        size_s = self._size(params)
        at_ms = params.time_ms("at")
        closed_ms = self._closed_ms(name)
        start_ms = None if at_ms is None else at_ms - at_ms % (1000 * size_s)
        if start_ms is None:
            start_ms = await self._newest(name, size_s, closed_ms)
        insight = None if start_ms is None else await self._insight(name, size_s, start_ms, closed_ms)
        return answer(
            {
                "task": name,
                "size": size_s,
                "insight": insight and shapes.insight(insight),
                "now": self._now(),
            }
        )

    async def voice(self, request: web.Request) -> web.Response:
        """The shares of tasks in the posts of all of them, in each window that begins in [from, to) and in all."""
        params = Params(request, ("task", "size", "from", "to"), repeated=("task",))
        tasks = await self._chosen(params)
        size_s = self._size(params)
        from_ms, to_ms = params.time_ms("from"), params.time_ms("to")
        if to_ms is None:
            to_ms = self._sources.clock.now_ms() if from_ms is None else max(from_ms, self._sources.clock.now_ms())
        if from_ms is None:
            from_ms = to_ms - 1000 * size_s * WINDOWS_DEFAULT
        if from_ms > to_ms:
            raise problem(web.HTTPBadRequest, "from is after to", "`from` is the earlier one; `to` itself is left out")
        count = -(-(to_ms - from_ms) // (1000 * size_s))
        most = min(WINDOWS_MOST, VOICES_MOST // max(len(tasks), 1))
        if count > most:
            raise problem(
                web.HTTPBadRequest,
                f"that is {count} windows of {size_s} s for {len(tasks)} tasks",
                f"at most {most} can be had at once: take a larger size, a shorter range, or fewer tasks",
            )
        said = await self._said(tasks, size_s, from_ms, to_ms)
        return answer(
            {
                "size": size_s,
                "from": rfc3339(from_ms),
                "to": rfc3339(to_ms),
                "tasks": tasks,
                **shapes.voices(voices(tasks, said)),
                "windows": [
                    {"window_start": rfc3339(start_ms), **shapes.voices(each)}
                    for start_ms, each in by_window(tasks, said).items()
                ],
            }
        )

    # -- what is asked for ----------------------------------------------------------------------------------------

    def _size(self, params: Params) -> int:
        """One of the configured sizes; the largest by default, for figures of few posts say little."""
        return int(params.choice("size", [str(size) for size in sorted(self._sources.settings.window_sizes_s)[::-1]]))

    async def _chosen(self, params: Params) -> list[str]:
        """The tasks that are asked for, each once; the configured ones by default."""
        configured = [task.name for task in self._sources.tasks()]
        chosen = list(dict.fromkeys(filter(None, params.texts("task"))))
        if unknown := [name for name in chosen if name not in configured]:
            spans = (await self._known())[1]
            if any(name not in spans for name in unknown):
                known = sorted({*configured, *spans})
                raise problem(web.HTTPNotFound, "there is no such task", "see known", known=known)
        return chosen or configured

    def _closed_ms(self, name: str) -> int | None:
        """Up to where the task's windows are closed; None if only its windows can tell."""
        watermark_ms = self._sources.watermark_ms(name)
        return watermark_ms if BEFORE_TIME_MS < watermark_ms < END_OF_TIME_MS else None

    async def _newest(self, name: str, size_s: int, closed_ms: int | None) -> int | None:
        """The start of the newest closed window, which may be one without posts."""
        if closed_ms is None:
            return await self._sources.history.newest([name], size_s)
        size_ms = 1000 * size_s
        start_ms = closed_ms - closed_ms % size_ms - size_ms
        live = self._sources.live_window(name, size_s, start_ms)
        # A task's windows close one after the other: the watermark may have passed one that has not been told yet.
        return start_ms if live is None or live.final else start_ms - size_ms

    # -- figures --------------------------------------------------------------------------------------------------

    async def _insight(self, name: str, size_s: int, start_ms: int, closed_ms: int | None) -> Insight | None:
        """The figures of a window; None where nothing is stored of it and nobody may have listened."""
        company = company_of(name, feeds_by_task(self._sources.tasks()))
        past = await self._sources.history.past(name, size_s, company, spans_of(size_s, start_ms))
        past = self._overlaid(name, past)
        if company.voices is not None:
            past = await self._with_voices(past, company.voices, start_ms)
        judge = Judge(past, closed_ms)
        if start_ms in past.windows:
            return judge.insight(start_ms, final=start_ms not in past.unfinished)
        return judge.insight(start_ms, final=True) if judge.knows(start_ms) else None

    def _overlaid(self, name: str, past: Past) -> Past:
        """The task's windows as they stand in the live table, where they do."""
        windows, heard, unfinished = dict(past.windows), dict(past.heard), set(past.unfinished)
        since_ms = past.since_ms
        for live in self._sources.open_windows(name, past.size_s):
            before = windows.get(live.start_ms)
            windows[live.start_ms] = live.overall
            heard[live.start_ms] = (
                heard.get(live.start_ms, 0) + _total(live) - (before.scored + before.unscored if before else 0)
            )
            (unfinished.discard if live.final else unfinished.add)(live.start_ms)
            since_ms = live.start_ms if since_ms is None else min(since_ms, live.start_ms)
        return replace(past, windows=windows, heard=heard, unfinished=unfinished, since_ms=since_ms)

    async def _with_voices(self, past: Past, tasks: Sequence[str], start_ms: int) -> Past:
        """With the posts of all tasks in the window and the one before as they stand now: both may not be sealed."""
        size_ms = 1000 * past.size_s
        together = dict(past.voices or {})
        said = await self._said(tasks, past.size_s, start_ms - size_ms, start_ms + size_ms)
        for at_ms in (start_ms - size_ms, start_ms):
            together[at_ms] = sum(each.total for each in said if each.start_ms == at_ms)
        return replace(past, voices=together)

    async def _said(self, tasks: Sequence[str], size_s: int, from_ms: int, to_ms: int) -> list[Said]:
        """History's posts, overlaid by the live table's, which is read before and after as `_rows` does."""
        size_ms = 1000 * size_s
        starts = range(-(-from_ms // size_ms) * size_ms, to_ms, size_ms)[-LIVE_WINDOWS:]
        live = self._said_live(tasks, size_s, starts)
        kept = {
            (each.task, each.start_ms): each for each in await self._sources.history.said(tasks, size_s, from_ms, to_ms)
        }
        return list({**kept, **live, **self._said_live(tasks, size_s, starts)}.values())

    def _said_live(self, tasks: Sequence[str], size_s: int, starts: range) -> dict[tuple[str, int], Said]:
        found = ((name, self._sources.live_window(name, size_s, start_ms)) for name in tasks for start_ms in starts)
        return {
            (name, live.start_ms): Said(name, live.start_ms, _total(live), live.final)
            for name, live in found
            if live is not None
        }


def _total(window: Pulse) -> int:
    return window.overall.scored + window.overall.unscored
