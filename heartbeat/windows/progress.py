"""How far a task is for good."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from heartbeat.records import BEFORE_TIME_MS
from heartbeat.windows.spans import Span, Spans


class Progress(NamedTuple):
    """How far a task is for good.

    Attributes:
        sealed_through_ms: windows that end at or before this take nothing any more; it never falls.
        late: posts that came for them.
        served: some feed has served it. (Of a task that no feed has named yet, the first heartbeat is on its way.)
        unit: in the row without a task only: the number of the newest unit.
        spans: the windows that its posts count in, where sizes have been changed while it had some.
        sizes: in the row without a task only: the sizes of the worker that wrote the newest unit, in seconds.
    """

    sealed_through_ms: int = BEFORE_TIME_MS
    late: int = 0
    served: bool = False
    unit: int = 0
    spans: Spans = ()
    sizes: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """The row of the changelog."""
        return orjson.dumps((*self[:4], [tuple(span) for span in self.spans], self.sizes))

    @classmethod
    def from_bytes(cls, row: bytes) -> Progress:
        """What gave these bytes."""
        sealed_through_ms, late, served, unit, *later = orjson.loads(row)
        spans, sizes = later or ((), ())  # rows of earlier versions knew of no change
        return cls(sealed_through_ms, late, served, unit, tuple(map(Span._make, spans)), tuple(sizes))


NO_PROGRESS: Final = Progress()
