"""Reads rows of a SQLite file page by page, without SQLite: of a damaged file, whatever is whole.

SQLite reads from the root of a table down; where a page on the way is damaged, all below it is out of reach. Here each
page is looked at by itself: if it is a leaf with rows, they are read, wherever it hangs. Pages of the WAL that belong
to a finished transaction stand in the place of the file's.

The format is described at sqlite.org/fileformat2.html; names here are those used there.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

Value: TypeAlias = int | float | str | bytes | None
_TABLE_LEAF: Final = 0x0D
_INDEX_LEAF: Final = 0x0A
_INDEX_INTERIOR: Final = 0x02
_HEADER: Final = 100
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_LARGEST: Final = 2**30
"""No row is larger than this."""
_INT_SIZES: Final = (0, 1, 2, 3, 4, 6, 8)


class Row(NamedTuple):
    """A row as it lies in a page. `row_id` is None in an index and in a table without row ids."""

    row_id: int | None
    values: tuple[Value, ...]


class Pages:
    """A file and its WAL, to be closed again.

    Attributes:
        count: how many pages there are.
        unreadable: how many of those looked at so far should hold rows and cannot be read in full.
    """

    def __init__(self, path: Path, page_size: int = 4096) -> None:
        self._file = path.open("rb")
        self._size = page_size
        length = path.stat().st_size
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if length else None
        wal = path.with_name(f"{path.name}-wal")
        self._wal = wal.read_bytes() if wal.exists() else b""
        self._newer = self._frames()
        self.count = max(-(-length // page_size), *self._newer, 0) if self._newer else -(-length // page_size)
        self.unreadable = 0

    def close(self) -> None:
        """Close the file."""
        if self._map is not None:
            self._map.close()
        self._file.close()

    def _frames(self) -> dict[int, int]:
        """By page: where its newest version lies in the WAL, of transactions that were finished."""
        wal, step = self._wal, _FRAME_HEADER + self._size
        if len(wal) < _WAL_HEADER or wal[:3] != b"\x37\x7f\x06" or int.from_bytes(wal[8:12], "big") != self._size:
            return {}
        salts = wal[16:24]
        newest: dict[int, int] = {}
        begun: dict[int, int] = {}
        for at in range(_WAL_HEADER, len(wal) - step + 1, step):
            if wal[at + 8 : at + 16] != salts:
                break
            begun[int.from_bytes(wal[at : at + 4], "big")] = at + _FRAME_HEADER
            if int.from_bytes(wal[at + 4 : at + 8], "big"):
                newest.update(begun)
                begun.clear()
        return newest

    def page(self, number: int) -> bytes:
        """A page by its number, from 1; what is cut off is missing at its end."""
        at = self._newer.get(number)
        if at is not None:
            return self._wal[at : at + self._size]
        return b"" if self._map is None else self._map[(number - 1) * self._size : number * self._size]

    def is_whole_leaf(self, number: int) -> bool:
        """Whether a page holds a whole table without row ids, and every row of it can be read."""
        page = self.page(number) if 0 < number <= self.count else b""
        if not page or page[0] != _INDEX_LEAF:
            return False
        before = self.unreadable
        list(self._rows(number))
        return self.unreadable == before

    def rows(self) -> Iterator[Row]:
        """Every row that can be read. Some may be rubbish: who knows what they should look like has to see to that."""
        every = self._size // 5 + 1
        for number in range(1, self.count + 1):
            if (number - 2) % every:  # else it is a map of pointers
                yield from self._rows(number)

    def _rows(self, number: int) -> Iterator[Row]:
        page = self.page(number)
        start = _HEADER if number == 1 else 0
        if len(page) <= start or page[start] not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
            return
        kind = page[start]
        cells = int.from_bytes(page[start + 3 : start + 5], "big")
        pointers = start + (12 if kind == _INDEX_INTERIOR else 8)
        whole = len(page) == self._size and pointers + 2 * cells <= self._size
        for at in range(min(cells, (self._size - pointers) // 2)):
            place = pointers + 2 * at
            try:
                yield self._cell(page, int.from_bytes(page[place : place + 2], "big"), kind)
            except (IndexError, ValueError):
                whole = False
        self.unreadable += not whole

    def _cell(self, page: bytes, at: int, kind: int) -> Row:
        if kind == _INDEX_INTERIOR:
            at += 4
        length, at = _varint(page, at)
        row_id = None
        if kind == _TABLE_LEAF:
            row_id, at = _varint(page, at)
        return Row(row_id, _record(self._payload(page, at, length, kind)))

    def _payload(self, page: bytes, at: int, length: int, kind: int) -> bytes:
        """A cell's content, put together from the pages that it flows over to."""
        if length > _LARGEST:
            raise ValueError("too long")
        usable = self._size
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= most:
            local = length
        else:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (length - least) % (usable - 4)
            if local > most:
                local = least
        if at + local > len(page):
            raise ValueError("beyond the page")
        parts, left = [page[at : at + local]], length - local
        following = int.from_bytes(page[at + local : at + local + 4], "big") if left else 0
        while left:
            more = self.page(following) if 0 < following <= self.count else b""
            part = more[4 : 4 + min(left, usable - 4)]
            if not part:
                raise ValueError("cut off")
            parts.append(part)
            left -= len(part)
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to nine bytes, and where it ends."""
    value = 0
    for step in range(8):
        byte = data[at + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    value = value << 8 | data[at + 8]
    return (value - 2**64 if value >= 2**63 else value), at + 9


def _record(payload: bytes) -> tuple[Value, ...]:
    """The values of a record."""
    header, at = _varint(payload, 0)
    if header > len(payload):
        raise ValueError("no record")
    kinds = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    at = header
    for kind in kinds:
        value, size = _value(payload, at, kind)
        at += size
        if at > len(payload):
            raise ValueError("cut off")
        values.append(value)
    if at != len(payload):
        raise ValueError("longer than it says")
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, 0
    if kind <= 6:
        size = _INT_SIZES[kind]
        return int.from_bytes(payload[at : at + size], "big", signed=True), size
    if kind in (8, 9):
        return kind - 8, 0
    if kind < 12:
        raise ValueError("a kind of value that no table of ours has")
    size = (kind - 12) // 2
    content = payload[at : at + size]
    return (content.decode() if kind % 2 else content), size
