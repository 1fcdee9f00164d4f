"""Waiting until everything that is in the log now, and all that follows from it, is done.

It is read off what is durable, hop by hop: whatever is in a topic has to be committed by its readers before the next
topic is looked at. InfluxDB is not waited for: it may be away for days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from heartbeat import topics
from heartbeat.agents import influx, insight_points
from heartbeat.engine.log import TP, Log
from heartbeat.errors import HeartbeatError
from heartbeat.health import State
from heartbeat.station import Station
from heartbeat.topics import GROUPS

LOOK_EVERY_S: Final = 0.05


async def settled(
    station: Station,
    log: Log,
    *,
    agents: Collection[str] | None = None,
    before_pulse: Callable[[], Awaitable[None]] | None = None,
    unless_failed: bool = False,
) -> None:
    """Wait for it.

    Args:
        station: its agents are at work.
        log: its log.
        agents: the names of those that are waited for; None: all.
        before_pulse: awaited when `pulse` is through with what it reads, before what it has written is looked at.
        unless_failed: give up where one of them has failed, and waits for a person.

    Raises:
        HeartbeatError: that.
    """
    for agent in station.agents:
        if agent.name in (influx.NAME, insight_points.NAME) or (agents is not None and agent.name not in agents):
            continue
        if agent.topic == topics.PULSE and before_pulse is not None:
            await before_pulse()
        for tp, end in ends(log, agent.topic.name):
            while read_up_to(log, agent.name, tp) < end:
                if unless_failed:
                    _check(station, agent.name)
                await asyncio.sleep(LOOK_EVERY_S)


def _check(station: Station, agent: str) -> None:
    status = station.board.get(f"agent/{agent}")
    if status is not None and status.state is State.FAILED:
        raise HeartbeatError(
            f"the agent {agent} has stopped, so that this cannot be finished: {status.why} ({status.remedy}); "
            "start the command again when it goes on"
        )


def ends(log: Log, topic: str) -> list[tuple[TP, int]]:
    """Each partition of a topic, and where it ends now."""
    places = [TP(topic, partition) for partition in range(log.partitions(topic))]
    return [(tp, log.end_offset(tp)) for tp in places]


def read_up_to(log: Log, agent: str, tp: TP) -> int:
    """Where an agent will go on."""
    committed = log.committed(f"{GROUPS}-{agent}", tp)
    return log.begin_offset(tp) if committed is None else committed
