"""What forgetting anything rests on: a stream that is through, WALs without what was erased, places that are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_wal import cut_wal, until_cut
from heartbeat.errors import HeartbeatError
from heartbeat.forgetting.messages import Messages
from heartbeat.settling import settled
from heartbeat.sinks.history_forgetting import Window
from heartbeat.station import Station

TOLD_WITHIN_S: Final = 30.0
"""How long places are waited for: enough for one that is there, and nothing is lost where it is not."""
_AGENTS: Final = ("language", "sentiment", "pulse", "history-posts", "history-windows", "corrections")
"""Whom it waits for without end; not those who pass figures on to somewhere else, which may be away."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was done in one place.

    Attributes:
        place: where.
        count: how many things.
        what: what they are.
        done: nothing follows.
        pending: of the last one: what will be done by itself, a line for each place.
    """

    place: str
    count: int
    what: str
    done: bool = False
    pending: Sequence[str] = ()


class Ground:
    """One data directory.

    Args:
        station: its agents are at work, and so is its `telling`.
        log: its log, which this process owns.
    """

    def __init__(self, station: Station, log: SqliteLog) -> None:
        self.station, self.log = station, log
        self.history, self.telling = station.history, station.telling
        self.messages = Messages(log)

    async def settled(self) -> None:
        """Wait until all that is in the stream now has been counted.

        Raises:
            HeartbeatError: an agent has stopped and waits for a person.
        """
        await settled(self.station, self.log, agents=_AGENTS, unless_failed=True)

    async def end(self, count: int, what: str, told: Sequence[Window], told_of: str) -> AsyncIterator[Step]:
        """Cut the WALs and wait for the places; the last steps.

        Args:
            count: of everything that was forgotten.
            what: that is.
            told: what places have to know.
            told_of: what that is, in words.

        Raises:
            HeartbeatError: something else is reading one of the files all the time.
        """
        cut = await cut_wal(self.log)
        cut &= await until_cut(lambda: self.history.perform(lambda tables: tables.upkeep.cut_wal()))
        pending = await self.telling.told(TOLD_WITHIN_S)
        late = {one.place for one in pending}
        for place in self.station.places:
            if place.name not in late:
                yield Step(place.name, len(told), told_of)
        for name in self.telling.absent if told else ():
            yield Step(name, len(told), f"{told_of}, once these settings name it: now they do not, as they once did")
        lines = [str(one) for one in pending]
        if not cut:
            more = "".join(f"; {line}, which is done by itself" for line in lines)
            raise HeartbeatError(
                "all is forgotten here but for the WALs of log.db and history.db, since another program is reading one "
                f"of them; stop it and start the command again{more}"
            )
        yield Step("all", count, what, done=True, pending=lines)
