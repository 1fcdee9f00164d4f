"""Bluesky, live and without a key: every public post of the network, by way of Jetstream.

Several hosts are tried in turn. What a host has delivered, and up to where, becomes durable together; so after any
crash or drop the feed goes on where it stood, on whichever host answers.

**Times.** A post was *received* when the network saw it (Jetstream's own time of the event), not when it reached this
machine: so after an hour without a connection posts keep their times, and what they count in is a function of the
events alone. What an author's programme says of the time is held against that.

**States.** Caught up: an event was seen to be younger than half of the grace. Behind: connected, but not so. Else
disconnected. What is quiet is not taken for caught up at once: a host may search for an old cursor in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from heartbeat.clock import Clock
from heartbeat.errors import BadPost, FeedUnreachable
from heartbeat.feeds.base import Delivery, FeedState, Rejected, Unheard
from heartbeat.feeds.jetstream_events import AheadOfClock, HostError
from heartbeat.feeds.jetstream_place import Place
from heartbeat.feeds.jetstream_socket import (
    CURSOR_ERRORS,
    LARGEST_READ,
    PING_AFTER_S,
    Address,
    CursorRefused,
    FrameTooLarge,
    Socket,
    TryLater,
    connected,
)
from heartbeat.feeds.jetstream_turns import FIRST_WAIT_S, Turns
from heartbeat.records import Post

logger = logging.getLogger(__name__)

_AHEAD_US: Final = 900_000_000
"""How far the clocks of hosts may be ahead of ours."""
_MOST_AHEAD: Final = 20
"""So many events in a row that are further ahead are no rubbish: the host's clock is wrong, or this machine's."""
_LEAST_GRACE_MS: Final = 4000
"""Events are a second or two on their way: with a shorter grace the feed would never be caught up."""
_RECENT_MS: Final = 120_000
_QUIET_S: Final = (10.0, 60.0)
"""How long a host has to be silent until it is taken for caught up: from a recent place, from an older one."""
_STALLED_S: Final = 120.0
"""The network is never silent for so long: the next host, or the next connection, may hear more."""
_GAP_US: Final = 60_000_000
_LETTER_BYTES: Final = 65_536


class BlueskyFeed:
    """See the module. Has to be opened on the event loop.

    Args:
        hosts, first_wait_s: see `jetstream_turns.Turns`.
        clock: for lag, and for times in messages; waits are measured on the event loop.
        grace_ms: how far the watermark stays behind.
        ping_after_s: of silence.
    """

    name = "bluesky"
    live = True
    knows_authors = True

    def __init__(
        self,
        hosts: Sequence[str],
        clock: Clock,
        *,
        grace_ms: int,
        first_wait_s: float = FIRST_WAIT_S,
        ping_after_s: float = PING_AFTER_S,
    ) -> None:
        self._turns = Turns(hosts, first_wait_s=first_wait_s)
        self._clock, self._grace_ms, self._ping_after_s = clock, grace_ms, ping_after_s

    async def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
        """See `base.Feed`. The cursor is a `Place`."""
        session = _Session(Place.read(cursor), self._clock, self._grace_ms, self._ping_after_s, self.name)
        while True:
            address = self._turns.address
            before, again, another, alone_s = session.place.reached, False, False, 0.0
            try:
                async with aclosing(session.follow(address)) as deliveries:
                    async for delivery in deliveries:
                        yield delivery
                why, another = f"{address.host} is silent", True
                session.place = session.place.without_number()  # it may count anew, and wait for that number
            except FrameTooLarge as error:
                why, again = f"{address.host} {error}", True
                yield session.skip(address)
            except CursorRefused as error:
                why, again = f"{address.host} {error}", True
                session.refused(address)
            except FeedUnreachable as error:
                why = f"{address.host} {error}"
                alone_s = error.after_s if isinstance(error, TryLater) else 0.0
            worked = session.place.reached != before
            wait_s = self._turns.left(worked=worked, again=again, another=another, alone_s=alone_s)
            at = datetime.fromtimestamp(self._clock.now_ms() / 1000 + wait_s, UTC)
            yield session.delivery((), (), FeedState.DISCONNECTED, f"{why}; next try at {at:%H:%M:%S} UTC")
            await asyncio.sleep(wait_s)


class _Session:
    """What one life of the feed knows: where it stands, over all connections."""

    def __init__(self, place: Place, clock: Clock, grace_ms: int, ping_after_s: float, feed: str) -> None:
        self.place = place
        self._clock, self._grace_ms, self._ping_after_s, self._feed = clock, grace_ms, ping_after_s, feed
        self._caught_up = False
        self._from_now_on = False
        self._fresh = True
        self._last_word: FeedUnreachable | None = None
        self._ahead: list[Rejected] = []
        self._note = ""

    async def follow(self, address: Address) -> AsyncGenerator[Delivery, None]:
        """Deliver what one connection brings. Ends where it brings nothing for longer than the network is silent.

        Raises:
            FeedUnreachable: there is no connection, or no more.
        """
        cursor = None if self._from_now_on else self.place.asked_of(address)
        async with connected(address, cursor, ping_after_s=self._ping_after_s) as socket:
            self._from_now_on, self._last_word, self._ahead = False, None, []
            self._caught_up, self._fresh = cursor is None, True
            yield self.delivery((), (), self._state, self._note)
            async for frames in self._frames(socket):
                if frames:
                    yield self._read(address, frames)
                    if self._last_word is not None:
                        raise self._last_word
                elif not self._caught_up:
                    self._caught_up = True
                    yield self.delivery((), (), self._state, self._note)

    async def _frames(self, socket: Socket) -> AsyncGenerator[Sequence[bytes], None]:
        """What a connection brings; nothing, where it was silent for long enough to be taken for caught up."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            frames = await socket.take()
            if frames:
                yield frames
                heard_at = loop.time()  # not before: while nobody wanted more, none could come
                continue
            silent_s = loop.time() - heard_at
            us = self.place.us
            recent = us is not None and self._clock.now_ms() - us // 1000 < _RECENT_MS
            if silent_s >= _QUIET_S[0 if recent else 1]:
                yield ()
            if silent_s >= _STALLED_S:
                return

    def _read(self, address: Address, frames: Sequence[bytes]) -> Delivery:
        """What some frames say."""
        posts: list[Post] = []
        rejected: list[Rejected] = []
        parse, place, feed = address.parse, self.place, self._feed
        now_us = self._clock.now_ms() * 1000
        latest_us = now_us + _AHEAD_US
        us, seq, moved = place.us, None, False
        unheard: Unheard | None = None
        for frame in frames:
            try:
                event_us, event_seq, post, told = parse(frame, feed, latest_us)
            except BadPost as error:
                where = f"{address.host} after {us if seq is None else seq}"
                cut = f" ({len(frame):,} bytes, of which the first are kept)" if len(frame) > _LETTER_BYTES else ""
                letters = self._ahead if isinstance(error, AheadOfClock) else rejected
                letters.append(Rejected(frame[:_LETTER_BYTES], f"{error}{cut}", where))
                if len(self._ahead) < _MOST_AHEAD:
                    continue
                self._last_word = FeedUnreachable("is ahead of this machine's clock; one of the two is wrong")
                break
            except HostError as error:
                known = CURSOR_ERRORS.get(error.name)
                self._last_word = error if known is None else CursorRefused(known)
                break
            if event_us is not None:
                if self._ahead:  # what follows is in time: those were rubbish
                    rejected += self._ahead
                    self._ahead = []
                if self._fresh:
                    self._fresh = False
                    if us is not None and event_us - us > _GAP_US:
                        unheard = self._gap(address, us, event_us)
                us, seq, moved = event_us, event_seq, True
            if post is not None:
                posts.append(post)
            if told:
                logger.info("%s: %s says %s", feed, address.host, told)
        if us is not None and moved:
            self.place = place.past(address, us, seq, now_us)
            lag_ms = self._clock.now_ms() - us // 1000
            grace_ms = max(self._grace_ms, _LEAST_GRACE_MS)
            self._caught_up = lag_ms <= (grace_ms if self._caught_up else grace_ms / 2)
        return self.delivery(posts, rejected, self._state, self._note, unheard)

    @property
    def _state(self) -> FeedState:
        return FeedState.CAUGHT_UP if self._caught_up else FeedState.BEHIND

    def delivery(
        self,
        posts: Sequence[Post],
        rejected: Sequence[Rejected],
        state: FeedState,
        why: str = "",
        unheard: Unheard | None = None,
    ) -> Delivery:
        """Some posts, and where the feed stands behind them."""
        us = self.place.us
        promised = us // 1000 - self._grace_ms if state is FeedState.BEHIND and us is not None else None
        return Delivery(posts, rejected, self.place.cursor(), promised, state, why, unheard)

    def skip(self, address: Address) -> Delivery:
        """Go beyond a frame that cannot be read; when it is met first, with a letter that says so."""
        place, self.place = self.place, self.place.beyond(address)
        letters = []
        if not place.tries:
            where = f"{address.host} after {place.us if place.seq is None else place.seq}"
            letters.append(Rejected(b"", f"a frame of more than {LARGEST_READ:,} bytes, which was not read", where))
        return self.delivery((), letters, FeedState.BEHIND, self._note)

    def refused(self, address: Address) -> None:
        """A host does not keep what lies at the cursor: by time it gives the oldest that it has, else what is new."""
        if self.place.seq is not None and self.place.host == address.host:
            self.place = self.place.without_number()
        else:
            self._from_now_on = True

    def _gap(self, address: Address, before_us: int, after_us: int) -> Unheard:
        """Nothing came of a time that is longer than the network is ever silent."""
        before, after = (datetime.fromtimestamp(us / 1e6, UTC) for us in (before_us, after_us))
        self._note = f"nothing came from {before:%Y-%m-%d %H:%M:%S} to {after:%Y-%m-%d %H:%M:%S} UTC"
        logger.warning("%s: %s by %s, which may not keep it any longer", self._feed, self._note, address.host)
        return Unheard(before_us // 1000, after_us // 1000)
