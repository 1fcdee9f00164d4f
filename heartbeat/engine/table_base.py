"""What tables in memory and on disk have in common: how rows become bytes, and who may change them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from heartbeat.engine.unit import Unit, current

K = TypeVar("K")
V = TypeVar("V")


class TableMisuse(RuntimeError):
    """A table was used against its contract: by a wrong agent or partition, outside a unit, or changed in place."""


@dataclass(frozen=True, slots=True)
class TableCodec(Generic[K, V]):
    """How keys and values become bytes; equal keys have to give equal bytes."""

    encode_key: Callable[[K], bytes]
    decode_key: Callable[[bytes], K]
    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]


def json_codec() -> TableCodec[str, Any]:
    """Keys as UTF-8, values as JSON (a tuple comes back as a list)."""
    return TableCodec(str.encode, bytes.decode, orjson.dumps, orjson.loads)


class Owned:
    """What both kinds know of their owner."""

    def __init__(self, name: str, help: str) -> None:
        self.name, self.help = name, help
        self.owner: str | None = None

    def own(self, agent: str) -> None:
        """Become this agent's.

        Raises:
            TableMisuse: it is another's.
        """
        if self.owner not in (None, agent):
            raise TableMisuse(f"table {self.name} is written by {self.owner}; {agent} cannot write it too")
        self.owner = agent

    def unit(self, partition: int) -> Unit:
        """The open unit that may change this partition.

        Raises:
            TableMisuse: there is none.
        """
        unit = current.get()
        if unit is None or not unit.is_open:
            raise TableMisuse(f"table {self.name} can only be changed while its agent's handler runs")
        if unit.agent != self.owner:
            raise TableMisuse(f"table {self.name} is written by {self.owner}, not by {unit.agent}")
        if unit.tp.partition != partition:
            raise TableMisuse(
                f"table {self.name}: a unit of partition {unit.tp.partition} cannot change partition {partition}"
            )
        return unit
