"""A unit of work: what one call of a handler leads to, and how to undo it.

A unit is open while its handler runs. Then it is sealed into a `UnitWrite`, or rolled back; a sealed unit can still be
rolled back when its write does not become durable. The units of one partition are rolled back newest first, which is
what makes undoing by references to old values exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol

from heartbeat.engine.log import TP, Advance, Append, Put, UnitWrite
from heartbeat.errors import UnknownTopic
from heartbeat.records import Record
from heartbeat.topics import Topic

current: ContextVar[Unit | None] = ContextVar("unit", default=None)
"""The unit whose handler is running in this context; also seen by tasks that the handler starts."""

_append: Final = partial(tuple.__new__, Append)


class StagedPart(Protocol):
    """A table's partition, as a unit sees it. `undo` maps each changed key to what it was before the unit."""

    def seal(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """Add to the unit what has to be written for these keys."""
        ...

    def rollback(self, undo: dict[Any, Any]) -> None:
        """Put back what was there before."""
        ...

    def durable(self, unit: Unit, undo: dict[Any, Any]) -> None:
        """The unit's write is durable."""
        ...


class Unit:
    """Collects what becomes durable together with one step of a partition's offset.

    Attributes:
        agent: the agent's name: only its tables may be changed.
        group: the consumer group whose offset it moves.
        tp: the input partition.
        start: where the group stands before the unit (None: has never committed).
        end: where it stands after it; equal to `start` for a tick.
        messages: how many messages it covers, dead letters included.
        dead: how many of them go to dead letters.
        aside: how many letters there are that do not count for the breaker: its handler's own (`set_aside`), and of
            messages that were given back.
        encode: between records and bytes.
        partitions: how many each topic has.
        appends: outputs, in the order of their emission, then changelog rows.
        write: what the log is asked to make durable, once sealed.
        is_durable: whether its write is known to be durable.
    """

    __slots__ = (
        "_changes",
        "_open",
        "agent",
        "appends",
        "aside",
        "dead",
        "encode",
        "end",
        "group",
        "is_durable",
        "messages",
        "partitions",
        "puts",
        "start",
        "tp",
        "write",
    )

    def __init__(
        self,
        agent: str,
        group: str,
        tp: TP,
        start: int | None,
        end: int,
        *,
        encode: Callable[[Record], bytes],
        partitions: Mapping[str, int],
        messages: int = 0,
    ) -> None:
        self.agent, self.group, self.tp, self.start, self.end = agent, group, tp, start, end
        self.messages, self.dead, self.aside = messages, 0, 0
        self.appends: list[Append] = []
        self.puts: list[Put] = []
        self.is_durable = False
        self._open = True
        self.encode, self.partitions = encode, partitions
        self._changes: dict[StagedPart, dict[Any, Any]] = {}

    @property
    def is_open(self) -> bool:
        """Whether its handler may still add to it."""
        return self._open

    def emit(self, topic: Topic, value: Record, *, key: str, partition: int) -> None:
        """Collect an output; encoded at once, so that a value that cannot be written fails the handler.

        Raises:
            UnencodableRecord: the value does not fit its schema.
            UnknownTopic: there is no such topic or partition.
            RuntimeError: the handler has returned already.
        """
        name = topic.name
        if not self._open:
            raise RuntimeError(f"{self.agent} emitted to {name} after its handler had returned")
        if not 0 <= partition < self.partitions[name]:
            raise UnknownTopic(f"{name} has {self.partitions[name]} partitions, none is numbered {partition}")
        self.appends.append(_append((name, partition, key.encode(), self.encode(value), ())))

    def changes_of(self, part: StagedPart) -> dict[Any, Any]:
        """What the unit has to remember of a partition's keys; made at the first change."""
        undo = self._changes.get(part)
        if undo is None:
            undo = self._changes[part] = {}
        return undo

    def seal(self) -> None:
        """Close the unit and turn it into `write`, changed table rows included."""
        self._open = False
        for part, undo in self._changes.items():
            part.seal(self, undo)
        self.write = UnitWrite(self.appends, (Advance(self.group, self.tp, self.start, self.end),), self.puts)

    def rollback(self) -> None:
        """Undo the changes of tables. Later units of the partition have to be rolled back before."""
        self._open = False
        for part, undo in self._changes.items():
            part.rollback(undo)
        self._changes.clear()

    def durable(self) -> None:
        """Take note that the write is durable; nothing can be undone any more."""
        self.is_durable = True
        for part, undo in self._changes.items():
            part.durable(self, undo)
        self._changes.clear()
