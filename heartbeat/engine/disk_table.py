"""Tables on disk: rows live in the log's state store, and are written in the unit itself.

What is staged but not durable yet lies in an overlay, as bytes; several units may be on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from heartbeat.engine.log import Log, Put, StateStore
from heartbeat.engine.table_base import Owned, TableCodec, TableMisuse
from heartbeat.engine.unit import Unit

K = TypeVar("K")
V = TypeVar("V")


class _Staged:
    """A value (None: removed) that is not durable yet, and the unit that brings it."""

    __slots__ = ("expires_ms", "unit", "value")

    def __init__(self, value: bytes | None, expires_ms: int | None, unit: Unit) -> None:
        self.value, self.expires_ms, self.unit = value, expires_ms, unit


class DiskPart(Generic[K, V]):
    """One partition of a `DiskTable`; see `agent.DiskTablePart`."""

    def __init__(self, table: DiskTable[K, V], partition: int) -> None:
        self._table, self._partition = table, partition
        self._overlay: dict[bytes, _Staged] = {}
        self._encode_key, self._decode_key = table.codec.encode_key, table.codec.decode_key
        self._encode, self._decode = table.codec.encode, table.codec.decode

    def get_many(self, keys: Sequence[K]) -> dict[K, V]:
        """The values of those keys that are there; one query for all."""
        encode_key, decode = self._encode_key, self._decode
        wanted = {encode_key(key): key for key in keys}
        found: dict[K, V] = {}
        ask: list[bytes]
        if self._overlay and not self._overlay.keys().isdisjoint(wanted):
            ask = []
            for raw, key in wanted.items():
                staged = self._overlay.get(raw)
                if staged is None:
                    ask.append(raw)
                elif staged.value is not None:
                    found[key] = decode(staged.value)
        else:
            ask = list(wanted)
        if ask:
            for raw, value in self._table.store.get_many(self._partition, ask).items():
                found[wanted[raw]] = decode(value)
        return found

    def put(self, key: K, value: V, *, expires_ms: int | None = None) -> None:
        """Stage a value; `expires_ms` is when `expired` begins to list it."""
        self._stage(self._encode_key(key), self._encode(value), expires_ms)

    def delete(self, key: K) -> None:
        """Stage a removal; a key that is not there is no error."""
        self._stage(self._encode_key(key), None, None)

    def expired(self, now_ms: int, limit: int) -> list[tuple[K, V]]:
        """At most `limit` pairs due at `now_ms`, as far as they are durable and not staged for change."""
        decode_key, decode, overlay = self._decode_key, self._decode, self._overlay
        due = self._table.store.expired(self._partition, now_ms, limit)
        return [(decode_key(raw), decode(value)) for raw, value in due if raw not in overlay]

    def _stage(self, raw: bytes, value: bytes | None, expires_ms: int | None) -> None:
        unit = self._table.unit(self._partition)
        undo = unit.changes_of(self)
        if raw not in undo:
            undo[raw] = self._overlay.get(raw)
        self._overlay[raw] = _Staged(value, expires_ms, unit)

    def seal(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """One put for each key that changed."""
        name, partition, overlay = self._table.name, self._partition, self._overlay
        for raw in undo:
            staged = overlay[raw]
            unit.puts.append(Put(name, partition, raw, staged.value, staged.expires_ms))

    def rollback(self, undo: dict[Any, Any]) -> None:
        """Take the staged values away; an older unit's that is still on its way comes back."""
        for raw, before in undo.items():
            if before is None or before.unit.is_durable:
                del self._overlay[raw]
            else:
                self._overlay[raw] = before

    def durable(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """The store has the values now."""
        overlay = self._overlay
        for raw in undo:
            if overlay[raw].unit is unit:
                del overlay[raw]


class DiskTable(Owned, Generic[K, V]):
    """A table on disk; see `agent.DiskTable`. It is there once its agent has been started (`bind`)."""

    def __init__(self, name: str, codec: TableCodec[K, V], *, help: str = "") -> None:
        super().__init__(name, help)
        self.codec = codec
        self._store: StateStore | None = None
        self._parts: dict[int, DiskPart[K, V]] = {}
        self._partitions = 0

    @property
    def store(self) -> StateStore:
        """Where the rows are.

        Raises:
            TableMisuse: the agent has not been started.
        """
        if self._store is None:
            raise TableMisuse(f"table {self.name} cannot be read before its agent has been started")
        return self._store

    def part(self, partition: int) -> DiskPart[K, V]:
        """The rows of one partition. Writing is possible only inside a unit of that partition."""
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = DiskPart(self, partition)
        return part

    def bind(self, agent: str, log: Log, partitions: int) -> None:
        """Give the table to its agent."""
        self.own(agent)
        self._store, self._partitions = log.state(self.name), partitions

    def __len__(self) -> int:
        return sum(self._store.count(partition) for partition in range(self._partitions)) if self._store else 0

    def stored(self, log: Log, partition: int) -> int:
        """How many rows `load` will read."""
        return 0

    async def load(self, log: Log, partition: int, progress: Callable[[int], None] | None = None) -> int:
        """Nothing has to be read; what was staged by units that never became durable is forgotten."""
        self._parts[partition] = DiskPart(self, partition)
        return 0
