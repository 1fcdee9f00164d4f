"""What came of a salvage: what the new log holds, and what is missing from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from heartbeat.topics import ALL

_SUPERSEDED: Final = frozenset(topic.name for topic in ALL if topic.superseded_ms is not None)
"""What a newer message has replaced is taken out of these, so they have gaps of their own."""


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
