"""The one thread that writes the embedded log.

Whatever is queued while a transaction runs shares the next one. A unit whose predecessor is missing is left out of it
and fails alone with `StaleUnit`; anything else that goes wrong undoes the transaction and fails all its units with
`LogUnavailable`.

Each transaction counts `meta.seq` up by one. That settles two things: whether a COMMIT that reported an error took
place all the same (the file's number says so), and whether another process wrote in between (then what is known about
offsets is read again, and its units or ours are stale).
"""

from __future__ import annotations

import concurrent.futures
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from heartbeat.engine.faults import point
from heartbeat.engine.sqlite_group import Group
from heartbeat.engine.sqlite_ledger import Ledger, load
from heartbeat.engine.sqlite_schema import connect, explain
from heartbeat.engine.sqlite_unit import Job
from heartbeat.errors import LogError, LogUnavailable

T = TypeVar("T")

GROUP_BYTES: Final = 8 * 1024 * 1024
"""About how much shares one transaction: enough to make its cost per unit small, short enough not to be felt."""
SETTLE_WAITS_S: Final = (0.0, 0.01, 0.1, 0.5, 1.0)
"""Waits between attempts to look up the outcome of a COMMIT; the last one again and again."""


Work: TypeAlias = Callable[[sqlite3.Connection, Ledger], Callable[[Ledger], T]]
"""Writes something; what it gives is called once that is durable, to take the change over into the ledger."""


@dataclass(slots=True)
class Task:
    """Anything else that is to be written, in a transaction of its own or, `alone`, outside of any.

    `done` gets what the work's second half gives, or the error.
    """

    work: Work[Any]
    done: concurrent.futures.Future[Any]
    alone: bool = False


Result: TypeAlias = dict[int, int] | LogError
"""Of a job: the offset of its first message, by slot; or why it failed."""

IMPOSSIBLE: Final = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What a unit raises that can never be written, such as one with a number of more than 64 bits."""

_STOP: Final = object()


class Writer:
    """Owns the writing connection, the queue in front of it and the ledger."""

    def __init__(
        self,
        con: sqlite3.Connection,
        path: Path,
        ledger: Ledger,
        deliver: Callable[[list[Job], list[Result]], None],
    ) -> None:
        self.ledger = ledger
        self._con, self._path, self._deliver = con, path, deliver
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, item: Job | Task) -> None:
        """Queue it."""
        self._queue.put(item)

    def close(self) -> None:
        """Write what is queued, then end the thread. The connection stays open."""
        self._closing.set()
        self._queue.put(_STOP)
        self._thread.join()

    def _run(self) -> None:
        for items in self._groups():
            if isinstance(items, Task):
                self._perform(items)
                continue
            results: list[Result]
            try:
                results = self._write(items)
            except Exception as error:  # whatever it is, the callers have to learn it
                results = [explain(error, self._path)] * len(items)
            self._deliver(items, results)

    def _groups(self) -> Iterator[list[Job] | Task]:
        held: object = None
        while True:
            item, held = held or self._queue.get(), None
            if isinstance(item, Task):
                yield item
            elif isinstance(item, Job):
                jobs, size = [item], item.size
                while size < GROUP_BYTES and not self._queue.empty():
                    item = self._queue.get()
                    if not isinstance(item, Job):
                        held = item
                        break
                    jobs.append(item)
                    size += item.size
                yield jobs
            else:
                return

    def _write(self, jobs: list[Job]) -> list[Result]:
        try:
            group, results = self._transaction(lambda: self._insert(jobs))
        except IMPOSSIBLE as error:
            if len(jobs) > 1:
                return [result for job in jobs for result in self._alone(job)]
            return [LogError(f"the unit cannot be written ({type(error).__name__}: {error})")]
        group.take_over(self.ledger)
        try:
            point("log.report")
        except OSError as error:
            return [LogUnavailable(str(error))] * len(jobs)
        return results

    def _alone(self, job: Job) -> list[Result]:
        try:
            return self._write([job])
        except Exception as error:
            return [explain(error, self._path)]

    def _insert(self, jobs: list[Job]) -> tuple[Group, list[Result]]:
        group = Group(self.ledger)
        results: list[Result] = [
            group.add(job.timestamp_ms, job.chunks, job.latest, job.advances, job.changes) for job in jobs
        ]
        group.insert(self._con)
        return group, results

    def _perform(self, task: Task) -> None:
        try:
            if task.alone:
                result = task.work(self._con, self.ledger)(self.ledger)
            else:
                after = self._transaction(lambda: task.work(self._con, self.ledger))
                result = after(self.ledger)
        except Exception as error:  # the caller has to learn it
            task.done.set_exception(explain(error, self._path))
        else:
            task.done.set_result(result)

    def _transaction(self, work: Callable[[], T]) -> T:
        """Have the work done in a transaction; comes back only if it is durable, raises only if it is not."""
        con = self._con
        point("log.begin")
        con.execute("BEGIN IMMEDIATE")
        try:
            point("log.begun")
            self._count_up()
            result = work()
            point("log.commit")
        except BaseException:
            if con.in_transaction:  # SQLite itself may have undone it
                con.execute("ROLLBACK")
            raise
        try:
            con.execute("COMMIT")
            point("log.committed")
        except Exception as error:
            if not self._settled(error):
                raise
        self.ledger.seq += 1
        return result

    def _count_up(self) -> None:
        step = "UPDATE meta SET seq = ? WHERE seq = ?"
        if not self._con.execute(step, (self.ledger.seq + 1, self.ledger.seq)).rowcount:
            self.ledger = load(self._con)
            self._con.execute(step, (self.ledger.seq + 1, self.ledger.seq))

    def _settled(self, error: Exception) -> bool:
        """Whether the COMMIT that reported this error took place. Goes on asking until the file answers."""
        attempt = 0
        while True:
            try:
                if self._con.in_transaction:
                    self._con.execute("ROLLBACK")
                point("log.settle")
                fresh = connect(self._path, read_only=True)
                try:
                    seq: int = fresh.execute("SELECT seq FROM meta").fetchone()[0]
                finally:
                    fresh.close()
                return seq > self.ledger.seq
            except (sqlite3.Error, OSError):
                if self._closing.is_set() and attempt >= len(SETTLE_WAITS_S):
                    raise LogUnavailable(
                        f"{self._path}: whether the last units are durable is not known ({error}); "
                        "the next start finds out"
                    ) from error
            self._closing.wait(SETTLE_WAITS_S[min(attempt, len(SETTLE_WAITS_S) - 1)])
            attempt += 1
