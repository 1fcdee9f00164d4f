"""The tables of the agent `influx`: windows to be written again, and what each window has been written with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Final, NamedTuple

import orjson

from heartbeat.agents.pulse_part import window_key_from_bytes, window_key_to_bytes
from heartbeat.engine.agent import DiskTable, Table
from heartbeat.engine.tables import DiskTable as OnDisk
from heartbeat.engine.tables import MemoryTable, TableCodec
from heartbeat.sinks.influx_lines import Names
from heartbeat.windows.ids import WindowKey

_HEAD: Final = Struct(">QBq")
WRITTEN: Final = "influx-written"
"""The store that is there where InfluxDB has ever been written to."""
AT_ONCE, FIRST, SECOND = 2, 1, 0
"""How many more times a window is written after the next."""


class Again(NamedTuple):
    """A window that may have been overwritten by a request of unknown outcome, and has to be written again.

    Attributes:
        life: the process that made the row; what another left counts as `AT_ONCE`.
        left: how many more times it is written after the next.
        due_ms: when it is next, by the clock.
        packed: its newest points, as lines.
    """

    life: int
    left: int
    due_ms: int
    packed: bytes

    @property
    def lines(self) -> list[str]:
        """Its newest points."""
        return zlib.decompress(self.packed).decode().split("\n")

    def to_bytes(self) -> bytes:
        """Its row."""
        return _HEAD.pack(self.life, self.left, self.due_ms) + self.packed

    @classmethod
    def from_bytes(cls, row: bytes) -> Again:
        """What gave these bytes."""
        life, left, due_ms = _HEAD.unpack_from(row)
        return cls(life, left, due_ms, row[_HEAD.size :])


def pack(lines: Sequence[str]) -> bytes:
    """A window's points for its row: they are much alike, so little is left of them."""
    return zlib.compress("\n".join(lines).encode(), 1)


class Written(NamedTuple):
    """What a window has been written with: what is gone of it later has to be written as zeros."""

    names: Names
    at_ms: int

    def to_bytes(self) -> bytes:
        """Its row."""
        return orjson.dumps((*self.names, self.at_ms))

    @classmethod
    def from_bytes(cls, row: bytes) -> Written:
        """What gave these bytes."""
        langs, sources, models, at_ms = orjson.loads(row)
        return cls(Names(tuple(langs), tuple(sources), tuple(models)), at_ms)


@dataclass(frozen=True, slots=True)
class InfluxTables:
    """The tables that `influx` alone writes.

    Attributes:
        again: windows that have to be written again after a request of unknown outcome.
        written: names that each window was written with, kept for as long as it may change.
    """

    AGAIN_CHANGELOG: ClassVar[str] = "influx-again-changelog"

    again: Table[WindowKey, Again]
    written: DiskTable[WindowKey, Written]

    @classmethod
    def made(cls) -> InfluxTables:
        """The tables `influx-again` (in memory, with its changelog) and `influx-written` (on disk)."""
        key = window_key_to_bytes, window_key_from_bytes
        return cls(
            MemoryTable(
                "influx-again",
                TableCodec(*key, Again.to_bytes, Again.from_bytes),
                help="windows that are written to InfluxDB again, after requests of unknown outcome",
            ),
            OnDisk(
                WRITTEN,
                TableCodec(*key, Written.to_bytes, Written.from_bytes),
                help="the languages, sources and models that each window was written to InfluxDB with",
            ),
        )

    def all(self) -> tuple[Any, ...]:
        """All of them."""
        return self.again, self.written
