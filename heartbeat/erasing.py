"""Overwrites in the log what was deleted where it comes from: a deletion that a feed heard is meant for every copy.

Windows and history have followed a deletion by then, as they follow all that is in the stream. What is left is in the
topics, for as long as texts are kept: the messages that brought the text, and dead letters. They are looked through
every ten minutes at most, for everything at once, when all agents have read what is to be overwritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from heartbeat import topics
from heartbeat.agents.scored import REPLAY
from heartbeat.codec import Codec
from heartbeat.engine import erasure
from heartbeat.engine.log import LogRecord, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_wal import cut_wal
from heartbeat.errors import LogError
from heartbeat.feeds.owed import Due, Owed
from heartbeat.health import State
from heartbeat.settling import settled
from heartbeat.station import Station
from heartbeat.traces import Traces, feed_of_letter, letter_is_of

LOOK_EVERY_S: Final = 1.0
TRY_AGAIN_S: Final = 30.0
_PART: Final = "erasing"
"""Of health; it is told there when something is in the way."""
_WITH_TEXT: Final = (topics.INGEST.name, topics.LANGUAGE.name, topics.SENTIMENT.name)
_READERS: Final = ("language", "sentiment", "history-posts", "corrections")


class Erasing:
    """Erases what is owed, in one data directory.

    Args:
        station: its agents are at work.
        log: its log, which this process owns.
    """

    def __init__(self, station: Station, log: SqliteLog) -> None:
        self._station, self._log = station, log
        self._owed = Owed(log, station.clock, content_ms=station.settings.content_ms)
        self._traces = Traces(Codec(log))

    async def run(self) -> None:
        """Erase what is due, until cancelled. What cannot be written now is tried again."""
        board = self._station.board
        while True:
            try:
                await self.look()
                if board.get(_PART) is not None:
                    board.report(_PART, State.OK)
                pause_s = LOOK_EVERY_S
            except LogError as error:
                why = f"what was deleted on the network cannot be overwritten: {error}"
                board.report(_PART, State.WAITING, why, "it is tried again by itself")
                pause_s = TRY_AGAIN_S
            await asyncio.sleep(pause_s)

    async def look(self) -> int:
        """Erase what is due; gives how many messages that were.

        It is due again while somebody reads the file, so that the WAL cannot be cut: also where nothing is found any
        more, since an earlier look may have come just as far.

        Raises:
            LogError: the file cannot be read or written; it is due again.
        """
        due = self._owed.due()
        if not due.posts and not due.authors:
            return 0
        erased = await erasure.erase_all(self._log, lambda: self._found(due))
        if await cut_wal(self._log):
            await self._log.write(UnitWrite(puts=self._owed.done(due)))
        return erased

    async def _found(self, due: Due) -> list[erasure.Found]:
        """What is left, once everything has been read.

        Everything is waited for before each look: a dead letter may have been given back before it was overwritten.
        """
        await settled(self._station, self._log, agents=_READERS)
        found = []
        if due.posts:
            found += await erasure.find(self._log, _WITH_TEXT, lambda record: self._is_live_text(record, due.posts))
        found += await erasure.find(self._log, [topics.DEADLETTERS.name], lambda record: self._is_owed(record, due))
        return found

    def _is_live_text(self, record: LogRecord, posts: Collection[tuple[str, str]]) -> bool:
        """Whether a message has such a post's text from a live feed; a replay's is as its file has it."""
        return self._traces.holds_text_of(record, posts) and not self._is_replays(record)

    def _is_owed(self, letter: LogRecord, due: Due) -> bool:
        owed = letter_is_of(letter, due.posts) or (bool(due.authors) and self._traces.letter_names(letter, due.authors))
        return owed and not self._is_replays(letter)

    def _is_replays(self, record: LogRecord) -> bool:
        """Whether a replay brought it: as a post, or as an item of which its feed could make none."""
        feed = feed_of_letter(record) or getattr(self._traces.decoded(record), "feed", None)
        return feed is not None and feed.startswith(REPLAY)
