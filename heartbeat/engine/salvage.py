"""Makes a new log of what can be read of a damaged one, and says what is missing.

The damaged file is read page by page (`sqlite_pages`), never written to. A message, a live row of a compact topic and a
row of a state store carry checksums that cover their place as well, so each is known for what it is wherever it lies,
and rubbish is known for rubbish. The small tables (`salvage_tables`) have none: of them is taken what fits together.

Where it is not known how far an agent has read, it goes on at the end: to read messages again would count them twice.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from heartbeat.engine import sqlite_schema
from heartbeat.engine.salvage_report import Gap, Report
from heartbeat.engine.salvage_tables import SmallTables, Values, complete, small_tables
from heartbeat.engine.sqlite_integrity import is_chunk, is_latest, is_state
from heartbeat.engine.sqlite_pages import Pages, Row
from heartbeat.engine.sqlite_schema import OFFSET_BITS
from heartbeat.errors import LogDamaged


def salvage(damaged: Path, target: Path) -> Report:
    """Make the log `target`, which must not be there, of what is left of `damaged`.

    Raises:
        LogDamaged: nothing of a log can be read there.
        OSError: a file cannot be read or written.
        StartError: the new log cannot be made.
    """
    with closing(Pages(damaged)) as pages:
        small = small_tables(pages)
        report = Report(pages=pages.count)
        complete(small, report)
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


def _write_rows(con: sqlite3.Connection, pages: Pages, small: SmallTables) -> None:
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


def _write_small(con: sqlite3.Connection, small: SmallTables, report: Report) -> None:
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
