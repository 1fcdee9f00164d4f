"""Rare changes of the embedded log: topics, consumer groups, schemas. Work for the writer (`sqlite_writer.Task`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from heartbeat.engine.sqlite_ledger import Ledger, load
from heartbeat.engine.sqlite_writer import Work
from heartbeat.errors import LogError
from heartbeat.topics import Topic


def create_topic(topic: Topic, partitions: int) -> Work[None]:
    """Declare a topic, or take over what changed about one that exists; its partitions stay as they are."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], None]:
        known = ledger.topics.get(topic.name)
        kept = (topic.retention_ms, topic.compact, topic.holds_content)
        if known is not None:
            if known.compact != topic.compact:
                raise LogError(f"{topic.name}: a topic cannot change between compact and not; give it another name")
            con.execute(
                "UPDATE topics SET retention_ms = ?, compact = ?, holds_content = ? WHERE id = ?", (*kept, known.id)
            )
            return _renewed(con)
        number = con.execute(
            "INSERT INTO topics(name, partitions, retention_ms, compact, holds_content) VALUES (?, ?, ?, ?, ?)",
            (topic.name, partitions, *kept),
        ).lastrowid
        rows = [(number, partition) for partition in range(partitions)]
        con.executemany("INSERT INTO partitions(topic, number, next, bytes) VALUES (?, ?, 0, 0)", rows)
        return _renewed(con)

    return work


def register_group(group: str, topic: str) -> Work[None]:
    """Let retention wait for a consumer group."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], None]:
        con.execute("INSERT OR IGNORE INTO consumers VALUES (?, ?)", (ledger.topics[topic].id, group))
        return _renewed(con)

    return work


def forget_group(group: str, topic: str) -> Work[None]:
    """Undo that, and forget where the group stood."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], None]:
        number = ledger.topics[topic].id
        con.execute("DELETE FROM consumers WHERE topic = ? AND consumer = ?", (number, group))
        con.execute(
            "DELETE FROM commits WHERE consumer = ? AND slot IN (SELECT slot FROM partitions WHERE topic = ?)",
            (group, number),
        )
        return _renewed(con)

    return work


def empty(topic: str) -> Work[None]:
    """Remove all rows of a compact topic, as if each had been deleted."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], None]:
        number = ledger.topics[topic].id
        con.execute("DELETE FROM latest WHERE slot IN (SELECT slot FROM partitions WHERE topic = ?)", (number,))
        con.execute("UPDATE partitions SET bytes = 0 WHERE topic = ?", (number,))
        return _renewed(con)

    return work


def register_schema(subject: str, schema: str) -> Work[int]:
    """The schema's number under this subject; a new one if it is new."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], int]:
        con.execute("INSERT OR IGNORE INTO schemas(subject, schema) VALUES (?, ?)", (subject, schema))
        found = con.execute("SELECT id FROM schemas WHERE subject = ? AND schema = ?", (subject, schema)).fetchone()
        return lambda _: int(found[0])

    return work


def _renewed(con: sqlite3.Connection) -> Callable[[Ledger], None]:
    """Read the ledger again, inside the transaction, to be taken over once that is durable."""
    renewed = load(con)

    def take_over(ledger: Ledger) -> None:
        renewed.seq = ledger.seq
        for name in Ledger.__slots__:
            setattr(ledger, name, getattr(renewed, name))

    return take_over
