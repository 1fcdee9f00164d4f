"""The history: windows and posts with their scores, kept for charts and exports.

One thread owns the file. Whatever waits for it is written in one transaction, together with the offsets of the batches,
so a batch that comes again (after a crash, or halved) is known exactly: what is before the stored offset is left out.
That matters, since a late retraction subtracts from stored windows.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from heartbeat.clock import Clock
from heartbeat.errors import HistoryError, Retry
from heartbeat.records import Heartbeat, Late, Pulse, Scored
from heartbeat.sinks import history_file
from heartbeat.sinks.history_tables import Offset, Tables, TopicPartition
from heartbeat.sinks.history_unheard import store_unheard
from heartbeat.topics import DAY_MS, HOUR_MS

MOST_AT_ONCE: Final = 8_192
"""Records of one transaction, beyond those of the batch that crosses the line."""

T = TypeVar("T")


class _Job(NamedTuple):
    """Something for the thread to do. `weight` records are written in a transaction shared with others; None: alone."""

    work: Callable[[Tables], Any]
    done: Future[Any]
    weight: int | None


class History:
    """Writes the history's file. Belongs to the worker, which owns the data directory; nothing happens before `start`.

    Args:
        path: `history_file.NAME` in the data directory.
        clock: tells when something is stored.
        content_hours: how long posts' texts are kept, at most.
        history_days: how long windows and scores are kept, at least.
        days_by_size: for how many days small windows are kept, by size in seconds; a size that is not named is kept as
            the next larger one that is.
        durable: wait for the disk at every commit.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        content_hours: float = 24.0,
        history_days: int = 400,
        days_by_size: Mapping[int, int] | None = None,
        durable: bool = False,
    ) -> None:
        self.path = path
        self._clock, self._durable = clock, durable
        self._content_ms, self._history_ms = int(content_hours * HOUR_MS), history_days * DAY_MS
        self._days_by_size = dict(days_by_size or {})
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._held: _Job | None = None
        self._thread: threading.Thread | None = None
        self._is_open = False

    def start(self) -> None:
        """Open the file, or make it, and start the thread.

        Raises:
            HistoryError: it cannot be opened, is damaged, is something else, or was written by a newer Heartbeat.
        """
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(opened,), name="history", daemon=True)
        self._thread.start()
        opened.result()
        self._is_open = True

    async def store_posts(
        self, tp: TopicPartition, posts: Sequence[tuple[Offset, int, Scored]], beats: Sequence[Heartbeat] = ()
    ) -> None:
        """Make scores and retractions of one partition durable.

        Args:
            tp: their topic and partition.
            posts: (offset, time of append in ms, record), ascending. Those that are in the file already are left out.
            beats: heartbeats among them that tell of times which their feed has not heard.

        Raises:
            Retry: the disk is full or the file locked; nothing of it is there.
            HistoryError: the file has become unusable.
        """
        if not posts and not beats:
            return

        def work(tables: Tables) -> None:
            store_unheard(tables.connection, tables.names, beats, tables.clock.now_ms())
            if not posts:
                return
            known = tables.advance(tp, [offset for offset, _, _ in posts])
            tables.posts.take(((appended_ms, post) for _, appended_ms, post in posts[known:]), tables.clock.now_ms())

        await self._do(work, len(posts) + len(beats))

    async def store_windows(self, tp: TopicPartition, records: Sequence[tuple[Offset, Pulse | Late]]) -> None:
        """Make windows, and what came late for them, of one partition durable.

        Args:
            tp: their topic and partition.
            records: with their offsets, ascending. Those that are in the file already are left out.

        Raises:
            Retry: the disk is full or the file locked; nothing of it is there.
            HistoryError: the file has become unusable.
        """
        if not records:
            return

        def work(tables: Tables) -> None:
            known = tables.advance(tp, [offset for offset, _ in records])
            if known == len(records):
                return
            # marks look for posts in the file, so those of this transaction have to be there
            tables.upkeep.erased |= tables.posts.flush()
            tables.windows.store((record for _, record in records[known:]), tables.clock.now_ms())

        await self._do(work, len(records))

    async def holding(self, tp: TopicPartition, offset: Offset, posts: Sequence[Late]) -> list[Pulse] | None:
        """The windows that posts are in, or were before they were taken back, as they are stored now.

        Args:
            tp: the topic and partition of the last of them.
            offset: of the last of them.
            posts: of one partition.

        Returns:
            The windows (see `Windows.holding`), or None while the history has not stored everything up to that offset.

        Raises:
            Retry: the disk is full or the file locked.
            HistoryError: the file has become unusable.
        """
        return await self._do(
            lambda tables: tables.windows.holding(posts) if tables.has_stored(tp, offset) else None, None
        )

    def align(self, ends: Mapping[TopicPartition, Offset]) -> dict[TopicPartition, Offset]:
        """Hold the stored offsets against the log's, after `start` and before anything is read from the log.

        A log that ends before what is stored here is not the one that it came from: it was deleted, or lost its last
        units in a power cut. Its next messages are new ones. Blocks for some milliseconds.

        Args:
            ends: one past the last message of each partition.

        Returns:
            One past the last message of each partition that is in the file; none for a partition without any.
        """
        return self._submit(lambda tables: tables.cut_offsets(ends), None).result()

    def lose(self, tasks: Sequence[str]) -> None:
        """Remember that replays into these tasks are not here in full. Blocks for some milliseconds."""
        self._submit(lambda tables: tables.lose(tasks), None).result()

    async def has_lost(self, task: str) -> bool:
        """Whether a replay into this task is not here in full."""
        return await self._do(lambda tables: tables.has_lost(task), None)

    async def perform(self, work: Callable[[Tables], T]) -> T:
        """Have the thread do something alone, for some milliseconds; it makes its own transactions.

        Raises:
            Retry: the disk is full or the file locked.
            HistoryError: the file has become unusable.
        """
        return await self._do(work, None)

    async def maintain(self, now_ms: int) -> bool:
        """Do a few milliseconds of upkeep: erase texts that are due, sweep out what is old, give space back.

        Returns:
            Whether there is more to do at once. To be called about once a second otherwise.
        """
        return await self._do(lambda tables: tables.upkeep.step(now_ms), None)

    def close(self) -> None:
        """Finish what waits and close the file. Blocks; may be called twice."""
        if self._is_open:
            self._is_open = False
            self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()

    def _submit(self, work: Callable[[Tables], T], weight: int | None) -> Future[T]:
        if not self._is_open:
            raise Retry("the history is closed")
        done: Future[T] = Future()
        self._jobs.put(_Job(work, done, weight))
        return done

    async def _do(self, work: Callable[[Tables], T], weight: int | None) -> T:
        return await asyncio.wrap_future(self._submit(work, weight))

    # -- in the thread --------------------------------------------------------------------------------------------

    def _live(self, opened: Future[None]) -> None:
        try:
            connection = history_file.open_for_writing(self.path, durable=self._durable)
            try:
                tables = Tables(connection, self._clock, self._content_ms, self._history_ms, self._days_by_size)
            except sqlite3.Error as error:
                connection.close()
                raise history_file.unopened(error, self.path) from error
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        self._run(tables)

    def _run(self, tables: Tables) -> None:
        try:
            while True:
                jobs, closing = self._take()
                if jobs:
                    self._perform(tables, jobs)
                if closing:
                    return
        finally:
            tables.connection.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """What can be done together: all that waits up to a job that has to be alone. Waits for the first."""
        jobs: list[_Job] = []
        weight = 0
        try:
            job = self._held or self._jobs.get()
            self._held = None
            while job is not None:
                if job.weight is None and jobs:
                    self._held = job
                    return jobs, False
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
                    weight += job.weight or 0
                if (jobs and job.weight is None) or weight >= MOST_AT_ONCE:
                    return jobs, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _perform(self, tables: Tables, jobs: list[_Job]) -> None:
        try:
            results = [jobs[0].work(tables)] if jobs[0].weight is None else self._write(tables, jobs)
        except BaseException as error:
            self._undo(tables)
            known = history_file.explained(error, self.path) if isinstance(error, sqlite3.Error) else None
            passing = isinstance(known or error, Retry | HistoryError)
            if len(jobs) > 1 and not passing:  # one of them cannot be written: find out which
                for job in jobs:
                    self._perform(tables, [job])
                return
            for job in jobs:
                job.done.set_exception(known or error)
            return
        for job, result in zip(jobs, results, strict=True):
            job.done.set_result(result)

    def _write(self, tables: Tables, jobs: list[_Job]) -> list[Any]:
        tables.connection.execute("BEGIN IMMEDIATE")
        results = [job.work(tables) for job in jobs]
        tables.upkeep.erased |= tables.posts.flush()
        tables.write_offsets()
        tables.connection.execute("COMMIT")
        tables.committed()
        return results

    def _undo(self, tables: Tables) -> None:
        try:
            tables.rolled_back()
        except sqlite3.Error:  # the file is worse than that; the next job will say so
            tables.posts.rolled_back()
