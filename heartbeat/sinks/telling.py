"""Tells places what has been forgotten, until each knows.

What they have to be told stands in the history's file (`history_untold`), written before anything is forgotten. So
`heartbeat forget` need not wait for a place that is away, and may be killed at any moment: whoever opens the history
next goes on. Places are told more than once, since a request of ours whose outcome is not known may take place later.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.errors import HeartbeatError
from heartbeat.health import HealthBoard, State
from heartbeat.sinks import history_untold
from heartbeat.sinks.history import History
from heartbeat.sinks.history_forgetting import Window
from heartbeat.sinks.history_untold import WHOLE_TASK, Untold
from heartbeat.sinks.places import Place

WINDOWS_AT_ONCE: Final = 200
LOOK_EVERY_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.1


class Pending(NamedTuple):
    """What a place has not been told yet, and why not."""

    place: str
    windows: int
    tasks: int
    why: str

    def __str__(self) -> str:
        counts = [(self.tasks, "task"), (self.windows, "window")]
        what = " and ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in counts if count)
        return f"{self.place} ({what}): {self.why}"


class Telling:
    """See the top of the module.

    Args:
        history: open whenever something is asked of this.
        places: who is told.
        clock: for when they are told again.
        board: told while one of them cannot be, under `forgetting/PLACE`.
    """

    def __init__(self, history: History, places: Sequence[Place], clock: Clock, board: HealthBoard) -> None:
        self._history, self._places, self._clock, self._board = history, places, clock, board
        self._held: Counter[Window] = Counter()
        self._failed: dict[str, str] = {}
        self._failures = 0
        self._woken = asyncio.Event()
        self.absent: Sequence[str] = ()
        """Places that know of windows of this history, but are not in the settings now: noted for when they are."""

    async def owe(self, windows: Sequence[Window]) -> Sequence[Window]:
        """Make durable that every place is to be told of these; none is before `release`.

        Args:
            windows: those that posts are going to be taken out of; with the size `WHOLE_TASK`, tasks.

        Returns:
            What has to be released; nothing where there is nobody to tell.

        Raises:
            HeartbeatError: the history cannot be written.
        """
        names = [*(place.name for place in self._places), *self.absent]
        if not names or not windows:
            return ()
        self._held.update(windows)  # before: a row that is there from earlier may be due
        try:
            await self._history.perform(lambda tables: history_untold.owe(tables, names, windows))
        except BaseException:
            self.release(windows)
            raise
        return windows

    def release(self, windows: Sequence[Window]) -> None:
        """The history is without what is forgotten, or nobody goes on with that here: places may be told."""
        self._held.subtract(windows)
        self._held = +self._held
        self._woken.set()

    async def run(self) -> None:
        """Tell places until cancelled."""
        pause_s = LOOK_EVERY_S
        while True:
            self._woken.clear()
            failures = self._failures
            left = await self.step()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if self._failures > failures else LOOK_EVERY_S
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause_s if left else None)

    async def step(self) -> bool:
        """Tell what is due; whether there is more, now or later."""
        try:
            rows = await self._history.perform(history_untold.read)
        except HeartbeatError:  # sink/history says what is wrong with it
            self._failures += 1
            return True
        for place in self._places:
            mine = [row for row in rows if row.place == place.name]
            try:
                for told, due in groupby(sorted(self._due(place, mine), key=_told), _told):
                    await self._tell(place, told, list(due))
            except HeartbeatError as error:
                self._failures += 1
                self._failed[place.name] = str(error)
                self._board.report(
                    f"forgetting/{place.name}",
                    State.WAITING,
                    f"it has still to be told of what was forgotten: {error}",
                    "it is told by itself",
                )
            else:
                if self._failed.pop(place.name, None) is not None:
                    self._board.report(f"forgetting/{place.name}", State.OK)
        names = {place.name for place in self._places}
        return any(row.place in names for row in rows)

    def _due(self, place: Place, rows: Sequence[Untold]) -> list[Untold]:
        """At once, too, if the clock has jumped back."""
        now_ms, longest_ms = self._clock.now_ms(), max(place.again_after_ms, default=0)
        return [row for row in rows if not self._held[row.window] and not now_ms < row.due_ms <= now_ms + longest_ms]

    async def _tell(self, place: Place, told: int, rows: Sequence[Untold]) -> None:
        """Tell a place of what it has been told equally often."""
        for row in rows:
            if row.size_s == WHOLE_TASK:
                await place.forget_task(row.task, row.start_ms)
                await self._note(place, told, [row])
        windows = [row for row in rows if row.size_s != WHOLE_TASK]
        for at in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[at : at + WINDOWS_AT_ONCE]
            await place.forget_windows([row.window for row in some])
            await self._note(place, told, some)

    async def _note(self, place: Place, told: int, rows: Sequence[Untold]) -> None:
        after_ms = place.again_after_ms
        again_ms = self._clock.now_ms() + after_ms[told] if told < len(after_ms) else None
        await self._history.perform(lambda tables: history_untold.note_told(tables, rows, again_ms))

    async def told(self, within_s: float) -> list[Pending]:
        """Wait until every place has been told once of all that is owed; what is still pending when that takes long.

        Waits no longer where telling has failed meanwhile: that is tried again by itself.
        """
        loop, failures = asyncio.get_running_loop(), self._failures
        until_s = loop.time() + within_s
        while True:
            rows = await self._history.perform(history_untold.read)
            left = [row for row in rows if not row.told and not self._held[row.window]]
            pending = [one for place in self._places if (one := self._pending(place, left)) is not None]
            if not pending or self._failures > failures or loop.time() >= until_s:
                return pending
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _pending(self, place: Place, left: Sequence[Untold]) -> Pending | None:
        sizes = [row.size_s for row in left if row.place == place.name]
        if not sizes:
            return None
        tasks = sizes.count(WHOLE_TASK)
        why = self._failed.get(place.name) or place.waits_for or "it is being told"
        return Pending(place.name, len(sizes) - tasks, tasks, why)


def _told(row: Untold) -> int:
    return row.told
