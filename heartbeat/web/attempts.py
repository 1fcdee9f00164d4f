"""How often a wrong token may be tried: by one address, and by all together."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from aiohttp import web

WITHIN_S: Final = 300.0
FROM_ONE: Final = 10
FROM_ALL: Final = 300
"""More than one address tries: then only those that have been right before are still listened to."""
KNOWN: Final = 256


class Attempts:
    """Remembers failures for five minutes, and addresses that were right.

    What it remembers is bounded: no more failures are taken in than `FROM_ALL` and `FROM_ONE` of each known address.

    Args:
        timer: seconds that only go forward.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._failed: dict[str, deque[float]] = {}
        self._all: deque[float] = deque()
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """How long this address has to wait before it is listened to; 0 if it need not."""
        now = self._timer()
        self._forget(now)
        own = self._failed.get(address)
        if own is not None and len(own) >= FROM_ONE:
            return math.ceil(own[0] + WITHIN_S - now)
        if len(self._all) >= FROM_ALL and address not in self._known:
            return math.ceil(self._all[0] + WITHIN_S - now)
        return 0

    def failed(self, address: str) -> None:
        """A wrong token came from there."""
        now = self._timer()
        self._failed.setdefault(address, deque()).append(now)
        self._all.append(now)

    def succeeded(self, address: str) -> None:
        """The right one did."""
        self._failed.pop(address, None)
        self._known[address] = None
        self._known.move_to_end(address)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _forget(self, now: float) -> None:
        before = now - WITHIN_S
        while self._all and self._all[0] <= before:
            self._all.popleft()
        for address, times in list(self._failed.items()):
            while times and times[0] <= before:
                times.popleft()
            if not times:
                del self._failed[address]


def address_of(request: web.Request) -> str:
    """Where a request comes from; of IPv6 the network, since whoever has one address there has them all.

    A proxy on this machine says for whom it asks, in the last place of X-Forwarded-For. From elsewhere that header is
    anybody's word, and is not listened to.
    """
    peer = _parsed(request.remote or "")
    if peer is None or not peer.is_loopback:
        return _shown(peer)
    said = ",".join(request.headers.getall("X-Forwarded-For", [])).rpartition(",")[2].strip()
    return _shown(_parsed(said) or peer)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parsed(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _shown(address: _Address | None) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
