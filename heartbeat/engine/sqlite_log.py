"""The embedded log: a durable partitioned log in one SQLite WAL file in the data directory.

Messages, offsets, state stores and schemas share the file, so a unit is one transaction. One thread writes
(`sqlite_writer`); reads are short queries on the caller's thread (`sqlite_reader`). A log belongs to one event loop.

Bounds: `write` never waits. Callers bound what they have in flight (pipelines by `max_inflight`); should more than
`MAX_QUEUED_BYTES` be waiting all the same, further units are refused with `LogUnavailable`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sqlite3
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from heartbeat.clock import Clock
from heartbeat.engine import sqlite_admin, sqlite_integrity, sqlite_schema
from heartbeat.engine.faults import point
from heartbeat.engine.log import TP, LogRecord, UnitWrite
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_reader import SqliteReader
from heartbeat.engine.sqlite_unit import Job, offsets, prepare
from heartbeat.engine.sqlite_writer import Result, Task, Work, Writer
from heartbeat.errors import BadLogUrl, LogError, LogUnavailable
from heartbeat.topics import Topic

T = TypeVar("T")

MAX_QUEUED_BYTES: Final = 256 * 1024 * 1024
LEAST_CHECK_S: Final = 0.2
"""How long opening looks at rows at least, however long SQLite's own check has taken."""
OUTSIDER_POLL_S: Final = 0.1
"""How often a reader in another process looks for new messages."""


