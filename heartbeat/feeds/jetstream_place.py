"""A place in Jetstream's stream: what the cursor of the feed `bluesky` holds.

Every host has a stream of its own, with the same events in about the same order. A time in microseconds is a place on
all of them, give or take how far they are apart; a number (v2) is one on the host that gave it, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import orjson

from heartbeat.feeds.jetstream_socket import Address

REWIND_US: Final = 5_000_000
"""Events may leave a host in an order that is not quite that of their times."""
REWIND_ELSEWHERE_US: Final = 120_000_000
"""Hosts see the same event at different times; one may be late by so much."""
_FIRST_STEP_US: Final = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Behind an event.

    Attributes:
        us: when the network saw it; None before the first.
        host: which host it came from.
        seq: its number there, if it has one.
        floor: on that host nothing before this cursor may be asked for: a frame that cannot be read lies there.
        tries: how often in a row that frame has been met.
        reached: how far the network's time has been followed on any host, but never beyond this machine's clock. What
            is repeated does not take it back, so connections that break early cannot lead ever further back.
    """

    us: int | None = None
    host: str = ""
    seq: int | None = None
    floor: int | None = None
    tries: int = 0
    reached: int | None = None

    @classmethod
    def read(cls, cursor: bytes | None) -> Place:
        """The place that a cursor of this feed names."""
        return cls(**orjson.loads(cursor)) if cursor else cls()

    def cursor(self) -> bytes:
        """The place as the feed's cursor."""
        return orjson.dumps(self)

    def asked_of(self, address: Address) -> int | None:
        """The cursor to ask a host for; None: from now on.

        It repeats a few seconds where places are times: what comes twice is known by its id.
        """
        if self.us is None:
            return None
        here = address.host == self.host
        if here and self.seq is not None and address.v2:
            return self.seq if self.floor is None else max(self.seq, self.floor)
        elsewhere = (self.us if self.reached is None else self.reached) - REWIND_ELSEWHERE_US
        cursor = max(self.us - REWIND_US, elsewhere) if here else elsewhere
        return cursor if self.floor is None or not here or self.floor < cursor else self.floor

    def past(self, address: Address, us: int, seq: int | None, now_us: int) -> Place:
        """Behind the next event, which has come now. A floor stays for as long as rewinding would reach below it."""
        floor = self.floor
        if floor is not None and (seq is not None or self.host != address.host or us - REWIND_US > floor):
            floor = None
        before = self.us if self.reached is None else self.reached
        reached = min(us, now_us) if before is None else max(before, min(us, now_us))
        return Place(us, address.host, seq, floor, reached=reached)

    def beyond(self, address: Address) -> Place:
        """Behind a frame that could not be read, and whose place is not known: each time twice as far.

        So at most as much is missed on its far side as lies between it and the event before it.
        """
        if self.us is None:  # from now on is behind it already
            return self
        seq = self.seq if self.host == address.host else None
        here, step = (self.us, _FIRST_STEP_US) if seq is None else (seq, 1)
        floor = max(here, self.floor or 0) + step * 2**self.tries
        return replace(self, host=address.host, seq=seq, floor=floor, tries=self.tries + 1)

    def without_number(self) -> Place:
        """The same place by its time alone: the host does not know the number any more."""
        return self if self.seq is None else replace(self, seq=None, floor=None)
