"""How far a task is for good."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from heartbeat.records import BEFORE_TIME_MS


class Progress(NamedTuple):
    """How far a task is for good.

    Attributes:
        sealed_through_ms: windows that end at or before this take nothing any more; it never falls.
        late: posts that came for them.
        served: some feed has served it. (Of a task that no feed has named yet, the first heartbeat is on its way.)
        unit: in the row without a task only: the number of the newest unit.
    """

    sealed_through_ms: int = BEFORE_TIME_MS
    late: int = 0
    served: bool = False
    unit: int = 0

    def to_bytes(self) -> bytes:
        """The row of the changelog."""
        return orjson.dumps(tuple(self))

    @classmethod
    def from_bytes(cls, row: bytes) -> Progress:
        """What gave these bytes."""
        return cls._make(orjson.loads(row))


NO_PROGRESS: Final = Progress()
