"""How messages lie in the embedded log: packed, a run of one partition's messages in one row.

One row for each message would cost three times as much, most of it in handing Python's lock to and fro between the
writer's thread and the event loop, once a row. A chunk holds what one unit appended to one partition:

    lengths   little-endian int32: key, value (and headers, in a `headed` chunk) of each message; -1 stands for None,
              -2 for a message that was erased
    contents  the same parts, one after another; zeros where something was erased

SQLite has no checksums of its own, so each row carries one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence, Set
from functools import partial
from itertools import accumulate, chain, islice, repeat
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from heartbeat.engine.log import Append, Headers, LogRecord
from heartbeat.engine.sqlite_rows import checksum

MAX_MESSAGES: Final = 512
MAX_BYTES: Final = 512 * 1024
"""A chunk is read as a whole, so it is kept small; a single message may be larger."""

ERASED: Final = -2

_key_value = itemgetter(2, 3)
_headers = itemgetter(4)
_record = partial(tuple.__new__, LogRecord)


class Chunk(NamedTuple):
    """Messages of one partition that follow one another."""

    length: int
    headed: bool
    body: bytes


def seal(chunk: Chunk, row_id: int, timestamp_ms: int) -> int:
    """The checksum of a chunk in its place."""
    return checksum(row_id, timestamp_ms << 11 | chunk.length << 1 | chunk.headed, chunk.body)


def pack(messages: Sequence[Append] | Sequence[LogRecord]) -> Iterator[Chunk]:
    """Chunks of these messages, which are of one partition.

    Raises:
        TypeError: a key or value is neither bytes nor None.
    """
    for start in range(0, len(messages), MAX_MESSAGES):
        yield from _pack(messages[start : start + MAX_MESSAGES])


def _pack(messages: Sequence[Append] | Sequence[LogRecord]) -> Iterator[Chunk]:
    headed = any(map(_headers, messages))
    parts: list[bytes | None]
    if headed:
        parts = [part for m in messages for part in (m.key, m.value, pack_headers(m.headers))]
    else:
        parts = list(chain.from_iterable(map(_key_value, messages)))
    try:
        lengths = list(map(len, parts))  # type: ignore[arg-type]  # None is rare, and is seen to below
        contents = b"".join(parts)  # type: ignore[arg-type]
    except TypeError:
        lengths = [-1 if part is None else len(part) for part in parts]
        contents = b"".join([part for part in parts if part is not None])
    if len(contents) > MAX_BYTES and len(messages) > 1:
        half = len(messages) // 2
        yield from _pack(messages[:half])
        yield from _pack(messages[half:])
        return
    yield Chunk(len(messages), headed, struct.pack(f"<{len(lengths)}i", *lengths) + contents)


def keys(chunk: Chunk) -> list[bytes | None]:
    """The messages' keys alone."""
    width = 3 if chunk.headed else 2
    lengths: Sequence[int] = struct.unpack_from(f"<{width * chunk.length}i", chunk.body)
    begins = accumulate([max(length, 0) for length in lengths], initial=4 * len(lengths))
    wanted = zip(islice(begins, 0, None, width), lengths[::width], strict=False)
    return [None if length < 0 else chunk.body[begin : begin + length] for begin, length in wanted]


def unpack(chunk: Chunk, first: int, timestamp_ms: int) -> list[LogRecord]:
    """The messages of a chunk whose first offset is `first`, without those that were erased."""
    width = 3 if chunk.headed else 2
    lengths: Sequence[int] = struct.unpack_from(f"<{width * chunk.length}i", chunk.body)
    start = 4 * len(lengths)
    offsets = range(first, first + chunk.length)
    parts: list[bytes | None]
    if min(lengths) >= 0:
        ends = list(accumulate(lengths, initial=start))
        parts = list(map(chunk.body.__getitem__, map(slice, ends, ends[1:])))
    else:
        ends = list(accumulate((max(length, 0) for length in lengths), initial=start))
        parts = [
            None if length < 0 else chunk.body[begin : begin + length]
            for begin, length in zip(ends, lengths, strict=False)
        ]
    headers: Iterator[Headers] = map(unpack_headers, parts[2::3]) if chunk.headed else repeat(())
    records = list(
        map(_record, zip(offsets, repeat(timestamp_ms), parts[::width], parts[1::width], headers, strict=False))
    )
    if ERASED in lengths:
        return [record for record, length in zip(records, lengths[::width], strict=True) if length != ERASED]
    return records


def without(chunk: Chunk, erased: Set[int]) -> Chunk:
    """The same chunk, as long as it was, without the messages at these positions."""
    width = 3 if chunk.headed else 2
    lengths = list(struct.unpack_from(f"<{width * chunk.length}i", chunk.body))
    ends = list(accumulate((max(length, 0) for length in lengths), initial=4 * len(lengths)))
    kept = []
    for at, (begin, end) in enumerate(zip(ends, ends[1:], strict=False)):
        if at // width in erased:
            lengths[at] = ERASED
        else:
            kept.append(chunk.body[begin:end])
    body = struct.pack(f"<{len(lengths)}i", *lengths) + b"".join(kept)
    return chunk._replace(body=body.ljust(len(chunk.body), b"\0"))


def erased(chunk: Chunk) -> int:
    """How many of a chunk's messages have been erased; its lengths alone have to be there, not its contents."""
    width = 3 if chunk.headed else 2
    lengths: Sequence[int] = struct.unpack_from(f"<{width * chunk.length}i", chunk.body)
    return lengths[::width].count(ERASED)


def pack_headers(headers: Headers) -> bytes | None:
    """Headers as bytes; None for none."""
    if not headers:
        return None
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def unpack_headers(packed: bytes | None) -> Headers:
    """The headers that were packed."""
    if not packed:
        return ()
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(packed))
