"""Builds Heartbeat: what `faust -A heartbeat.app worker` loads. Read this and you can draw it.

    feeds ─► ingest ─► language ─► sentiment ─► pulse ─┬► history ─► pages, exports
             Post      Detected    Scored       Pulse  └► influx ─► InfluxDB, where one is configured
             by id     by id       by task      by task

Nothing runs here, and nothing on disk is touched but the configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from heartbeat import settings as _settings
from heartbeat import tasks as _tasks
from heartbeat.agents.language import LanguageAgent
from heartbeat.agents.pulse import PulseAgent
from heartbeat.agents.pulse_part import PulseTables
from heartbeat.agents.pulse_view import PulseView
from heartbeat.agents.scored import scored_table
from heartbeat.agents.sentiment import SentimentAgent
from heartbeat.clock import SystemClock
from heartbeat.engine.faust import HeartbeatApp
from heartbeat.feeds.base import Feed
from heartbeat.health import HealthBoard
from heartbeat.metrics import Metrics
from heartbeat.models.configured import ConfiguredModels
from heartbeat.models.overload import Overload
from heartbeat.services import (
    ControlService,
    DelayService,
    FeedsService,
    InfluxService,
    ModelsService,
    TellingService,
    UpkeepService,
)
from heartbeat.settings import Settings
from heartbeat.station import Station
from heartbeat.topics import GROUPS
from heartbeat.views import Views
from heartbeat.web.access import check_address
from heartbeat.web.hub import Hub
from heartbeat.web.install import install
from heartbeat.windows.ids import Layout
from heartbeat.worklog import quiet

logger = logging.getLogger(__name__)


def station(settings: Settings, metrics: Metrics | None = None) -> Station:
    """The agents and what they work on, over one data directory; run by a worker or by `heartbeat replay` alone."""
    clock = SystemClock()
    board = HealthBoard(clock)
    tasks = _tasks.load(settings.config_dir)
    models = ConfiguredModels(settings, inferred=metrics.inferred if metrics else None)
    scored, windows = scored_table(), PulseTables.in_memory()
    overload = Overload(
        clock,
        board,
        most_posts=settings.overload_posts,
        longest_s=settings.overload_age_s,
        model=settings.sentiment_fast_model,
    )

    language = LanguageAgent(models, hint_below=settings.hint_below)
    sentiment = SentimentAgent(
        models,
        scored,
        partitions=settings.partitions,
        languages={task.name: task.languages for task in tasks},
        horizon_ms=settings.remembered_ms,
        overload=overload,
    )
    pulse = PulseAgent(
        windows,
        clock,
        partitions=settings.partitions,
        layout=Layout(settings.window_sizes_s),
        publish_ms=round(settings.publish_s * 1000),
        lateness_ms=settings.allowed_lateness_s * 1000,
        longest_wait_ms=settings.longest_wait_s * 1000,
    )
    return Station(
        settings=settings,
        clock=clock,
        board=board,
        tasks=tasks,
        models=models,
        view=PulseView(pulse, settings.partitions),
        stream_agents=[agent.spec(max_messages=settings.batch_posts) for agent in (language, sentiment, pulse)],
        windows_changelog=f"{windows.windows.name}-changelog",
        overload=overload,
    )


def build(settings: Settings, live: Sequence[Feed] | None = None) -> HeartbeatApp:
    """The app of a worker: the agents, the feeds (those that tasks name, unless others are given), the pages."""
    metrics, hub = Metrics(), Hub()
    parts = station(settings, metrics)
    app = HeartbeatApp(
        GROUPS,
        open_log=parts.open,
        clock=parts.clock,
        board=parts.board,
        partitions=settings.partitions,
        topics=parts.topics(),
        observer=metrics,
        web_host=settings.web_host,
        web_port=settings.web_port,
        check_address=partial(check_address, token=settings.web_token),
        datadir=settings.data_dir / "faust",
        logging_config=quiet(settings.log_level, settings.log_format),
    )
    for agent in parts.agents:
        app.add_agent(agent)
    feeds, models = FeedsService(app, parts, live), ModelsService(parts)
    app.add_service(UpkeepService(app, parts))
    app.add_service(TellingService(parts))
    app.add_service(DelayService(metrics.woke_up))
    app.add_service(models)
    app.add_service(feeds)
    app.add_service(InfluxService(app, parts, feeds))
    app.add_service(ControlService(app, parts, feeds, models))
    views = Views(app, parts, feeds, metrics)
    metrics.add(views.readings(hub))
    app.on_closed(views.close)
    app.on_closed(parts.close)
    app.on_recovered(lambda: parts.watch(app.engine))
    app.on_recovered(lambda: logger.info("ready: the page is at %s", app.address or "no address"))
    install(app.web.web_app, views, hub)
    return app


app = build(_settings.load())
