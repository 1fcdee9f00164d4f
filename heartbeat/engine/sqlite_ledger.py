"""What the embedded log knows without reading the file: topics, where they end, who has read how far, how large.

The writer has it in memory, so that neither a check of an offset nor a look at how far a consumer lags costs a query.
It changes after a COMMIT only, so it holds what is durable and nothing else.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from heartbeat.engine.log import TP
from heartbeat.errors import UnknownTopic


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """A topic as the file knows it."""

    id: int
    name: str
    partitions: int
    retention_ms: int | None
    compact: bool
    holds_content: bool


@dataclass(slots=True)
class Ledger:
    """A copy of the file's small tables. A slot is the number of one topic's (or one store's) partition.

    Attributes:
        seq: the number of the last transaction.
        slots: by (topic, partition).
        places: the other way round: (number of the topic, partition) by slot.
        compact: the slots of compact topics.
        next: by slot, the offset of the next message.
        bytes: by slot, the size of the messages.
        commits: by (consumer group, slot), where the group stands.
        consumers: by topic, the groups that have to have read a message before it may go.
        stores: by (store, partition), the slot of a state store's partition.
        rows: by such a slot, how many keys there are.
    """

    seq: int = 0
    topics: dict[str, StoredTopic] = field(default_factory=dict)
    slots: dict[tuple[str, int], int] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    compact: set[int] = field(default_factory=set)
    next: dict[int, int] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)
    commits: dict[tuple[str, int], int] = field(default_factory=dict)
    consumers: dict[str, frozenset[str]] = field(default_factory=dict)
    stores: dict[tuple[str, int], int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)

    def slot(self, tp: TP | tuple[str, int]) -> int:
        """The slot of a topic's partition. Raises `UnknownTopic`."""
        slot = self.slots.get(tp)
        if slot is None:
            topic = self.topics.get(tp[0])
            if topic is None:
                raise UnknownTopic(f"no topic is called {tp[0]!r}; topics are declared with create_topic")
            raise UnknownTopic(f"{tp[0]} has the partitions 0 to {topic.partitions - 1}, not {tp[1]}")
        return slot

    def name(self, slot: int) -> str:
        """A slot's topic and partition, to be shown to a person."""
        return next((f"{topic}/{number}" for (topic, number), at in self.slots.items() if at == slot), f"slot {slot}")


def load(con: sqlite3.Connection) -> Ledger:
    """Read it from the file, in one snapshot."""
    own_transaction = not con.in_transaction
    if own_transaction:
        con.execute("BEGIN")
    try:
        ledger = Ledger(seq=con.execute("SELECT seq FROM meta").fetchone()[0])
        names = {}
        for row in con.execute("SELECT id, name, partitions, retention_ms, compact, holds_content FROM topics"):
            topic = StoredTopic(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]))
            ledger.topics[topic.name] = names[topic.id] = topic
        for slot, topic_id, number, following, size in con.execute(
            "SELECT slot, topic, number, next, bytes FROM partitions"
        ):
            topic = names[topic_id]
            ledger.slots[topic.name, number] = slot
            ledger.places[slot] = topic_id, number
            ledger.next[slot], ledger.bytes[slot] = following, size
            if topic.compact:
                ledger.compact.add(slot)
        for consumer, slot, offset in con.execute("SELECT consumer, slot, offset FROM commits"):
            ledger.commits[consumer, slot] = offset
        for topic_id, consumer in con.execute("SELECT topic, consumer FROM consumers"):
            name = names[topic_id].name
            ledger.consumers[name] = ledger.consumers.get(name, frozenset()) | {consumer}
        for slot, name, number, rows in con.execute("SELECT slot, name, number, rows FROM stores"):
            ledger.stores[name, number] = slot
            ledger.rows[slot] = rows
        return ledger
    finally:
        if own_transaction:
            con.execute("COMMIT")
