"""Everything that the history's thread works with, and the offsets of what is in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from heartbeat.clock import Clock
from heartbeat.errors import Retry
from heartbeat.sinks.history_names import Names
from heartbeat.sinks.history_posts import Posts
from heartbeat.sinks.history_rollup import Rollup
from heartbeat.sinks.history_statements import transaction, write_rows
from heartbeat.sinks.history_texts import Texts
from heartbeat.sinks.history_thinning import Thinning
from heartbeat.sinks.history_upkeep import Upkeep
from heartbeat.sinks.history_windows import Windows

Offset: TypeAlias = int
TopicPartition: TypeAlias = tuple[str, int]
"""(topic, partition); equal to the engine's `TP`."""


class Tables:
    """What the thread works with. Made by it, and seen by no other.

    Args:
        connection: the thread's.
        clock: tells when something is stored.
        content_ms: how long texts are kept.
        history_ms: how long everything else is kept.
        days_by_size: for how many days small windows are kept (see `Thinning`).
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        content_ms: int,
        history_ms: int,
        days_by_size: Mapping[int, int],
    ) -> None:
        self.connection, self.clock = connection, clock
        self.names = Names(connection)
        self.texts = Texts(connection, content_ms)
        self.posts = Posts(connection, self.names, self.texts)
        rollup = Rollup(connection)
        self.windows = Windows(connection, self.names, rollup)
        self.upkeep = Upkeep(connection, self.texts, rollup, Thinning(connection, days_by_size), history_ms)
        self.read_offsets()

    def read_offsets(self) -> None:
        """Learn from the file what is in it."""
        self._next: dict[TopicPartition, Offset] = {}
        self._stood: dict[TopicPartition, Offset | None] = {}
        for topic, partition, next_offset in self.connection.execute("SELECT topic, partition, next FROM offsets"):
            self._next[(topic, partition)] = next_offset

    def cut_offsets(self, ends: Mapping[TopicPartition, Offset]) -> dict[TopicPartition, Offset]:
        """Take offsets back that are past these ends; gives what they all are then."""
        with transaction(self.connection):
            for (topic, partition), end in ends.items():
                self.connection.execute(
                    "UPDATE offsets SET next = ? WHERE topic = ? AND partition = ? AND next > ?",
                    (end, topic, partition, end),
                )
        self.read_offsets()
        return dict(self._next)

    def lose(self, tasks: Sequence[str]) -> None:
        """Remember that these tasks are not in the file in full."""
        with transaction(self.connection):
            write_rows(self.connection, "INSERT OR IGNORE INTO lost VALUES ?", [(task,) for task in tasks])

    def has_lost(self, task: str) -> bool:
        """Whether a task is not in the file in full."""
        return bool(self.connection.execute("SELECT 1 FROM lost WHERE task = ?", (task,)).fetchall())

    def has_stored(self, tp: TopicPartition, offset: Offset) -> bool:
        """Whether everything up to this offset is in the file."""
        return self._next.get(tp, 0) > offset

    def advance(self, tp: TopicPartition, offsets: Sequence[Offset]) -> int:
        """Move a partition's offset past a batch; gives how many of its messages are in the file already."""
        known = self._next.get(tp)
        if known is not None and known > offsets[-1]:
            return len(offsets)
        self._stood.setdefault(tp, known)
        self._next[tp] = offsets[-1] + 1
        if known is None or known <= offsets[0]:
            return 0
        return sum(1 for offset in offsets if offset < known)

    def write_offsets(self) -> None:
        """Write the offsets that moved, if they stand in the file where this thread left them."""
        for (topic, partition), stood in self._stood.items():
            moved = self.connection.execute(
                "INSERT INTO offsets VALUES (?1, ?2, ?3) ON CONFLICT (topic, partition)"
                " DO UPDATE SET next = ?3 WHERE next IS ?4",
                (topic, partition, self._next[(topic, partition)], stood),
            ).rowcount
            if not moved:
                raise Retry("another process has written to the history; what it left is read again")

    def committed(self) -> None:
        """The transaction became durable."""
        self._stood.clear()
        self.names.committed()

    def rolled_back(self) -> None:
        """The transaction did not happen: back to what the file says."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.names.rolled_back()
        self.texts.rolled_back()
        self.posts.rolled_back()
        self.read_offsets()
