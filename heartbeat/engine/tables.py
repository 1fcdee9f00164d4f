"""Tables of agents, from one place: in memory with a changelog, and on disk.

A table is written by one agent, and a row of it by one partition of that agent. Changes are staged in the unit whose
handler makes them, and undone with it.
"""

from heartbeat.engine.disk_table import DiskPart, DiskTable
from heartbeat.engine.memory_table import CheckedPart, MemoryPart, MemoryTable
from heartbeat.engine.table_base import TableCodec, TableMisuse, json_codec

__all__ = [
    "CheckedPart",
    "DiskPart",
    "DiskTable",
    "MemoryPart",
    "MemoryTable",
    "TableCodec",
    "TableMisuse",
    "json_codec",
]
