"""Faust's lists of agents and tables, with ours in them: what `faust agents` and `faust tables` show."""

from __future__ import annotations

from typing import Any

from faust.tables.manager import TableManager
from mode import Service

from heartbeat.engine.agent import AgentSpec


class ListedAgent(Service):
    """A batch agent as Faust's list of agents shows it; the work is done by pipelines."""

    def __init__(self, spec: AgentSpec, help: str) -> None:
        super().__init__()
        self.spec, self.name, self.help = spec, spec.name, help
        self.channel = self

    def get_topic_name(self) -> str:
        """Asked by `faust agents`."""
        return self.spec.topic.name

    def get_topic_names(self) -> list[str]:
        """Asked when partitions are assigned."""
        return []

    def cancel(self) -> None:
        """Pipelines are stopped by the app."""

    def actor_tracebacks(self) -> list[str]:
        """Nothing runs here."""
        return []


class ListedTable:
    """A table of ours as Faust's list of tables shows it; it recovers by itself."""

    def __init__(self, name: str, help: str) -> None:
        self.name, self.help = name, help


class Tables(TableManager):
    """Faust's tables, and a list of ours."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.listed: dict[str, ListedTable] = {}

    def values(self) -> Any:
        """Faust's own tables; before the worker runs (that is for `faust tables`) ours as well."""
        return [*self.data.values(), *([] if self.app.started else self.listed.values())]

    async def on_start(self) -> None:
        """As Faust does, but without sleeping for a second first: agents have started by now."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    async def on_rebalance(
        self, assigned: set[Any], revoked: set[Any], newly_assigned: set[Any], generation_id: int = 0
    ) -> None:
        """Recover our tables, then let Faust recover its own."""
        await self.app.load_tables(assigned)
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