class SqliteLog(SqliteReader):
    """See `engine.log.Log` for the contract, and `open` for how to get one."""

    def __init__(
        self, path: Path, clock: Clock, reader: sqlite3.Connection, writing: sqlite3.Connection | None
    ) -> None:
        super().__init__(path, reader)
        self._clock, self._writing = clock, writing
        self._writer = None if writing is None else Writer(writing, path, self._seen, self._deliver)
        self._queued_bytes = 0
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}

    @classmethod
    def open(cls, path: Path, *, clock: Clock, durable: bool = False, read_only: bool = False) -> SqliteLog:
        """Open the log in this file, which is made if it is not there.

        Args:
            path: the file itself, `log.db` in a data directory that this process owns (see `ownership`).
            clock: gives the time of append.
            durable: wait for the disk at every commit. Otherwise a power cut (not a kill) may lose the last units,
                whole ones and from the end.
            read_only: for other processes, while the owner works. Nothing is made, searched for damage or changed.

        Raises:
            LogDamaged: the file is not whole; it says where and what to do.
            LogTooNew: a newer Heartbeat wrote it.
            LogUnavailable: it cannot be read or written now.
            StartError: it is not there and cannot be made.
            BadLogUrl: it is not there, and `read_only` was asked for.
        """
        opened: list[sqlite3.Connection] = []
        try:
            if not path.exists():
                if read_only:
                    raise BadLogUrl(f"{path}: there is no log here yet; a worker makes it, or name another directory")
                sqlite_schema.create(path)
            sqlite_schema.check_length(path)
            if not read_only:
                opened.append(sqlite_schema.connect(path, durable=durable))
                began = time.monotonic()
                sqlite_schema.check(opened[0], path)
                sqlite_schema.migrate(opened[0], path)
                until = max(began + sqlite_schema.CHECK_S, time.monotonic() + LEAST_CHECK_S)
                if fault := next(sqlite_integrity.faults(opened[0], until=until), None):
                    raise sqlite_schema.damaged(path, fault)
                sqlite_schema.check_indexes(opened[0], path, until)
            opened.append(sqlite_schema.connect(path, read_only=True))
            if read_only:
                sqlite_schema.check_version(opened[0], path)
            point("log.load")
            return cls(path, clock, opened[-1], None if read_only else opened[0])
        except BaseException as error:
            for con in opened:
                con.close()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise sqlite_schema.explain_opening(error, path, read_only=read_only) from error
            if isinstance(error, sqlite_integrity.BROKEN):
                raise sqlite_schema.damaged(path, f"its tables hold rubbish: {type(error).__name__}") from error
            raise

    def close(self) -> None:
        """Write what is queued, give the WAL back, close. A second call does nothing."""
        if not self._open:
            return
        self._open = False
        if self._writer is not None:
            self._writer.close()
        for waiting in self._waiting.values():
            self._wake(waiting)
        try:
            point("log.close")
            if self._writing is not None:
                self._writing.execute("PRAGMA busy_timeout = 0")
                with contextlib.suppress(sqlite3.Error):  # a reader is in the way: the next owner does it
                    self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._read.close()
            if self._writing is not None:
                self._writing.close()
        point("log.closed")

    # Rare changes: they wait for the writer.

    def create_topic(self, topic: Topic, partitions: int) -> None:
        """Declare a topic; one that exists keeps its number of partitions and takes over its new retention.

        Raises:
            LogError: no partitions; or it exists and is compact where it should not be, or the other way round.
        """
        if partitions < 1:
            raise LogError(f"{topic.name}: a topic has at least one partition, not {partitions}")
        known = self.ledger().topics.get(topic.name)
        wanted = (topic.retention_ms, topic.compact, topic.holds_content)
        if known is None or (known.retention_ms, known.compact, known.holds_content) != wanted:
            self._call(sqlite_admin.create_topic(topic, partitions))

    def register_group(self, group: str, topic: str) -> None:
        """Declare that a consumer group reads a topic: retention then waits for it, also before its first commit.

        Raises:
            UnknownTopic: no such topic.
        """
        self.partitions(topic)
        if group not in self.groups(topic):
            self._call(sqlite_admin.register_group(group, topic))

    def forget_group(self, group: str, topic: str) -> None:
        """Undo `register_group`, and forget where the group stood in that topic. Unknown ones are no error."""
        if topic in self.ledger().topics:
            self._call(sqlite_admin.forget_group(group, topic))

    def empty(self, topic: str) -> None:
        """Remove all rows of a compact topic: a changelog whose table nobody is to recover. Not there is no error."""
        known = self.ledger().topics.get(topic)
        if known is not None and known.compact:
            self._call(sqlite_admin.empty(topic))

    def register_schema(self, subject: str, schema: str) -> int:
        """See `schemas.SchemaStore`."""
        known = self.query("SELECT id FROM schemas WHERE subject = ? AND schema = ?", (subject, schema))
        return int(known[0][0]) if known else self._call(sqlite_admin.register_schema(subject, schema))

    def _call(self, work: Work[T]) -> T:
        return self._task(work, alone=False).result()

    def _task(self, work: Work[T], *, alone: bool) -> concurrent.futures.Future[T]:
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        done.set_running_or_notify_cancel()  # from here on it takes place, whoever still waits for it
        self._owner().put(Task(work, done, alone))
        return done

    # Writing

    def write(self, unit: UnitWrite) -> asyncio.Future[list[int]]:
        """See `engine.log.Log.write`. Every error comes through the future, `UnknownTopic` too."""
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        try:
            job = prepare(unit, done, self.ledger(), self._clock.now_ms())
            if self._queued_bytes > MAX_QUEUED_BYTES:
                raise LogUnavailable(f"{self.path}: {self._queued_bytes} bytes wait to be written; try again later")
            self._owner().put(job)
            self._queued_bytes += job.size
        except (LogError, TypeError) as error:
            done.set_exception(error)
        return done

    def nudge(self) -> None:
        """Have everybody look who waits for a message: work that was submitted has appended some."""
        for waiting in list(self._waiting.values()):
            self._wake(waiting)

    def submit(self, work: Work[T], *, alone: bool = False) -> asyncio.Future[T]:
        """Have the writer do something between units, in a transaction of its own unless `alone` (see `Task`)."""
        return asyncio.wrap_future(self._task(work, alone=alone))

    def _deliver(self, jobs: list[Job], results: list[Result]) -> None:
        """On the writer's thread: have the callers told on theirs."""
        for loop, outcomes in groupby(zip(jobs, results, strict=True), lambda pair: pair[0].done.get_loop()):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._tell, list(outcomes))

    def _tell(self, outcomes: list[tuple[Job, Result]]) -> None:
        for job, result in outcomes:
            self._queued_bytes -= job.size
            if isinstance(result, LogError):
                if not job.done.done():
                    job.done.set_exception(result)
                continue
            if not job.done.done():
                job.done.set_result(offsets(job, result))
            for slot in result:
                self._wake(self._waiting.pop(slot, ()))

    def _owner(self) -> Writer:
        self._assert_open()
        if self._writer is None:
            raise LogUnavailable(f"{self.path}: the log was opened for reading alone")
        return self._writer

    # Reading

    async def fetch(self, tp: TP, offset: int, limit: int, timeout_s: float) -> list[LogRecord]:
        """See `engine.log.Log.fetch`."""
        slot = self.ledger().slot(tp)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        looked = -1
        while self._open:
            end = self.ledger().next[slot]
            if offset < end and looked < end:
                found = self._messages(slot, offset, limit)
                if found:
                    return found
                looked = end
            left = until - loop.time()
            if left <= 0:
                break
            await self._appended(loop, slot, left)
        return []

    async def _appended(self, loop: asyncio.AbstractEventLoop, slot: int, timeout_s: float) -> None:
        """Wait until something is appended there, or for that long."""
        if self._writer is None:
            await asyncio.sleep(min(timeout_s, OUTSIDER_POLL_S))
            return
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(slot, []).append(future)
        timer = loop.call_later(timeout_s, self._wake, (future,))
        try:
            await future
        finally:
            timer.cancel()
            with contextlib.suppress(KeyError, ValueError):
                self._waiting[slot].remove(future)

    @staticmethod
    def _wake(waiting: Iterable[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    future.set_result(None)

    def ledger(self) -> Ledger:
        """What is durable now; the owner has it in memory."""
        if self._writer is None:
            return super().ledger()
        self._assert_open()
        return self._writer.ledger
