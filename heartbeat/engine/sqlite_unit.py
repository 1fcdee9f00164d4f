"""A unit, made ready for the embedded log's writer: sorted by partition and packed, on the caller's thread.

So a unit that cannot be packed fails before it meets others, and the writer has little to do in Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from operator import itemgetter

from heartbeat.engine import sqlite_state
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.engine.sqlite_chunks import Chunk, pack, pack_headers
from heartbeat.engine.sqlite_group import Latest
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.errors import LogError

_tp = itemgetter(0, 1)


@dataclass(slots=True)
class Job:
    """A unit for the writer.

    Attributes:
        done: gets the appends' offsets.
        appends: as the unit has them.
        slots: of the partitions that they go to.
        chunks: messages by slot, of ordinary topics.
        latest: messages by slot, of compact topics, and how many offsets they take.
        advances: (group, slot, expected, to).
        size: about how many bytes it holds.
    """

    done: asyncio.Future[list[int]]
    timestamp_ms: int
    appends: Sequence[Append]
    slots: dict[tuple[str, int], int]
    chunks: dict[int, list[Chunk]]
    latest: dict[int, tuple[int, Latest]]
    advances: list[tuple[str, int, int | None, int]]
    changes: list[sqlite_state.Changes]
    size: int


def prepare(unit: UnitWrite, done: asyncio.Future[list[int]], ledger: Ledger, now_ms: int) -> Job:
    """Sort and pack it.

    Raises:
        UnknownTopic: it appends to or advances in a partition that was never declared.
        LogError: a message of a compact topic has no key.
        TypeError: a key or value is neither bytes nor None.
    """
    runs: dict[tuple[str, int], list[Append]] = {}
    for tp, run in groupby(unit.appends, _tp):
        if tp in runs:
            runs[tp].extend(run)
        else:
            runs[tp] = list(run)
    slots = {tp: ledger.slot(tp) for tp in runs}
    chunks: dict[int, list[Chunk]] = {}
    latest: dict[int, tuple[int, Latest]] = {}
    size = 0
    for tp, appends in runs.items():
        slot = slots[tp]
        if slot in ledger.compact:
            latest[slot] = len(appends), _newest(appends)
            size += sum(len(key) + len(row[2] or b"") for key, row in latest[slot][1].items())
        else:
            chunks[slot] = list(pack(appends))
            size += sum(len(chunk.body) for chunk in chunks[slot])
    advances = [(step.group, ledger.slot(step.tp), step.expected, step.to) for step in unit.advances]
    changes = sqlite_state.prepare(unit.puts) if unit.puts else []
    size += sum(len(put.key) + len(put.value or b"") for part in changes for put in part.newest.values())
    return Job(done, now_ms, unit.appends, slots, chunks, latest, advances, changes, size)


def _newest(appends: Iterable[Append]) -> Latest:
    """The last message of each key, in order."""
    newest: Latest = {}
    for position, message in enumerate(appends):
        if message.key is None:
            raise LogError(f"{message.topic} is compact: a message needs a key")
        newest.pop(message.key, None)
        newest[message.key] = (position, pack_headers(message.headers), message.value)
    return newest


def offsets(job: Job, firsts: Mapping[int, int]) -> list[int]:
    """The offsets of a job's appends in their order, given the first one in each slot."""
    if len(firsts) == 1:
        first = next(iter(firsts.values()))
        return list(range(first, first + len(job.appends)))
    following = {tp: count(firsts[slot]) for tp, slot in job.slots.items()}
    return [next(following[tp]) for tp in map(_tp, job.appends)]
