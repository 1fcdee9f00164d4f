"""Makes a new log of what can be read of a damaged one, and says what is missing.

The damaged file is read page by page (`sqlite_pages`), never written to. A message, a live row of a compact topic and a
row of a state store carry checksums that cover their place as well, so each is known for what it is wherever it lies,
and rubbish is known for rubbish. The small tables (topics, where they end, how far each agent has read) have none: of
them is taken what fits together.

Where it is not known how far an agent has read, it goes on at the end: to read messages again would count them twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from heartbeat.engine import sqlite_schema
from heartbeat.engine.sqlite_integrity import is_chunk, is_latest, is_state
from heartbeat.engine.sqlite_pages import Pages, Row
from heartbeat.engine.sqlite_schema import OFFSET_BITS
from heartbeat.errors import LogDamaged
from heartbeat.topics import ALL, DAY_MS, Topic

_MOST: Final = 256
"""Partitions of a topic."""
_SUPERSEDED: Final = frozenset(topic.name for topic in ALL if topic.superseded_ms is not None)
"""What a newer message has replaced is taken out of these, so they have gaps of their own."""
Values: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages [first, last] of a partition that are not there. They were damaged, or erased on purpose."""

    topic: str
    partition: int
    first: int
    last: int


@dataclass(slots=True)
class Report:
    """What came of it.

    Attributes:
        pages: of the file, `unreadable` of which could not be read in full.
        messages: by topic, how many are there.
        rows: by state store, how many are there.
        gaps: messages that are not there, between others that are; or behind them, where the end is known.
        lost_rows: by state store, how many are not there, as far as that is known.
        lost_bytes: by compact topic, how much of its live messages is not there.
        unknown: where an agent stood is not known: (agent's group, topic, partition); it goes on at the end.
        nothing: partitions of which nothing is left; they begin anew.
        guessed: whether rows of the tables of topics, partitions or stores had to be put together from their indexes.
    """

    pages: int = 0
    unreadable: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    lost_rows: dict[str, int] = field(default_factory=dict)
    lost_bytes: dict[str, int] = field(default_factory=dict)
    unknown: list[tuple[str, str, int]] = field(default_factory=list)
    nothing: list[tuple[str, int]] = field(default_factory=list)
    guessed: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, as far as can be told."""
        return not (self.gaps or self.lost_rows or self.lost_bytes or self.unknown or self.nothing or self.guessed)


@dataclass(slots=True)
class _Small:
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


def salvage(damaged: Path, target: Path) -> Report:
    """Make the log `target`, which must not be there, of what is left of `damaged`.

    Raises:
        LogDamaged: nothing of a log can be read there.
        OSError: a file cannot be read or written.
        StartError: the new log cannot be made.
    """
    with closing(Pages(damaged)) as pages:
        small = _small(pages)
        report = Report(pages=pages.count)
        _complete(small, report)
        # where the whole table is one page that can be read, what is not in it never was
        small.all_commits = pages.is_whole_leaf(small.commits_root)
        if not small.partitions:
            raise LogDamaged(
                f"{damaged}: not even the table of its partitions can be read, so that no message can be given to a "
                "topic; restore a backup"
            )
        part = target.with_name(f"{target.name}.part")
        try:
            sqlite_schema.create(part)
            with closing(sqlite3.connect(part, isolation_level=None)) as con:
                con.execute("PRAGMA journal_mode = OFF").fetchall()  # it gets its name only once it is whole
                con.execute("BEGIN")
                pages.unreadable = 0
                _write_rows(con, pages, small)
                _write_small(con, small, report)
                con.execute("COMMIT")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        report.unreadable = pages.unreadable
    return report


def _small(pages: Pages) -> _Small:
    found = _Small()
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


def _complete(small: _Small, report: Report) -> None:
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


def _write_rows(con: sqlite3.Connection, pages: Pages, small: _Small) -> None:
    """Take over every message and row that is what was written."""
    compact = {number for number, values in small.topics.items() if values[3]}
    slots = {slot: values[0] in compact for slot, values in small.partitions.items()}
    for row in pages.rows():
        values = _whole(row)
        if values is None:
            continue
        if len(values) == 6:
            table, known = "chunks", slots.get(values[0] >> OFFSET_BITS) is False
        elif isinstance(values[2], bytes):
            table, known = "latest", slots.get(values[0] >> OFFSET_BITS) is True
        else:
            table, known = "state", values[1] in small.stores
        if known:
            con.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def _whole(row: Row) -> Values | None:
    if row.row_id is None or not row.values or row.values[0] is not None:
        return None
    values = (row.row_id, *row.values[1:])
    if len(values) == 6 and isinstance(values[5], bytes):
        return values if is_chunk(values) else None
    if len(values) == 7 and isinstance(values[6], bytes):
        return values if (is_latest(values) if isinstance(values[2], bytes) else is_state(values)) else None
    return None


def _write_small(con: sqlite3.Connection, small: _Small, report: Report) -> None:
    for number, values in small.topics.items():
        con.execute("INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?)", (number, *values))
        report.messages[values[0]] = 0
    for slot, (topic, partition, following, size) in sorted(small.partitions.items()):
        stored = small.topics[topic]
        low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
        if stored[3]:
            following, size = _of_latest(con, stored[0], low, high, following, size, report)
        else:
            commits = [offset for (_, at), offset in small.commits.items() if at == slot]
            following, size = _of_chunks(con, stored[0], partition, low, high, max([following, *commits]), report)
        con.execute("INSERT INTO partitions VALUES (?, ?, ?, ?, ?)", (slot, topic, partition, following, size))
        for number, group in sorted(small.consumers):
            if number == topic:
                offset = small.commits.get((group, slot))
                if offset is None and (small.all_commits or not following):
                    continue
                if offset is None:
                    report.unknown.append((group, stored[0], partition))
                stands = following if offset is None else min(offset, following)
                con.execute("INSERT INTO commits VALUES (?, ?, ?)", (group, slot, stands))
    for topic, group in small.consumers:
        con.execute("INSERT INTO consumers VALUES (?, ?)", (topic, group))
    for slot, (name, partition, rows) in small.stores.items():
        there = int(con.execute("SELECT count(*) FROM state WHERE slot = ?", (slot,)).fetchone()[0])
        con.execute("INSERT INTO stores VALUES (?, ?, ?, ?)", (slot, name, partition, there))
        report.rows[name] = report.rows.get(name, 0) + there
        if there < rows:
            report.lost_rows[name] = report.lost_rows.get(name, 0) + rows - there
    for number, schema in small.schemas.items():
        con.execute("INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)", (number, *schema))
    con.execute("UPDATE meta SET seq = ?", (small.seq,))


def _of_latest(
    con: sqlite3.Connection, topic: str, low: int, high: int, following: int, size: int, report: Report
) -> tuple[int, int]:
    last, count, there = con.execute(
        "SELECT max(id), count(*), total(length(key) + length(value) + coalesce(length(headers), 0)) FROM latest "
        "WHERE id >= ? AND id < ?",
        (low, high),
    ).fetchone()
    report.messages[topic] += count
    if int(there) < size:
        report.lost_bytes[topic] = report.lost_bytes.get(topic, 0) + size - int(there)
    return max(following, 0 if last is None else last - low + 1), int(there)


def _of_chunks(
    con: sqlite3.Connection, topic: str, partition: int, low: int, high: int, following: int, report: Report
) -> tuple[int, int]:
    size, expected = 0, None
    rows = con.execute("SELECT id, length, length(body) FROM chunks WHERE id >= ? AND id < ? ORDER BY id", (low, high))
    for row_id, length, body in rows:
        first = row_id - low
        if expected is not None and first > expected:
            report.gaps.append(Gap(topic, partition, expected, first - 1))
        expected = first + length
        report.messages[topic] += length
        size += body
    if expected is not None and expected < following:
        report.gaps.append(Gap(topic, partition, expected, following - 1))
    return max(following, expected or 0), size


def _by_partition(gaps: list[Gap]) -> list[tuple[tuple[str, int], list[Gap]]]:
    found: dict[tuple[str, int], list[Gap]] = {}
    for gap in gaps:
        found.setdefault((gap.topic, gap.partition), []).append(gap)
    return list(found.items())


def missing(report: Report) -> Iterator[str]:
    """What is missing, a line each, for people."""
    for (topic, partition), gaps in _by_partition(report.gaps):
        if topic in _SUPERSEDED and len(gaps) > 1:  # line by line, they would hide what is damaged elsewhere
            count = sum(gap.last - gap.first + 1 for gap in gaps)
            where = f"{count:,} messages in {len(gaps):,} places"
            yield f"{topic}/{partition}: {where} (replaced by newer ones, or damaged)"
            continue
        for gap in gaps:
            which = f"message {gap.first}" if gap.first == gap.last else f"messages {gap.first} to {gap.last}"
            earlier = "replaced by newer ones" if topic in _SUPERSEDED else "erased"
            yield f"{topic}/{partition}: {which} (damaged, or {earlier} earlier)"
    for name, count in report.lost_rows.items():
        yield f"state store {name}: {count:,} rows"
    for name, size in report.lost_bytes.items():
        yield f"{name}: {size:,} bytes of its live messages"
    for group, topic, partition in report.unknown:
        yield f"{topic}/{partition}: how far {group} had read; it goes on at the end"
    for topic, partition in report.nothing:
        yield f"{topic}/{partition}: everything; it begins anew"
    if report.guessed:
        yield "rows of the tables of topics, partitions or stores; they were put together from their indexes"


def as_object(report: Report) -> Mapping[str, Any]:
    """The report, for JSON."""
    return {
        "pages": report.pages,
        "unreadable_pages": report.unreadable,
        "messages": report.messages,
        "rows": report.rows,
        "gaps": [
            {"topic": gap.topic, "partition": gap.partition, "first": gap.first, "last": gap.last}
            for gap in report.gaps
        ],
        "lost_rows": report.lost_rows,
        "lost_bytes": report.lost_bytes,
        "unknown_offsets": [
            {"group": group, "topic": topic, "partition": partition} for group, topic, partition in report.unknown
        ],
        "lost_partitions": [{"topic": topic, "partition": partition} for topic, partition in report.nothing],
        "complete": report.complete,
    }
