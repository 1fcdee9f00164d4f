"""A process that writes units to a log until it is killed, and the oracle of what must then be there.

    python -m tests.engine.log_writer FOLDER UNITS

Unit n of a chain is a pure function of n, and each chain's offset says how many of its units took place: so the offset
alone determines every message, every live key and every row of state.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from heartbeat.clock import SystemClock
from heartbeat.engine import faults
from heartbeat.engine.log import TP, Advance, Append, LogRecord, Put, UnitWrite
from heartbeat.engine.ownership import own
from heartbeat.engine.retention import Retention
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogUnavailable, StaleUnit
from heartbeat.testing.faults import parse
from heartbeat.topics import Topic

CHAINS: Final = 3
SOURCE: Final = Topic("source")
KEPT_MS: Final = 150
OUTPUT: Final = Topic("output", retention_ms=KEPT_MS)
NEWEST: Final = Topic("newest", retention_ms=None, compact=True)
STATES: Final = Topic("states", retention_ms=None, superseded_ms=20)
IN_FLIGHT: Final = 4


def unit(chain: int, number: int) -> UnitWrite:
    """The nth unit of a chain."""
    name = b"%d:%d" % (chain, number)
    appends = [Append("output", chain, name, name + b":%d" % i + b"." * (number % 400)) for i in range(1 + number % 5)]
    live = b"%d" % (number % 7)
    appends.append(Append("newest", chain, live, None if number % 3 == 0 else name))
    appends += [Append("states", chain, None if i == 2 else b"%d" % (number % 5 + i), name) for i in range(3)]
    puts = [Put("state", chain, b"%d" % (number % 11), None if number % 4 == 0 else name, number)]
    return UnitWrite(appends, [Advance("writer", TP("source", chain), number or None, number + 1)], puts)


def declare(log: SqliteLog) -> None:
    """The topics, and who reads them."""
    while True:
        try:
            for topic in (SOURCE, OUTPUT, NEWEST, STATES):
                log.create_topic(topic, CHAINS)
            return log.register_group("reader", "output")
        except LogUnavailable:
            pass


async def chain_of_units(log: SqliteLog, chain: int, units: int) -> None:
    """Write what is still to be written, some units in flight; start again from the offset when one fails."""
    source = TP("source", chain)
    while (number := log.committed("writer", source) or 0) < units:
        flight: list[asyncio.Future[list[int]]] = []
        try:
            while number < units or flight:
                if number < units and len(flight) < IN_FLIGHT:
                    flight.append(log.write(unit(chain, number)))
                    number += 1
                    continue
                await flight.pop(0)
                print("ok", chain, number - len(flight), flush=True)
        except (LogUnavailable, StaleUnit):
            await asyncio.gather(*flight, return_exceptions=True)
            await asyncio.sleep(0.001)


async def read_and_retain(log: SqliteLog, written: asyncio.Event) -> None:
    """A consumer of the output, and retention behind it, until it has come round once more after all is written."""
    retention = Retention(log, SystemClock(), content_ms=KEPT_MS, superseded_ms={"states": 20})
    last = False
    while not last:
        last = written.is_set()
        for chain in range(CHAINS):
            tp = TP("output", chain)
            at = log.committed("reader", tp)
            try:
                if found := await log.fetch(tp, at or 0, 50, 0):
                    await log.write(UnitWrite(advances=[Advance("reader", tp, at, found[-1].offset + 1)]))
                await retention.run_once()
                list(log.latest(TP("newest", chain)))
                log.state("state").get_many(chain, [b"1"])
            except (LogUnavailable, StaleUnit, OSError):
                pass
        await asyncio.sleep(0.005)


async def work(folder: Path, units: int) -> None:
    """Until all units are durable."""
    with own(folder):
        log = SqliteLog.open(folder / "log.db", clock=SystemClock())
        try:
            declare(log)
            print("open", flush=True)
            written = asyncio.Event()
            reader = asyncio.ensure_future(read_and_retain(log, written))
            await asyncio.gather(*(chain_of_units(log, chain, units) for chain in range(CHAINS)))
            # However processors were shared among chains and reader: retention finds something that is old and read.
            await asyncio.sleep(2 * KEPT_MS / 1000)
            written.set()
            await reader
        finally:
            log.close()
    print("done", flush=True)


def verify(folder: Path, acknowledged: dict[int, int]) -> list[int]:
    """Open what a dead writer left and compare all of it with the oracle; gives how far each chain got."""
    log = SqliteLog.open(folder / "log.db", clock=SystemClock())
    try:
        return [_verify_chain(log, chain, acknowledged.get(chain, 0)) for chain in range(CHAINS)]
    finally:
        log.close()


def _verify_chain(log: SqliteLog, chain: int, acknowledged: int) -> int:
    if "states" not in log.topics():
        assert acknowledged == 0
        return 0
    done = log.committed("writer", TP("source", chain)) or 0
    assert done >= acknowledged, f"chain {chain}: {acknowledged} units were acknowledged, {done} are there"
    output: list[Append] = []
    states: list[Append] = []
    newest: dict[bytes, tuple[int, bytes]] = {}
    state: dict[bytes, bytes] = {}
    for number in range(done):
        wanted = unit(chain, number)
        output += [append for append in wanted.appends if append.topic == "output"]
        states += [append for append in wanted.appends if append.topic == "states"]
        [last] = [append for append in wanted.appends if append.topic == "newest"]
        assert last.key is not None
        newest.pop(last.key, None)
        if last.value is not None:
            newest[last.key] = (number, last.value)
        for put in wanted.puts:
            state.pop(put.key, None)
            if put.value is not None:
                state[put.key] = put.value
    tp = TP("output", chain)
    begin, end = log.begin_offset(tp), log.end_offset(tp)
    assert end == len(output)
    assert begin <= (log.committed("reader", tp) or 0), "retention took what had not been read"
    found: list[LogRecord] = []
    while more := asyncio.run(log.fetch(tp, found[-1].offset + 1 if found else begin, 10**9, 0)):
        found += more
    assert [r.offset for r in found] == list(range(begin, end))
    assert [(r.key, r.value) for r in found] == [(m.key, m.value) for m in output[begin:]]
    live = [(r.offset, r.key, r.value) for r in log.latest(TP("newest", chain))]
    assert live == sorted((offset, key, value) for key, (offset, value) in newest.items())
    assert log.end_offset(TP("newest", chain)) == done
    _verify_states(log, TP("states", chain), states)
    store = log.state("state")
    assert store.get_many(chain, [b"%d" % n for n in range(11)]) == state
    assert store.count(chain) == len(state)
    return done


def _verify_states(log: SqliteLog, tp: TP, written: list[Append]) -> None:
    """Superseded messages may be gone; what is there is as it was, with the newest of each key and all without one."""
    assert log.end_offset(tp) == len(written)
    kept = asyncio.run(log.fetch(tp, 0, 10**9, 0))
    assert [(r.key, r.value) for r in kept] == [(written[r.offset].key, written[r.offset].value) for r in kept]
    assert [r.offset for r in kept] == sorted({r.offset for r in kept})
    newest = {message.key: offset for offset, message in enumerate(written)}
    needed = {offset for offset, message in enumerate(written) if message.key is None or newest[message.key] == offset}
    assert needed | {0} <= {r.offset for r in kept} | ({0} - set(range(len(written))))


def verify_sizes(log: SqliteLog) -> None:
    """The kept sizes are those one would count."""
    counted: dict[str, int] = defaultdict(int)
    for (topic, _), slot in log.ledger().slots.items():
        low, high = slot << 40, (slot + 1) << 40
        bodies = log.query("SELECT coalesce(sum(length(body)), 0) FROM chunks WHERE id >= ? AND id < ?", (low, high))
        live = log.query(
            "SELECT coalesce(sum(length(key) + length(value) + coalesce(length(headers), 0)), 0) FROM latest "
            "WHERE id >= ? AND id < ?",
            (low, high),
        )
        counted[topic] += bodies[0][0] + live[0][0]
    assert dict(counted) == dict(log.sizes())


if __name__ == "__main__":
    faults.install(parse(os.environ.get("HEARTBEAT_FAULTS", "")))
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
