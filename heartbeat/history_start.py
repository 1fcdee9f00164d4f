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
AGENTS: Final = ("history-posts", "history-windows")
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
        lacking: what is missing until then.
    """

    def __init__(
        self, log: Log, board: HealthBoard, rereads: dict[tuple[str, TP], int] | None = None, lacking: str = ""
    ) -> None:
        self._log, self._board, self._rereads, self._lacking = log, board, rereads or {}, lacking
        self.look()

    def look(self) -> None:
        """To be called now and then: says how the history is, which is as well as the worse of its two agents."""
        if self._rereads and all(
            (self._log.committed(group, tp) or 0) >= end for (group, tp), end in self._rereads.items()
        ):
            self._rereads, self._lacking = {}, ""
        troubles = [
            status
            for agent in AGENTS
            if (status := self._board.get(f"agent/{agent}")) is not None and status.state is not State.OK
        ]
        if troubles:
            worst = max(troubles, key=lambda status: status.state is State.FAILED)
            self._board.report(PART, worst.state, worst.why, worst.remedy)
        elif self._lacking:
            self._board.report(PART, State.WAITING, self._lacking, _AGAIN)
        else:
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
        return HistoryStart(log, board)
    gaps = {tp.partition for tp in places if stored.get(tp, 0) < min(log.begin_offset(tp), read[tp])}
    partitions = log.partitions(topics.PULSE.name)
    replayed = {task for one in standings(log).values() if one.feed.startswith("replay:") for task in one.tasks}
    history.lose(sorted(task for task in replayed if partition_of(task, partitions) in gaps))
    for name, group in groups.items():
        log.forget_group(group, name)
    lacking = f"{_OLDER if stored else _NEW}{f': {_MISSING}' if gaps else ''}"
    rereads = {(groups[tp.topic], tp): end for tp, end in read.items() if end > log.begin_offset(tp)}
    return HistoryStart(log, board, rereads, lacking)


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
