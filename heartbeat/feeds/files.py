"""Replay files as streams of items with positions: plain, gzip or xz, told apart by their first bytes."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heartbeat.errors import BadPost, FeedUnreachable
from heartbeat.feeds.base import Rejected
from heartbeat.feeds.lines import parse_line
from heartbeat.records import Post

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_LINE: Final = 2**20
_KEPT_OF_LONG_LINE: Final = 2**16
_BUFFER: Final = 2**18
_SKIP_AT_ONCE: Final = 2**25
_CHUNK_BYTES: Final = 2**20
_DAMAGED: Final = -1
_BOM: Final = b"\xef\xbb\xbf"


class Position(NamedTuple):
    """A place in a file: bytes (after decompression) and lines before it, the newest time, and if a post stood there.

    An offset of −1 stands for the end of a file that turned out to be damaged.
    """

    offset: int = 0
    line: int = 0
    newest_ms: int | None = None
    found: bool = False

    @classmethod
    def of(cls, place: Sequence[Any]) -> Position:
        """The position that stands in a cursor; one of an earlier version does not say whether there was a post."""
        return cls(*place) if len(place) in (0, len(cls._fields)) else cls(*place)._replace(found=True)

    def trouble(self, path: Path) -> str | None:
        """What a person has to be told of a file that was read up to here, and has ended; None if all is well."""
        if self.offset == _DAMAGED:
            return f"{path} is damaged or cut short after line {self.line}: what was readable has been counted"
        if self.line and not self.found:
            return (
                f"{path}: not one of its lines is a post; a file for replay is UTF-8 and holds a JSON object a line "
                "(docs/replay-format.md)"
            )
        return None


class Item(NamedTuple):
    """A post or a rejected line, the time by which files are merged, and the position after it."""

    time_ms: int
    value: Post | Rejected
    after: Position


class _Pieces(io.RawIOBase):
    """A compressed file read as it comes, so that damage does not take the lines along that were read before it."""

    def __init__(self, file: gzip.GzipFile | lzma.LZMAFile) -> None:
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read at most once."""
        view = memoryview(buffer).cast("B")
        piece = self._file.read1(len(view))
        view[: len(piece)] = piece
        return len(piece)


class PostFile:
    """Reads one file. Not for several threads at once; every method may block."""

    def __init__(self, path: Path, feed: str, position: Position) -> None:
        self.path, self.position = path, position
        self.ended = position.offset == _DAMAGED
        self._feed = feed
        self._raw: io.BufferedReader | None = None
        self._stream: io.BufferedReader | None = None
        self._to_skip = 0

    def open(self) -> None:
        """Open the file; where it is compressed, `skip` has to be called until it says that the position is reached.

        Raises:
            FeedUnreachable: it cannot be opened.
        """
        if self.ended:
            return
        try:
            self._raw = self.path.open("rb")
            magic = self._raw.peek(6)[:6]
            if magic.startswith(b"\x1f\x8b"):
                # GzipFile and LZMAFile read lines in Python; a BufferedReader around them does it in C.
                self._stream = io.BufferedReader(_Pieces(gzip.GzipFile(fileobj=self._raw)), _BUFFER)
            elif magic == b"\xfd7zXZ\x00":
                self._stream = io.BufferedReader(_Pieces(lzma.LZMAFile(self._raw)), _BUFFER)  # noqa: SIM115 (`close` does)
            else:
                self._stream = self._raw
                self._raw.seek(self.position.offset)
                return
        except OSError as error:
            raise FeedUnreachable(f"{self.path} cannot be read: {error.strerror}") from error
        self._to_skip = self.position.offset

    def skip(self) -> bool:
        """Go on towards the position, for about a tenth of a second. Whether it is reached."""
        left = min(self._to_skip, _SKIP_AT_ONCE)
        self._to_skip -= left
        while left and self._stream is not None:
            read = self._stream.read(min(left, _BUFFER))
            if not read:
                break
            left -= len(read)
        return self._to_skip == 0

    def read(self, lines: int, received_ms: int) -> list[Item]:
        """The next items, about so many; none when the file is through.

        Raises:
            FeedUnreachable: the disk failed; a file that is damaged in itself ends with a rejected item instead.
        """
        items: list[Item] = []
        if self.ended or self._stream is None:
            return items
        readline, feed = self._stream.readline, self._feed
        offset, number, newest_ms, found = self.position
        most = offset + _CHUNK_BYTES
        try:
            while len(items) < lines and offset < most:
                raw = readline(LONGEST_LINE + 1)
                if not raw:
                    self.ended = True
                    break
                number += 1
                offset += len(raw)
                if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                    while (more := readline(_BUFFER)) and not more.endswith(b"\n"):
                        offset += len(more)
                    offset += len(more)
                    value: Post | Rejected = self._rejected(
                        raw[:_KEPT_OF_LONG_LINE],
                        f"is longer than {LONGEST_LINE:,} bytes; only its beginning is kept",
                        number,
                    )
                else:
                    line = raw.strip()
                    if number == 1:
                        line = line.removeprefix(_BOM)
                    if not line:
                        continue
                    try:
                        value = parse_line(line, feed, received_ms, newest_ms)
                    except BadPost as error:
                        value = self._rejected(raw, str(error), number)
                    else:
                        found = True
                        if value.op == "upsert" and (newest_ms is None or value.time_ms > newest_ms):
                            newest_ms = value.time_ms
                time_ms = value.time_ms if type(value) is Post else newest_ms or 0
                items.append(Item(time_ms, value, Position(offset, number, newest_ms, found)))
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
            reason = "the compressed file is damaged or cut short here; nothing after this line can be read"
            lost = self._rejected(b"", reason, number + 1)
            items.append(Item(newest_ms or 0, lost, Position(_DAMAGED, number, newest_ms, found)))
            self.ended = True
        except OSError as error:
            raise FeedUnreachable(f"{self.path} cannot be read on: {error.strerror}") from error
        self.position = items[-1].after if items and self.ended else Position(offset, number, newest_ms, found)
        return items

    def bytes_at(self, position: Position) -> int:
        """How far into the file itself a position is; in a compressed one, how far it has been read by now."""
        if self._raw is None or self._raw.closed or self._raw is self._stream:
            return position.offset
        return self._raw.tell()

    def close(self) -> None:
        """Let go of the file."""
        for stream in (self._stream, self._raw):
            if stream is not None:
                stream.close()

    def _rejected(self, raw: bytes, reason: str, line: int) -> Rejected:
        return Rejected(raw, reason, f"{self.path}:{line}")
