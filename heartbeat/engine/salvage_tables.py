"""The small tables of a damaged log: topics, where they end, how far each agent has read.

Their rows have no checksums, so they are known by their shape, and taken as far as they fit together. What is missing
of a table may still stand in its index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from heartbeat.engine.salvage_report import Report
from heartbeat.engine.sqlite_pages import Pages
from heartbeat.topics import ALL, DAY_MS, Topic

_MOST: Final = 256
"""Partitions of a topic."""
Values: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class SmallTables:
    """The small tables, as far as rows that look like theirs were found; and what their indexes know of them."""

    topics: dict[int, Values] = field(default_factory=dict)
    partitions: dict[int, Values] = field(default_factory=dict)
    consumers: set[tuple[int, str]] = field(default_factory=set)
    commits: dict[tuple[str, int], int] = field(default_factory=dict)
    stores: dict[int, Values] = field(default_factory=dict)
    schemas: dict[int, Values] = field(default_factory=dict)
    seq: int = 0
    compact_slots: set[int] = field(default_factory=set)
    commits_root: int = 0
    all_commits: bool = False
    names: dict[int, str] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    texts: dict[tuple[str, int], int] = field(default_factory=dict)
    """A commit is (group, slot, offset); in the index on stores stands (store, partition, slot)."""


def small_tables(pages: Pages) -> SmallTables:
    """Whatever rows look like theirs."""
    found = SmallTables()
    for row_id, values in pages.rows():
        match row_id, values:
            case None, (str(name), int(second), int(third)):
                found.texts[name, second] = third
            case None, (int(topic), str(name)):
                found.consumers.add((topic, name))
            case None, (str(name), int(number)):
                found.names[number] = name
            case None, (int(topic), int(number), int(slot)) if 0 <= number < _MOST:  # else: a state's hash or time
                found.places[slot] = topic, number
            case int(), (None, str(), int(count), int() | None, int(), int()) if count > 0:
                found.topics[row_id] = values[1:]
            case int(), (None, int(), int(), int(), int()) if min(v for v in values[1:] if isinstance(v, int)) >= 0:
                found.partitions[row_id] = values[1:]
            case int(), (None, str(), int(), int()):
                found.stores[row_id] = values[1:]
            case int(), (None, str(), str(schema)) if schema.startswith("{"):
                found.schemas[row_id] = values[1:]
            case int(), (None, int(slot), bytes(), int(), int(), _, bytes()):
                found.compact_slots.add(slot)
            case 1, (None, int(seq)):
                found.seq = seq
            case int(), ("table", "commits", "commits", int(root), str()):
                found.commits_root = root
    return found


def complete(small: SmallTables, report: Report) -> None:
    """Put together from indexes what is missing in their tables, and drop what fits nothing."""
    counts = [0, *(values[1] for values in small.topics.values())]
    for number in small.names.keys() - small.topics.keys():
        report.guessed = True
        name = small.names[number]
        compact = any(small.places.get(slot, (None, 0))[0] == number for slot in small.compact_slots)
        known = next((topic for topic in ALL if topic.name == name), None) or Topic(
            name, retention_ms=None if compact else DAY_MS, compact=compact or name.endswith("-changelog")
        )
        count = 1 + max((at for topic, at in small.places.values() if topic == number), default=0)
        count = max(count, *counts)
        small.topics[number] = (name, count, known.retention_ms, int(known.compact), int(known.holds_content))
    small.partitions = {
        slot: values
        for slot, values in small.partitions.items()
        if values[0] in small.topics and values[1] < small.topics[values[0]][1]
    }
    have = {values[:2] for values in small.partitions.values()}
    for slot, place in small.places.items():
        topic, number = place
        if slot not in small.partitions and place not in have and 0 <= number < small.topics.get(topic, ("", 0))[1]:
            report.guessed = True
            small.partitions[slot] = (*place, 0, 0)
    fresh = 1 + max([0, *small.partitions, *small.places])
    have = {values[:2] for values in small.partitions.values()}
    for topic, values in small.topics.items():
        for number in range(values[1]):
            if (topic, number) not in have:
                report.nothing.append((values[0], number))
                small.partitions[fresh] = (topic, number, 0, 0)
                fresh += 1
    small.consumers = {(topic, name) for topic, name in small.consumers if topic in small.topics}
    groups = {name for _, name in small.consumers}
    stores = {values[0] for values in small.stores.values()}
    for (name, second), third in small.texts.items():
        if name in groups or (stores and name not in stores):
            small.commits[name, second] = third
        elif third not in small.stores and 0 <= second < _MOST:
            report.guessed = True
            small.stores[third] = (name, second, 0)
