"""Holds the history against the log when both have been opened: either may be new, or older than the other.

A log that is older (it was deleted, or lost its last units in a power cut) gives out offsets anew that the history has
seen. A history that is older (its file was moved away, or put back from a backup) lacks what its agents have read
already: they read again whatever the topics still hold. The history knows what it has, so nothing is counted twice.
"""

from __future__ import annotations

from typing import Final

from heartbeat import topics
from heartbeat.engine.log import TP, Log, addressee
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.feeds.cursors import standings
from heartbeat.health import HealthBoard, State
from heartbeat.sinks.history import History
from heartbeat.topics import partition_of

PART: Final = "sink/history"
_PAGE: Final = 500
_NEW: Final = "the history is new, although its topics had been read before"
_OLDER: Final = "the history is older than the log"
_MISSING: Final = "windows and posts that the topics do not hold any more are missing from charts and exports"
_AGAIN: Final = "what the topics still hold is read again by itself"


class HistoryStart:
    """What was found when the history was opened. Made by `hold_against`.

    Args:
        log: the log.
        board: where the history's health is shown.
        rereads: up to where each group has to read before the history is as whole as it can be.
    """

    def __init__(self, log: Log, board: HealthBoard, rereads: dict[tuple[str, TP], int]) -> None:
        self._log, self._board, self._rereads = log, board, rereads

    def look(self) -> None:
        """To be called now and then: says that all is well once everything has been read again."""
        if self._rereads and all(
            (self._log.committed(group, tp) or 0) >= end for (group, tp), end in self._rereads.items()
        ):
            self._rereads = {}
            self._board.report(PART, State.OK)


def hold_against(log: SqliteLog, history: History, board: HealthBoard, *, prefix: str) -> HistoryStart:
    """Bring both into step, before anything is read from the log.

    Args:
        log: open, and owned by this process.
        history: started.
        board: told if the history lacks something.
        prefix: of consumer groups.
    """
    groups = {topics.PULSE.name: f"{prefix}-history-windows", topics.SENTIMENT.name: f"{prefix}-history-posts"}
    places = [TP(name, number) for name in groups if name in log.topics() for number in range(log.partitions(name))]
    stored = history.align({tp: log.end_offset(tp) for tp in places})
    read = {tp: log.committed(groups[tp.topic], tp) or 0 for tp in places}
    # Only of `pulse` every message is stored; in the other topic heartbeats pass that leave no trace in the file.
    behind = [tp for tp in places if tp.topic == topics.PULSE.name and _is_behind(log, tp, stored.get(tp, 0), read[tp])]
    if not behind:
        return HistoryStart(log, board, {})
    gaps = {tp.partition for tp in places if stored.get(tp, 0) < min(log.begin_offset(tp), read[tp])}
    partitions = log.partitions(topics.PULSE.name)
    replayed = {task for one in standings(log).values() if one.feed.startswith("replay:") for task in one.tasks}
    history.lose(sorted(task for task in replayed if partition_of(task, partitions) in gaps))
    for name, group in groups.items():
        log.forget_group(group, name)
    board.report(PART, State.WAITING, f"{_OLDER if stored else _NEW}{f': {_MISSING}' if gaps else ''}", _AGAIN)
    return HistoryStart(
        log, board, {(groups[tp.topic], tp): end for tp, end in read.items() if end > log.begin_offset(tp)}
    )


def _is_behind(log: SqliteLog, tp: TP, stored: int, read: int) -> bool:
    """Whether the history lacks what has been read; what was for another agent alone leaves no trace in it."""
    while stored < read:
        page = log.peek(tp, stored, min(read - stored, _PAGE))
        if any(record.offset < read and not addressee(record.headers) for record in page) or stored < log.begin_offset(
            tp
        ):
            return True
        stored = page[-1].offset + 1 if page else read
    return False
