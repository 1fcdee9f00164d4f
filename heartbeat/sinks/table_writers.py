"""Tables as CSV, JSON lines or Parquet, written row by row in constant memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TypeAlias

import orjson

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "time"]
Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

ROWS_A_GROUP: Final = 20_000
"""Rows of a Parquet row group, and all that is ever in memory."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")


class Column(NamedTuple):
    """A column; a `time` is in ms since the epoch in rows, and RFC 3339 or a timestamp in files."""

    name: str
    kind: Kind


def rfc3339(ms: int) -> str:
    """`2025-11-22T10:00:00.000Z`; years beyond 1 to 9999, which the format does not know, carry their sign."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except OverflowError:
        years = 400 * (seconds // _CYCLE_S)  # the calendar repeats itself every 400 years
        date = _EPOCH + timedelta(seconds=seconds % _CYCLE_S)
        return f"{date.year + years:+05}{date:-%m-%dT%H:%M:%S}"


_CYCLE_S: Final = 146_097 * 86_400


def write_csv(
    out: BinaryIO, columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, spreadsheet: bool = False
) -> int:
    """UTF-8 with a header, lines ending in LF, nothing for None; gives the number of rows.

    Cells are exact, whatever they begin with: ids have to stay what they are. With `spreadsheet`, texts that a
    spreadsheet would take for a formula get an apostrophe before them.
    """
    buffer = io.StringIO()
    plain = csv.writer(buffer, lineterminator="\n")
    quoted = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow([column.name for column in columns])
    times = [at for at, column in enumerate(columns) if column.kind == "time"]
    booleans = [at for at, column in enumerate(columns) if column.kind == "boolean"]
    texts = [at for at, column in enumerate(columns) if column.kind == "text"]
    count = 0
    for block in _blocks(rows, 1_000):
        for row in block:
            cells = list(row)
            for at in times:
                cells[at] = rfc3339(cells[at])
            for at in booleans:
                cells[at] = "true" if cells[at] else "false"
            if spreadsheet:
                for at in texts:
                    if cells[at] and cells[at].startswith(_RISKY):
                        cells[at] = f"'{cells[at]}"
            # the writer takes a lone CR for no end of line, readers do
            (quoted if any("\r" in cells[at] for at in texts if cells[at]) else plain).writerow(cells)
        count += len(block)
        _pass_on(buffer, out)
    _pass_on(buffer, out)
    return count


def _pass_on(buffer: io.StringIO, out: BinaryIO) -> None:
    out.write(buffer.getvalue().encode())
    buffer.seek(0)
    buffer.truncate()


def write_jsonl(out: BinaryIO, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """An object a line; gives the number of rows."""
    names = [column.name for column in columns]
    times = [at for at, column in enumerate(columns) if column.kind == "time"]
    count = 0
    for block in _blocks(rows, 1_000):
        lines = []
        for row in block:
            cells = list(row)
            for at in times:
                cells[at] = rfc3339(cells[at])
            lines.append(orjson.dumps(dict(zip(names, cells, strict=True)), option=orjson.OPT_APPEND_NEWLINE))
        out.write(b"".join(lines))
        count += len(block)
    return count


def write_parquet(out: BinaryIO, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Times are timestamps in ms, UTC; gives the number of rows. `out` need not be seekable."""
    import pyarrow as arrow  # loaded when it is wanted: it takes longer than a small export
    import pyarrow.parquet as parquet

    types = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "time": arrow.timestamp("ms", tz="UTC"),
    }
    schema = arrow.schema([(column.name, types[column.kind]) for column in columns])
    count = 0
    with parquet.ParquetWriter(_Counting(out), schema) as writer:
        for block in _blocks(rows, ROWS_A_GROUP):
            cells = zip(*block, strict=True)
            arrays = [arrow.array(values, type=field.type) for values, field in zip(cells, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema), row_group_size=ROWS_A_GROUP)
            count += len(block)
    return count


class _Counting:
    """A file that only has to be able to write: a pipe cannot tell its position."""

    closed = False

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._at = out, 0

    def write(self, data: Any) -> int:
        # pyarrow's buffers have no length that a plain file would take
        view = memoryview(data)
        self._out.write(view)
        self._at += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _blocks(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    iterator = iter(rows)
    while block := list(islice(iterator, size)):
        yield block
