"""Which host is asked next, and when: in turn, more slowly the longer none of them brings anything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from heartbeat.feeds.jetstream_socket import Address

LONGEST_WAIT_S: Final = 60.0
FIRST_WAIT_S: Final = 0.5
_AT_ONCE: Final = 24


class Turns:
    """The hosts in turn. Used on the event loop.

    Args:
        hosts: addresses as in the setting `bluesky_hosts`; see `jetstream_socket.Address`.
        first_wait_s: before the second attempt in a row; doubles up to a minute, each time less up to a half by chance.
    """

    def __init__(self, hosts: Sequence[str], *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._addresses = [Address.of(host) for host in hosts]
        self._first_wait_s = first_wait_s
        self._turn = self._failures = 0
        self._not_before: dict[Address, float] = {}

    @property
    def address(self) -> Address:
        """Whose turn it is."""
        return self._addresses[self._turn % len(self._addresses)]

    def left(self, *, worked: bool, again: bool, another: bool, alone_s: float = 0.0) -> float:
        """A connection has ended, or there was none.

        Args:
            worked: it brought something new; then the same host is asked again, since others repeat more.
            again: it is to be asked once more at once.
            another: it is not to be asked again.
            alone_s: for so long it wants to be left alone.

        Returns:
            How long to wait (s) before the host is asked whose turn it is now.
        """
        now = asyncio.get_running_loop().time()
        self._not_before[self.address] = now + alone_s
        self._failures = 1 if worked else self._failures + 1
        if another or not (worked or again):
            self._turn += 1
        wait_s = 0.0
        if not again or self._failures > _AT_ONCE:
            wait_s = min(self._first_wait_s * 2 ** min(self._failures - 1, 16), LONGEST_WAIT_S)
            wait_s *= random.uniform(0.5, 1)
        return max(wait_s, self._choose(now))

    def _choose(self, now: float) -> float:
        """Pass over hosts that want to be left alone; how long to wait if all of them do."""
        count = len(self._addresses)
        following = [self._addresses[(self._turn + ahead) % count] for ahead in range(count)]
        waits = [max(self._not_before.get(address, now) - now, 0.0) for address in following]
        self._turn += waits.index(min(waits))
        return min(waits)
