"""Faults on demand: makes a worker die or fail at the points named in `heartbeat.engine.faults.POINTS`.

    HEARTBEAT_FAULTS=log.commit:kill:@3 python -m heartbeat.testing.faults worker

runs the true `heartbeat` command and kills it at the third transaction, before its COMMIT. Faults are parted by commas:

    POINT:ACTION[:WHEN]    ACTION  kill      SIGKILL, on the spot
                                   killsoon  SIGKILL some 0 to 500 µs later: inside of what comes next
                                   fail      an I/O error
                                   full      the error of a full disk
                                   lie       an error for what was done all the same (after the act alone)
                           WHEN    @N        at the Nth time alone; 0.05: one time in twenty; nothing: every time
    seed=N                 of the dice; without it they fall differently each time
"""

from __future__ import annotations

import errno
import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heartbeat.engine import faults

VARIABLE: Final = "HEARTBEAT_FAULTS"
ACTIONS: Final = ("kill", "killsoon", "fail", "full", "lie")
AFTER_THE_ACT: Final = ("log.committed", "log.report")
"""Where `lie` makes sense."""


class InjectedFault(OSError):
    """An error that a fault raised."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at the `nth` time, or with a `probability`."""

    point: str
    action: str
    nth: int | None = None
    probability: float = 1.0


class Injector:
    """The hook that makes the faults happen; `hits` counts how often each point was met."""

    def __init__(self, wanted: Sequence[Fault], seed: int | None = None) -> None:
        self.hits: dict[str, int] = {}
        self.struck = 0
        self._faults = tuple(wanted)
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Called at each point, on any thread.

        Raises:
            InjectedFault: as the faults say.
        """
        if point not in faults.POINTS:
            raise ValueError(f"{point!r} does not stand in faults.POINTS")
        with self._lock:
            hit = self.hits[point] = self.hits.get(point, 0) + 1
            due = [fault for fault in self._faults if fault.point == point and self._strikes(fault, hit)]
            self.struck += len(due)
        for fault in due:
            _act(fault)

    def _strikes(self, fault: Fault, hit: int) -> bool:
        if fault.nth is not None:
            return hit == fault.nth
        return self._dice.random() < fault.probability


def _act(fault: Fault) -> None:
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal is on its way: nothing more may happen here
    elif fault.action == "killsoon":
        threading.Thread(target=_kill_soon, daemon=True).start()
    elif fault.action == "full":
        raise InjectedFault(errno.ENOSPC, f"no space left on the disk (injected at {fault.point})")
    else:
        raise InjectedFault(errno.EIO, f"input/output error (injected at {fault.point})")


def _kill_soon() -> None:
    time.sleep(random.random() * 0.0005)
    os.kill(os.getpid(), signal.SIGKILL)


def parse(text: str) -> Injector:
    """The hook for what stands in HEARTBEAT_FAULTS.

    Raises:
        ValueError: an unknown point or action, or a malformed part; names it.
    """
    wanted: list[Fault] = []
    seed: int | None = None
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part.startswith("seed="):
            seed = int(part.removeprefix("seed="))
            continue
        name, _, rest = part.partition(":")
        action, _, when = rest.partition(":")
        if name not in faults.POINTS:
            raise ValueError(f"{part!r}: no point is called {name!r}; there are {', '.join(faults.POINTS)}")
        if action not in ACTIONS:
            raise ValueError(f"{part!r}: no action is called {action!r}; there are {', '.join(ACTIONS)}")
        if action == "lie" and name not in AFTER_THE_ACT:
            raise ValueError(f"{part!r}: nothing has been done at {name} yet that one could lie about")
        if when.startswith("@"):
            wanted.append(Fault(name, action, nth=int(when[1:])))
        else:
            wanted.append(Fault(name, action, probability=float(when) if when else 1.0))
    return Injector(wanted, seed)


def main(arguments: Sequence[str]) -> object:
    """Install what HEARTBEAT_FAULTS says, then be the `heartbeat` command."""
    faults.install(parse(os.environ.get(VARIABLE, "")))
    return importlib.import_module("heartbeat.cli").main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))  # type: ignore[arg-type]  # an exit code, or None
