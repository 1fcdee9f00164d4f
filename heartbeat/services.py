"""What runs beside the agents of a worker: the feeds, the upkeep of the files, the control socket."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from mode import Service

from heartbeat.control import ControlServer
from heartbeat.engine.faust import HeartbeatApp
from heartbeat.engine.runner import Engine
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.erasing import Erasing
from heartbeat.errors import LogError
from heartbeat.feeds import demo
from heartbeat.feeds.base import Feed
from heartbeat.feeds.status import FeedInfo
from heartbeat.feeds.supervisor import Feeds
from heartbeat.forgetting import steps
from heartbeat.health import State
from heartbeat.log_calls import LOG_CALLS, LogCall
from heartbeat.metrics.event_loop import watch_delay
from heartbeat.models.swap import SWAPPED, ModelSwap, Outcome
from heartbeat.models.trial import Sample
from heartbeat.pipeline_points import EVERY_S, PipelinePoints
from heartbeat.replays import Replay
from heartbeat.room import Room
from heartbeat.station import Station

_FORGET_EVERY_S: Final = 30.0
_LOOK_AFTER_S: Final = 1.0
_LOOK_EVERY_S: Final = 2.0

_quiet = logging.getLogger("mode.heartbeat")
"""Says that services start and stop; the parts that they run tell what matters."""


def feeds_over(station: Station, log: SqliteLog, engine: Engine) -> Feeds:
    """The feeds of a station, none of them started."""
    room = Room(station.settings, station.board, log, engine)
    return Feeds(
        station.tasks,
        log=log,
        codec=engine.context.codec,
        clock=station.clock,
        health=station.board,
        settings=station.settings,
        lag=room.lag,
        paused_reason=room.paused_reason,
    )


async def upkeep(station: Station, log: SqliteLog, engine: Engine) -> None:
    """Look after the files until cancelled.

    Every second: how the disk and the history are. Every half a minute, and more often near a cap: let the log forget
    what is old enough, or has to make room, and has been read by everybody.
    """
    retention, room = station.retention(log), Room(station.settings, station.board, log, engine)
    timer = asyncio.get_running_loop().time
    forgot_at, every_s = -math.inf, min(_FORGET_EVERY_S, station.settings.content_hours * 3600 / 20)
    while True:
        try:
            room.look()
            station.history_start.look()
            if timer() - forgot_at >= every_s or room.is_near_cap():
                forgot_at = timer()
                await retention.run_once()
                station.board.report("log", State.OK)
        except LogError as error:
            station.board.report("log", State.WAITING, str(error), "it is tried again by itself")
        await asyncio.sleep(_LOOK_AFTER_S)


@asynccontextmanager
async def running(
    station: Station, crash: Callable[[BaseException], None]
) -> AsyncIterator[tuple[SqliteLog, Engine, Feeds]]:
    """A station at work without Faust: its agents and upkeep, no feed started; stopped and closed at the end.

    Args:
        station: not open yet.
        crash: told of an error of the engine that nobody can mend.

    Raises:
        HeartbeatError: the station cannot be opened.
    """
    log = station.open()
    try:
        engine = station.engine(log)
        station.watch(engine)
        await engine.load(engine.everything())
        feeds = feeds_over(station, log, engine)
        engine.start(engine.everything(), crash)
        beside = [asyncio.ensure_future(upkeep(station, log, engine)), asyncio.ensure_future(station.telling.run())]
        try:
            yield log, engine, feeds
        finally:
            for task in beside:
                task.cancel()
            await feeds.stop()
            engine.pause()
            await engine.drain()
    finally:
        log.close()
        await station.close()


class FeedsService(Service):
    """Starts the configured feeds (or those given) once the agents work, and stops them first."""

    logger = _quiet

    def __init__(self, app: HeartbeatApp, station: Station, live: Sequence[Feed] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app, self.station, self._live = app, station, live
        self.feeds: Feeds | None = None

    async def on_start(self) -> None:
        """Start the live feeds."""
        self.feeds = feeds_over(self.station, _log(self.app), self.app.engine)
        await self.feeds.start(self._live)

    async def on_stop(self) -> None:
        """Stop every feed after the write that is under way."""
        if self.feeds is not None:
            await self.feeds.stop()

    def infos(self) -> list[FeedInfo]:
        """How each feed is doing."""
        return [] if self.feeds is None else self.feeds.infos()


class UpkeepService(Service):
    """Runs `upkeep`, and erases what was deleted where it comes from."""

    logger = _quiet

    def __init__(self, app: HeartbeatApp, station: Station, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app, self.station = app, station

    @Service.task
    async def _upkeep(self) -> None:
        await upkeep(self.station, _log(self.app), self.app.engine)

    @Service.task
    async def _erase(self) -> None:
        await Erasing(self.station, _log(self.app)).run()


class TellingService(Service):
    """Tells what keeps figures elsewhere of what was forgotten, in this life of the worker or an earlier one."""

    logger = _quiet

    def __init__(self, station: Station, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._station = station

    @Service.task
    async def _tell(self) -> None:
        await self._station.telling.run()


class DelayService(Service):
    """Tells how late the event loop is."""

    logger = _quiet

    def __init__(self, told: Callable[[float], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._told = told

    @Service.task
    async def _watch(self) -> None:
        await watch_delay(self._told)


class InfluxService(Service):
    """Writes the pipeline's own health to InfluxDB, where one is configured."""

    logger = _quiet

    def __init__(self, app: HeartbeatApp, station: Station, feeds: FeedsService, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app, self.station, self.feeds = app, station, feeds

    @Service.task
    async def _measure(self) -> None:
        if self.station.influx is None:
            return
        points = PipelinePoints(self.station.influx, self.station.clock, self.station.board)
        while True:
            await asyncio.sleep(EVERY_S)
            await points.write(self.app.engine.agents, self.feeds.infos(), _log(self.app))


class ModelsService(Service):
    """Has the models follow the settings' file while the worker runs."""

    logger = _quiet

    def __init__(self, station: Station, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        samples = [Sample(line.content, line.lang) for line in demo.script()]
        self.swap = ModelSwap(station.models, station.board, samples=samples, took_over=station.models_changed)
        self._following: asyncio.Task[Outcome] | None = None

    @Service.task
    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.swap.look()

    async def follow(self) -> Outcome:
        """Follow the settings now; who asks may hang up without stopping it."""
        self._following = asyncio.ensure_future(self.swap.follow())
        return await asyncio.shield(self._following)

    async def on_stop(self) -> None:
        """Give up what has not taken over yet."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)


class ControlService(Service):
    """Answers commands that reach the worker through its socket."""

    logger = _quiet

    def __init__(
        self, app: HeartbeatApp, station: Station, feeds: FeedsService, models: ModelsService, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.app, self.station, self.feeds, self.models = app, station, feeds, models
        calls = {"replay": self._replay, "models use": self._use_models, "forget": self._forget, "feeds": self._feeds}
        calls |= {name: partial(self._ask_log, call) for name, call in LOG_CALLS.items()}
        self.server = ControlServer(station.settings.data_dir, calls)

    async def on_start(self) -> None:
        """Listen."""
        await self.server.start()

    async def on_stop(self) -> None:
        """Hang up."""
        await self.server.stop()

    async def _replay(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        assert self.feeds.feeds is not None
        replay = await Replay.prepare(
            self.station,
            _log(self.app),
            self.feeds.feeds,
            [Path(file) for file in request["files"]],
            task=str(request["task"]),
            speed=request["speed"],
            fast=bool(request["fast"]),
        )
        async for progress in replay.run():
            yield asdict(progress)

    async def _forget(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        posts = [(str(source), str(post_id)) for source, post_id in request["posts"]]
        log, author, task = _log(self.app), request["author"], request["task"]
        async for step in steps(self.station, log, posts=posts, author=author, task=task):
            yield asdict(step)

    async def _ask_log(self, call: LogCall, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        async for part in call(_log(self.app), self.station.clock, request):
            yield part

    async def _feeds(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """How each feed is doing."""
        yield {"feeds": [asdict(info) for info in self.feeds.infos()], "done": True}

    async def _use_models(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """Read the settings again; says what came of it, from which file, and what is followed now."""
        outcome = await self.models.follow()
        followed = self.station.models.settings
        yield {
            **asdict(outcome),
            "file": str(self.models.swap.file),
            "settings": followed.model_dump(mode="json", include=set(SWAPPED)),
            "models": sorted(model.reference for model in self.station.models.chosen.models.values()),
            "done": True,
        }


def _log(app: HeartbeatApp) -> SqliteLog:
    log = app.record_log
    assert isinstance(log, SqliteLog)
    return log
