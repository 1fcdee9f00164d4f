"""Dead letters a second time: a message goes back to the end of the partition where an agent failed at it.

It is for that agent alone (`log.ONLY_FOR`): others that read the topic have had it before. The message and the note
that its letter has been replayed become durable in one transaction, which looks for the note first; so a letter is
replayed once, whoever asks how often, and whatever is killed when.

It comes later than it did the first time. Where of two messages about the same thing the newer one replaces what an
agent keeps of the older, the old one must not come last: the transaction looks for that too, and refuses.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from heartbeat.engine import sqlite_state
from heartbeat.engine.faults import point
from heartbeat.engine.letters import STORE, Letter, LetterId, is_letter, letter
from heartbeat.engine.log import ONLY_FOR, Append, LogRecord, Put, addressee
from heartbeat.engine.sqlite_chunks import pack
from heartbeat.engine.sqlite_group import Group
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_lookup import message_at, messages_from, value_of
from heartbeat.engine.sqlite_writer import Work
from heartbeat.topics import DAY_MS, DEADLETTERS

KEPT_MS: Final = 400 * DAY_MS
"""How long a note is kept: longer than any letter."""
FORGOTTEN_AT_ONCE: Final = 500
SUPERSEDED: Final = "something newer about the same has come since: given again, it would undo that"


class Outcome(NamedTuple):
    """What became of one letter.

    Attributes:
        letter: `PARTITION/OFFSET`.
        replayed: whether it has been replayed now.
        again: whether it had been before.
        why: why not.
        to: where the message lies now, `TOPIC/PARTITION@OFFSET`.
    """

    letter: str
    replayed: bool
    again: bool = False
    why: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the log cannot know by itself.

    Attributes:
        prefix: of consumer groups.
        order_free: agents to which it makes no difference how late a message comes.
        about: what a message is about.
        corrects: whether a later message, under a key of its own, changes what an agent keeps of an earlier one.
    """

    prefix: str
    order_free: Collection[str]
    about: Callable[[LogRecord], object]
    corrects: Callable[[LogRecord, LogRecord], bool] = lambda later, record: False

    def superseded(self, agent: str, record: LogRecord, later: LogRecord) -> bool:
        """Whether a later message that reached the agent is about the same, or corrects it."""
        if addressee(later.headers) not in (None, agent.encode()):
            return False
        if later.key == record.key:
            return self.about(later) == self.about(record)
        return self.corrects(later, record)


def against(ledger: Ledger, rules: Rules, said: Letter) -> str:
    """Why a letter cannot go back to where it came from, or nothing."""
    if said.source is None:
        return (
            "it never became a message, since it is no post; mend it where it came from, and feed that again "
            "(`heartbeat replay FILE --task NAME`)"
        )
    if (said.topic, said.source[0]) not in ledger.slots:
        return f"there is no {said.topic}/{said.source[0]} any more"
    if f"{rules.prefix}-{said.agent}" not in ledger.consumers.get(said.topic, ()):
        return f"no agent {said.agent} reads {said.topic} any more"
    return ""


def redeliver(
    ids: Sequence[LetterId], rules: Rules, now_ms: int, looked: Mapping[LetterId, int] | None = None
) -> Work[list[Outcome]]:
    """Replay these letters, in their order.

    Args:
        ids: the letters.
        rules: see there.
        now_ms: the time of append.
        looked: up to which offset of its partition somebody has looked for what is newer than a letter; what lies
            before it is not looked at again.
    """

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], list[Outcome]]:
        outcomes: list[Outcome] = []
        appends: dict[int, list[Append]] = {}
        puts = _old_notes(con, ledger, now_ms)
        for each in dict.fromkeys(ids):
            slot = ledger.slots.get((DEADLETTERS.name, each.partition))
            record = None if slot is None else message_at(con, ledger, slot, each.offset)
            if record is None or not is_letter(record):
                outcomes.append(Outcome(str(each), False, why="there is no such letter, or not any more"))
                continue
            note = value_of(con, ledger, STORE, each.partition, b"%d" % each.offset)
            if note is not None:
                to = orjson.loads(note)["to"]
                outcomes.append(Outcome(str(each), False, again=True, why="it has been replayed before", to=to))
                continue
            said = letter(each.partition, record)
            if why := against(ledger, rules, said):
                outcomes.append(Outcome(str(each), False, why=why))
                continue
            assert said.source is not None
            partition, offset = said.source
            slot = ledger.slots[said.topic, partition]
            if said.agent not in rules.order_free:
                begin = max((looked or {}).get(each, 0), offset + 1)
                newer = (later for later in messages_from(con, ledger, slot, begin))
                if any(rules.superseded(said.agent, record, later) for later in newer):
                    outcomes.append(Outcome(str(each), False, why=SUPERSEDED))
                    continue
            batch = appends.setdefault(slot, [])
            to = f"{said.topic}/{partition}@{ledger.next[slot] + len(batch)}"
            batch.append(Append(said.topic, partition, record.key, record.value, ((ONLY_FOR, said.agent.encode()),)))
            value = orjson.dumps({"at_ms": now_ms, "to": to})
            puts.append(Put(STORE, each.partition, b"%d" % each.offset, value, now_ms + KEPT_MS))
            outcomes.append(Outcome(str(each), True, to=to))
        group = Group(ledger)
        chunks = {slot: list(pack(messages)) for slot, messages in appends.items()}
        group.add(now_ms, chunks, {}, (), sqlite_state.prepare(puts))
        group.insert(con)
        point("letters.replay")

        def take_over(ledger: Ledger) -> list[Outcome]:
            group.take_over(ledger)
            return outcomes

        return take_over

    return work


def _old_notes(con: sqlite3.Connection, ledger: Ledger, now_ms: int) -> list[Put]:
    """Notes whose letters are long gone, some at a time."""
    puts: list[Put] = []
    for (store, partition), slot in ledger.stores.items():
        if store == STORE:
            rows = con.execute(
                "SELECT key FROM state WHERE slot = ? AND expires_ms <= ? LIMIT ?", (slot, now_ms, FORGOTTEN_AT_ONCE)
            ).fetchall()
            puts += [Put(STORE, partition, bytes(key), None) for (key,) in rows]
    return puts
