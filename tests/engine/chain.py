"""The agents that the engine's tests run: `relay` passes posts on by another key, `count` adds them up in a table.

    ingest ─► relay ─► sentiment ─► count ─► pulse
                        table `counts`: (task) → posts and sum; disk table `seen`: id → times seen

`oracle` says in plain Python what has to come out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.tables import DiskTable, MemoryTable, TableCodec
from heartbeat.records import Figures, Post, Pulse, Scored

TASKS = [f"task-{number}" for number in range(7)]

Fault = Callable[[str, int], None]
"""Called with an agent's name and a post's number while it is handled; may raise."""


def no_fault(agent: str, number: int) -> None:
    """Nothing goes wrong."""


def post(number: int, poison: bool = False) -> Post:
    """Post `number`, for the task that its number gives."""
    content = "poison" if poison else f"post {number}"
    task = TASKS[number * 31 % len(TASKS)]
    return Post(str(number), "demo", "demo", [task], "upsert", 0, content, 1_700_000_000_000 + number, 0)


def _to_list(value: bytes) -> list[int]:
    out: list[int] = orjson.loads(value)
    return out


@dataclass
class Chain:
    """Makes the two agents; `fault` is asked at every message, `in_place` breaks the rule on tables."""

    partitions: int = 4
    fault: Fault = no_fault
    max_messages: int = 16
    max_inflight: int = 2
    tick: bool = False
    in_place: bool = False
    handled: Counter[str] = field(default_factory=Counter)

    def __call__(self) -> Sequence[AgentSpec]:
        """The agents, with new tables."""
        counts: MemoryTable[str, list[int]] = MemoryTable(
            "counts", TableCodec(str.encode, bytes.decode, orjson.dumps, _to_list)
        )
        seen: DiskTable[str, int] = DiskTable("seen", TableCodec(str.encode, bytes.decode, orjson.dumps, orjson.loads))
        self.counts, self.seen = counts, seen

        async def relay(batch: Batch[Post], emit: Emit) -> None:
            before = seen.part(batch.partition).get_many([event.value.id for event in batch])
            for event in batch:
                post = event.value
                if post.content == "poison":
                    raise ValueError("cannot digest this")
                self.fault("relay", int(post.id))
                self.handled["relay"] += 1
                times = before[post.id] = before.get(post.id, 0) + 1
                seen.part(batch.partition).put(post.id, times, expires_ms=post.time_ms)
                task = post.tasks[0]
                scored = Scored(post.id, "demo", "demo", task, "add", 0, post.time_ms, "en", 1.0)
                emit(topics.SENTIMENT, scored, key=task, partition=topics.partition_of(task, self.partitions))
            await asyncio.sleep(0)

        async def count(batch: Batch[Scored], emit: Emit) -> None:
            part = counts.part(batch.partition)
            changed: dict[str, None] = {}
            for event in batch:
                number = int(event.value.id)
                old = part.get(event.value.task) or [0, 0]
                if self.in_place:  # what no handler may do
                    old[0], old[1] = old[0] + 1, old[1] + number
                    part[event.value.task] = old
                else:
                    part[event.value.task] = [old[0] + 1, old[1] + number]
                changed[event.value.task] = None
                self.fault("count", number)
                self.handled["count"] += 1
            await asyncio.sleep(0)
            for task in changed:
                posts, total = part.get(task) or [0, 0]
                figures = Figures(scored=posts, pos_e6=total)
                pulse = Pulse(task, 60, 0, posts, False, 0, figures, {}, {})
                emit(topics.PULSE, pulse, key=task, partition=batch.partition)

        async def tick(partition: int, now_ms: int, emit: Emit) -> None:
            part = counts.part(partition)
            self.handled["tick"] += 1
            ticks = (part.get("ticks") or [0, 0])[0] + 1
            part["ticks"] = [ticks, 0]
            pulse = Pulse("ticks", 1, partition, ticks, False, 0, Figures(scored=ticks), {}, {})
            emit(topics.PULSE, pulse, key="ticks", partition=partition)

        return [
            AgentSpec("relay", topics.INGEST, relay, max_messages=self.max_messages, max_inflight=self.max_inflight,
                      tables=[seen], linger_s=0.005),
            AgentSpec("count", topics.SENTIMENT, count, max_messages=self.max_messages, max_inflight=self.max_inflight,
                      tables=[counts], linger_s=0.005, tick=tick if self.tick else None),
        ]  # fmt: skip


def oracle(numbers: Sequence[int]) -> dict[str, list[int]]:
    """What `counts` has to hold once these posts went through."""
    out: dict[str, list[int]] = {}
    for number in numbers:
        row = out.setdefault(post(number).tasks[0], [0, 0])
        row[0] += 1
        row[1] += number
    return out
