"""Tables in memory: a dict for each partition, recovered from a changelog.

A unit remembers references to the old values, and writes one changelog row for each key it changed, to the input's
partition of `NAME-changelog`. Hence values must never be changed in place; `checked=True` (the driver's default) finds
code that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from heartbeat.engine.log import TP, Append, Log
from heartbeat.engine.table_base import Owned, TableCodec, TableMisuse
from heartbeat.engine.unit import Unit, current
from heartbeat.errors import LogDamaged
from heartbeat.topics import Topic

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Final[Any] = object()
_ROWS_BETWEEN_YIELDS: Final = 2000


class MemoryPart(Generic[K, V]):
    """One partition of a `MemoryTable`; see `agent.TablePart`."""

    def __init__(self, table: MemoryTable[K, V], partition: int) -> None:
        self._table, self._partition = table, partition
        self._rows: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, or None."""
        return self._rows.get(key)

    def __setitem__(self, key: K, value: V) -> None:
        undo = self._table.unit(self._partition).changes_of(self)
        if key not in undo:
            undo[key] = self._rows.get(key, _MISSING)
        self._rows[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self._rows:
            raise KeyError(key)
        undo = self._table.unit(self._partition).changes_of(self)
        if key not in undo:
            undo[key] = self._rows[key]
        del self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> Iterator[tuple[K, V]]:
        """All pairs, in no order that could be relied on; the table may be changed while iterating."""
        for key in list(self._rows):
            value = self._rows.get(key, _MISSING)
            if value is not _MISSING:
                yield key, value

    def seal(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """One changelog row for each key that changed, however often it did."""
        codec, topic = self._table.codec, self._table.changelog.name
        for key, old in undo.items():
            value = self._rows.get(key, _MISSING)
            if value is old:
                continue  # as it was, or came and went within the unit
            row = None if value is _MISSING else codec.encode(value)
            unit.appends.append(Append(topic, self._partition, codec.encode_key(key), row))

    def rollback(self, undo: dict[Any, Any]) -> None:
        """Put back what was there before."""
        for key, old in undo.items():
            if old is _MISSING:
                self._rows.pop(key, None)
            else:
                self._rows[key] = old

    def durable(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """Nothing is left to do."""

    def replace_rows(self, rows: dict[K, V]) -> None:
        """Take over rows that were recovered."""
        self._rows = rows


class CheckedPart(MemoryPart[K, V]):
    """A partition that notices values changed in place: it compares their encodings at first touch and at the end."""

    def __init__(self, table: MemoryTable[K, V], partition: int) -> None:
        super().__init__(table, partition)
        self._seen: dict[K, tuple[V, bytes]] = {}
        self._seen_by: Unit | None = None

    def _touch(self, key: K) -> None:
        unit = current.get()
        if unit is None or not unit.is_open or unit.agent != self._table.owner or unit.tp.partition != self._partition:
            return
        if self._seen_by is not unit:
            self._seen, self._seen_by = {}, unit
            unit.changes_of(self)
        if key in self._rows and key not in self._seen:
            value = self._rows[key]
            self._seen[key] = value, self._table.codec.encode(value)

    def get(self, key: K) -> V | None:
        """The value, or None."""
        self._touch(key)
        return super().get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self._touch(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        self._touch(key)
        super().__delitem__(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """All pairs; each counts as touched."""
        for key, value in super().items():
            self._touch(key)
            yield key, value

    def seal(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """Compare, then write."""
        if self._seen_by is unit:
            for key, (value, before) in self._seen.items():
                if key in undo and undo[key] is not value:
                    continue  # the handler's own value of this very unit
                if self._table.codec.encode(value) != before:
                    raise TableMisuse(
                        f"a value of table {self._table.name} was changed in place: "
                        "take a copy, change that, put it back"
                    )
            self._seen = {}
        super().seal(unit, undo)


class MemoryTable(Owned, Generic[K, V]):
    """A table in memory with a changelog; see `agent.Table`.

    Args:
        name: the changelog is the compact topic `NAME-changelog`.
        codec: of keys and values.
        help: one line for people.
        checked: notice values that are changed in place (for tests: it encodes whatever is touched).
    """

    def __init__(self, name: str, codec: TableCodec[K, V], *, help: str = "", checked: bool = False) -> None:
        super().__init__(name, help)
        self.codec, self.checked = codec, checked
        self.changelog = Topic(f"{name}-changelog", retention_ms=None, compact=True)
        self._parts: dict[int, MemoryPart[K, V]] = {}

    def part(self, partition: int) -> MemoryPart[K, V]:
        """The rows of one partition. Writing is possible only inside a unit of that partition."""
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = (CheckedPart if self.checked else MemoryPart)(self, partition)
        return part

    def bind(self, agent: str, log: Log, partitions: int) -> None:
        """Give the table to its agent, with as many partitions as that agent's input has."""
        self.own(agent)
        log.create_topic(self.changelog, partitions)

    def stored(self, log: Log, partition: int) -> int:
        """How many rows `load` will read."""
        return log.count_latest(TP(self.changelog.name, partition))

    async def load(self, log: Log, partition: int, progress: Callable[[int], None] | None = None) -> int:
        """Recover one partition from its changelog; what was there before is replaced. Gives the number of rows.

        Args:
            log: where the changelog is.
            partition: of the table.
            progress: told now and then how many more rows have been read.

        Raises:
            LogDamaged: a row cannot be decoded.
        """
        decode_key, decode = self.codec.decode_key, self.codec.decode
        rows: dict[K, V] = {}
        for read, (_, _, key, value, _) in enumerate(log.latest(TP(self.changelog.name, partition)), 1):
            if value is not None and key is not None:
                try:
                    rows[decode_key(key)] = decode(value)
                except Exception as error:  # whatever the codec raises on bytes that are not its own
                    raise LogDamaged(
                        f"a row of {self.changelog.name}/{partition} cannot be read ({type(error).__name__})"
                    ) from error
            if not read % _ROWS_BETWEEN_YIELDS:
                if progress is not None:
                    progress(_ROWS_BETWEEN_YIELDS)
                await asyncio.sleep(0)
        if partition not in self._parts:
            self.part(partition)
        self._parts[partition].replace_rows(rows)
        return len(rows)

    def items(self) -> Iterator[tuple[K, V]]:
        """All pairs of all partitions: for pages, which may see what is not durable yet."""
        for part in list(self._parts.values()):
            yield from part.items()

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))
