"""Binds the engine to Faust, by subclassing alone.

Faust gives the worker command (`faust_worker`), web server (`faust_web`), timers and plain agents; it subscribes,
assigns and says when recovery is over. Where the engine hangs on it:

- `HeartbeatApp.on_first_start` opens the log: nothing on disk is touched by importing an app.
- `Tables.on_rebalance` (in `faust_lists`) recovers the engine's tables, before Faust's own recovery begins.
- `HeartbeatApp.on_rebalance_end`, the last call after recovery, starts the pipelines. (`resume_flow` also comes during
  recovery, and `recovery.completed` is never cleared.)
- `Consumer.stop_flow` and `wait_empty` (in `transport_consumer`) pause and drain them; Faust calls both when
  partitions go and when the app stops, in that order.

Stopping: first the services (feeds and the like), then the pipelines, then Faust's own parts, at last the log. A
handler may go on for 3 seconds.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import faust
from mode import Service

from heartbeat.clock import Clock, SystemClock
from heartbeat.codec import Codec
from heartbeat.engine.agent import AgentSpec, Handler
from heartbeat.engine.faust_lists import ListedAgent, ListedTable, Tables
from heartbeat.engine.faust_services import Services
from heartbeat.engine.faust_web import Web
from heartbeat.engine.faust_worker import Worker
from heartbeat.engine.log import TP, Log
from heartbeat.engine.observer import Observer, Unobserved
from heartbeat.engine.runner import GRACE_S, Context, Engine
from heartbeat.engine.tables import DiskTable, MemoryTable, TableCodec
from heartbeat.engine.transport import URL
from heartbeat.errors import StartError
from heartbeat.health import HealthBoard
from heartbeat.topics import ALL, Topic

K = TypeVar("K")
V = TypeVar("V")

DEFAULT_WEB_PORT: Final = 6066


class HeartbeatApp(faust.App):
    """A Faust app with batch agents.

    Args:
        id: the prefix of consumer groups.
        open_log: opens the log; called once, when the worker starts.
        clock: for ticks and health.
        board: where the agents report how they are.
        partitions: of topics that are made.
        topics: declared besides the agents' inputs.
        observer: told of each unit of work.
        web_host: the address to bind to.
        web_port: the port to bind to; 0 for any that is free (see `bound_port`).
        check_address: raises if the pages may not be served on an address; called before anything is opened.
        options: Faust's own.

    Attributes:
        ready: whether recovery is over and the agents work.
        fatal: the error that stopped the app, if one did.
        bound_port: the port that pages are served on, once they are.
    """

    def __init__(
        self,
        id: str,
        *,
        open_log: Callable[[], Log],
        clock: Clock | None = None,
        board: HealthBoard | None = None,
        partitions: int = 4,
        topics: Iterable[Topic] = ALL,
        observer: Observer | None = None,
        web_host: str = "127.0.0.1",
        web_port: int = 6066,
        check_address: Callable[[str], None] = lambda host: None,
        **options: Any,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.board = board or HealthBoard(self.clock)
        self._observer, self._check_address = observer or Unobserved(), check_address
        self.ready = False
        self.fatal: BaseException | None = None
        self.bound_port: int | None = None
        self.any_port = web_port == 0  # which Faust's settings refuse
        self.record_log_or_none: Log | None = None
        self._engine: Engine | None = None
        self._open_log, self._partitions, self._declared = open_log, partitions, list(topics)
        self._specs: list[AgentSpec] = []
        self._services = Services()
        self._on_recovered: list[Callable[[], None]] = []
        self._on_closed: list[Callable[[], Awaitable[None]]] = []
        self._stop_by = 0.0
        self._crashing: asyncio.Future[None] | None = None
        defaults: dict[str, Any] = {
            "broker": URL,
            "topic_partitions": partitions,
            "web_bind": web_host,
            "web_host": web_host,
            "web_port": web_port or DEFAULT_WEB_PORT,
            "web_tables_enabled": False,
            "web_router_enabled": False,
            "TableManager": Tables,
            "Worker": Worker,
            "autodiscover": False,
        }
        merged = {**defaults, **options}
        if merged["broker"] == "sqlite:":
            merged["broker"] = URL
        super().__init__(id, **merged)

    # -- what an app is made of -----------------------------------------------------------------------------------

    def add_agent(self, spec: AgentSpec, *, help: str = "") -> AgentSpec:
        """Add a batch agent; its tables are listed too.

        Raises:
            ValueError: there is an agent of that name.
        """
        if spec.name in self.agents:
            raise ValueError(f"there is an agent {spec.name!r} already")
        self._specs.append(spec)
        described = help or _first_line(spec.handler)
        self.agents[spec.name] = ListedAgent(spec, described)
        for table in spec.tables:
            self.tables.listed[table.name] = ListedTable(table.name, table.help)
        return spec

    def batch_agent(self, topic: Topic, *, name: str | None = None, **options: Any) -> Callable[[Handler], AgentSpec]:
        """Make a batch agent of a function; `options` are fields of `AgentSpec`."""

        def decorate(handler: Handler) -> AgentSpec:
            agent = name or str(getattr(handler, "__name__", type(handler).__name__))
            return self.add_agent(AgentSpec(agent, topic, handler, **options))

        return decorate

    def table(self, name: str, codec: TableCodec[K, V], *, help: str = "") -> MemoryTable[K, V]:
        """A table in memory with a changelog; give it to its agent as one of `tables`."""
        self.tables.listed[name] = ListedTable(name, help)
        return MemoryTable(name, codec, help=help)

    def disk_table(self, name: str, codec: TableCodec[K, V], *, help: str = "") -> DiskTable[K, V]:
        """A table on disk; give it to its agent as one of `tables`."""
        self.tables.listed[name] = ListedTable(name, help)
        return DiskTable(name, codec, help=help)

    def add_service(self, service: Service | Callable[[], Service]) -> None:
        """Add a service, or what makes one: started in order after recovery, stopped before the agents are."""
        self._services.add(service)

    def on_recovered(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have this called whenever tables are recovered and the agents begin to work."""
        self._on_recovered.append(callback)
        return callback

    def on_closed(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have this awaited at the very end, when the log is closed, or could not be opened."""
        self._on_closed.append(callback)

    # -- what others ask of a running app -------------------------------------------------------------------------

    @property
    def record_log(self) -> Log:
        """The open log.

        Raises:
            StartError: the worker has not started.
        """
        if self.record_log_or_none is None:
            raise StartError("the log is not open: the worker has not started")
        return self.record_log_or_none

    @property
    def engine(self) -> Engine:
        """The agents, their counters and lags.

        Raises:
            StartError: the worker has not started.
        """
        if self._engine is None:
            raise StartError("the agents are not there yet: the worker has not started")
        return self._engine

    @property
    def address(self) -> str | None:
        """Where the pages are served, as a URL; None while they are not."""
        host = f"[{self.conf.web_bind}]" if ":" in self.conf.web_bind else self.conf.web_bind
        return None if self.bound_port is None else f"http://{host}:{self.bound_port}/"

    # -- life -----------------------------------------------------------------------------------------------------

    async def on_first_start(self) -> None:
        """Open the log and prepare the agents, before anything of Faust's starts."""
        await super().on_first_start()
        try:
            self._check_address(self.conf.web_bind)
            log = self.record_log_or_none = self._open_log()
            context = Context(
                log=log,
                codec=Codec(log),
                clock=self.clock,
                board=self.board,
                app_id=self.conf.id,
                observer=self._observer,
            )
            self._engine = Engine(self._specs, context)
            self._engine.prepare(self._partitions, self._declared)
        except BaseException as error:
            self.fatal = error
            raise

    async def on_started_init_extra_services(self) -> None:
        """Start the services."""
        await self._services.start(self)
        await super().on_started_init_extra_services()

    async def load_tables(self, assigned: Iterable[Any]) -> None:
        """Recover the tables of the assigned partitions, once the pipelines rest."""
        await self.drain_agents()
        await self.engine.load({TP(*tp) for tp in assigned})

    def on_rebalance_end(self) -> None:
        """Recovery is over, the partitions are ours: work."""
        super().on_rebalance_end()
        self.engine.start({TP(*tp) for tp in self.consumer.assignment()}, self._on_crash)
        self.ready = True
        for callback in self._on_recovered:
            callback()

    def pause_agents(self) -> None:
        """Let the pipelines begin to stop."""
        self.ready = False
        if self._engine is not None:
            self._engine.pause()

    async def drain_agents(self) -> None:
        """Wait for the pipelines to stop."""
        if self._engine is not None:
            self._engine.pause()
            left = max(self._stop_by - time.monotonic(), 0.5) if self._stop_by else GRACE_S
            await self._engine.drain(left)

    def _on_crash(self, error: BaseException) -> None:
        """A pipeline cannot go on: end the worker, all of it."""
        self.ready = False
        if self.fatal is None:
            self.fatal = error
            self._crashing = asyncio.ensure_future(self.crash(error))

    async def on_stop(self) -> None:
        """Stop the services, then the pipelines, then Faust's own parts."""
        self.ready = False
        self._stop_by = time.monotonic() + GRACE_S
        await self._services.stop()
        self.pause_agents()
        await super().on_stop()
        await self.drain_agents()

    async def on_shutdown(self) -> None:
        """Close the log, last of all."""
        close = getattr(self.record_log_or_none, "close", None)
        if close is not None:
            result = close()
            if isinstance(result, Awaitable):
                await result
        for callback in self._on_closed:
            await callback()

    def _create_directories(self) -> None:
        """Faust's own folders are not needed: nothing is kept outside the log."""

    def _new_web(self) -> Web:
        return Web(self)


def _first_line(handler: object) -> str:
    doc = inspect.getdoc(handler) if inspect.isfunction(handler) else inspect.getdoc(type(handler))
    return doc.splitlines()[0] if doc else ""
