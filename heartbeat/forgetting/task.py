"""Forgets a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from heartbeat.agents.scored import REPLAY
from heartbeat.engine.faults import point
from heartbeat.errors import HeartbeatError
from heartbeat.feeds.cursors import standings
from heartbeat.forgetting.ground import Ground, Step
from heartbeat.records import BEFORE_TIME_MS
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_untold import WHOLE_TASK
from heartbeat.station import Station


async def forget_task(ground: Ground, task: str) -> AsyncIterator[Step]:
    """Forget everything that was counted for a task, and what its replay could not read.

    Raises:
        HeartbeatError: it is configured, or has windows that may still change.
    """
    _check_is_not_configured(ground.station, task)
    await ground.settled()
    _check_is_sealed(ground.station, task)
    owed = await ground.telling.owe([Window(task, WHOLE_TASK, _through_ms(ground.station, task))])
    point("forget.owed")
    try:
        replays = [feed for feed, one in standings(ground.log).items() if feed.startswith(REPLAY) and task in one.tasks]
        if replays:
            ground.history.lose([task])  # else `replay` would say that its files are through, and are to be seen
        rows = 0
        while removed := await ground.history.perform(lambda tables: history_forgetting.remove_task(tables, task)):
            rows += removed
        point("forget.taken")
        yield Step("history", rows, "rows: windows, posts, hours and days")
        corrections = await asyncio.to_thread(_take_back, ground.station, task)
        yield Step("corrections", corrections, "corrections made in this task")
        yield Step("topics", await ground.messages.erase_task(task), "messages, overwritten")
        if replays:  # a replay has its task for itself, so what it could not read is of this task
            letters = await ground.messages.erase_letters_of(replays)
            yield Step("dead letters", letters, "lines of its files that were no posts, overwritten")
        point("forget.erased")
    finally:
        ground.telling.release(owed)
    async for step in ground.end(rows, "rows", owed, "task, deleted"):
        yield step


def _check_is_not_configured(station: Station, task: str) -> None:
    if any(task == known.name for known in station.tasks):
        raise HeartbeatError(
            f"{task} is configured: its windows would come back with the next post; take it out of tasks.yaml and "
            "start the worker anew first"
        )


def _check_is_sealed(station: Station, task: str) -> None:
    if next(station.view.windows(task), None) is not None:
        raise HeartbeatError(
            f"{task} has windows that may still change, and would come back; try again when they are sealed: some "
            "15 minutes after its last post, or when its replay is through"
        )


def _through_ms(station: Station, task: str) -> int:
    """Before when everything of the task is of the one that is forgotten: a later one of its name has other windows."""
    sealed_ms = station.view.progress(task).sealed_through_ms
    return sealed_ms if sealed_ms > BEFORE_TIME_MS else station.clock.now_ms()


def _take_back(station: Station, task: str) -> int:
    corrections = station.corrections
    made = [each for each in corrections.all(every=True) if each.post.task == task]
    return sum(corrections.take_back(each.post.source, each.post.id, each.number)[0] for each in made)
