"""Rows of the embedded log: many with one statement, and each with a checksum.

`executemany` hands Python's lock over once a row; a writer beside a busy event loop may then wait for it at each.
Blocks of rows in one statement hand it over once a block. Block sizes are few, so that every statement stays prepared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, TypeVar
from zlib import crc32

T = TypeVar("T")

_PRIME: Final = 4_294_967_291

_BLOCKS: Final = (128, 32, 8, 1)
_IN_BLOCKS: Final = (512, 64, 8)


def checksum(number: int, other: int, content: bytes) -> int:
    """A row's CRC-32: of its content and of the two numbers that say the most about it."""
    return crc32(content, (number * 1_000_003 + other) % _PRIME)


def insert(con: sqlite3.Connection, head: str, width: int, rows: Sequence[tuple[Any, ...]]) -> int:
    """Execute `head` (up to VALUES) for all rows of `width` columns; gives how many rows it changed."""
    changed, at = 0, 0
    row = f"({', '.join('?' * width)})"
    for block in _BLOCKS:
        statement = f"{head} {', '.join([row] * block)}"
        while len(rows) - at >= block:
            values = tuple(chain.from_iterable(rows[at : at + block]))
            changed += con.execute(statement, values).rowcount
            at += block
    return changed


def blocks(values: Sequence[T]) -> Iterator[tuple[str, tuple[T, ...]]]:
    """Placeholders and values for `… IN (…)`, some hundreds at a time; a short block repeats its last value."""
    at = 0
    while at < len(values):
        left = len(values) - at
        block = next((size for size in reversed(_IN_BLOCKS) if size >= left), _IN_BLOCKS[0])
        part = values[at : at + block]
        at += block
        yield _PLACES[block], (*part, *[part[-1]] * (block - len(part)))


_PLACES: Final = {block: ", ".join("?" * block) for block in _IN_BLOCKS}
