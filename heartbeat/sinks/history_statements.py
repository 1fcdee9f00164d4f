"""Many rows in one statement, in both directions.

Python's sqlite3 gives up the interpreter's lock for every row that it writes or fetches, and takes it again. In a
thread beside a busy event loop each of these costs up to a switch interval (5 ms): `executemany` then writes 2,000
posts a second instead of 230,000. So rows go in as one `VALUES` list and come out as one JSON text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import orjson

MOST_ROWS: Final = 512
"""Rows of one statement: times 19 columns this stays below SQLite's limit of 32,766 parameters."""


def write_rows(connection: sqlite3.Connection, sql: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement for many rows; gives how many rows of the database it changed (triggers not counted).

    Args:
        connection: inside a transaction of its own thread.
        sql: has `VALUES ?` where the list of rows is to stand; their columns are called column1, column2, …
        rows: all of one width.
    """
    changed, at = 0, 0
    while at < len(rows):
        # powers of two, so that few different statements have to be prepared
        count = min(MOST_ROWS, 1 << ((len(rows) - at).bit_length() - 1))
        part = rows[at : at + count]
        cursor = connection.execute(_statement(sql, len(part[0]), count), tuple(chain.from_iterable(part)))
        changed += cursor.rowcount
        at += count
    return changed


def read_rows(connection: sqlite3.Connection, sql: str, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """What a query gives for many rows of parameters; `sql` selects `json_group_array(json_array(…))` alone."""
    found: list[list[Any]] = []
    for at in range(0, len(rows), MOST_ROWS):
        part = rows[at : at + MOST_ROWS]
        statement = _statement(sql, len(part[0]), len(part))
        found += orjson.loads(connection.execute(statement, tuple(chain.from_iterable(part))).fetchall()[0][0])
    return found


def read_page(connection: sqlite3.Connection, columns: str, query: str, parameters: Sequence[Any]) -> list[list[Any]]:
    """The rows of a query as lists, in its order. For integers, texts and NULL: JSON would round other numbers."""
    text = connection.execute(
        f"SELECT json_group_array(json_array({columns})) FROM (SELECT {columns} {query})", parameters
    ).fetchall()[0][0]
    rows: list[list[Any]] = orjson.loads(text)
    return rows


def distinct(connection: sqlite3.Connection, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The different values of a table's first key columns, in order, without reading its rows."""
    names, after = ", ".join(columns), ", ".join("?" * len(columns))
    found = connection.execute(f"SELECT {names} FROM {table} ORDER BY {names} LIMIT 1").fetchall()
    while found:
        yield found[0]
        found = connection.execute(
            f"SELECT {names} FROM {table} WHERE ({names}) > ({after}) ORDER BY {names} LIMIT 1", found[0]
        ).fetchall()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@lru_cache(maxsize=256)
def _statement(sql: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace("VALUES ?", f"VALUES {', '.join([row] * count)}")
