"""The hub: whoever reads it, however often they go away, ends up knowing what was last said of everything."""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.web.hub import Client, Full, Hub

EVENT = re.compile(rb"id: (\S+)\nevent: (\w+)\ndata: (.+)\n\n")


class Listener:
    """A reader that keeps states by key and remembers the last id, as a page does."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.last_id = hub, ""
        self.client: Client | None = None
        self.states: dict[str, int] = {}
        self.ids: list[str] = []

    def join(self, everything: dict[str, int]) -> bool:
        joined = self.hub.join(self.last_id or None, [])
        assert not isinstance(joined, Full)
        self.client, resumed = joined
        if not resumed:
            self.states = dict(everything)
        return resumed

    async def read(self) -> None:
        if self.client is None:
            return
        wire = await self.client.take(0.0)
        for event_id, _, data in EVENT.findall(wire or b""):
            told = orjson.loads(data)
            self.states[told["key"]] = told["value"]
            self.last_id = event_id.decode()
            self.ids.append(self.last_id)
        if wire is None:
            self.leave()

    def leave(self) -> None:
        if self.client is not None:
            self.hub.leave(self.client)
            self.client = None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 6)),
        st.tuples(st.sampled_from(["join", "read", "leave", "restart"]), st.integers(0, 2)),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 12), st.integers(1, 12))
async def test_every_reader_ends_up_with_the_newest_states(story: list[tuple[str, int]], ring: int, queue: int) -> None:
    hub = Hub(ring=ring, queue=queue)
    listeners = [Listener(hub) for _ in range(3)]
    states: dict[str, int] = {}
    for number, (step, which) in enumerate(story):
        match step:
            case "say":
                states[str(which)] = number
                hub.publish("window", {"key": str(which), "value": number}, key=which)
            case "join" if listeners[which].client is None:
                listeners[which].join(states)
            case "read":
                await listeners[which].read()
            case "leave":
                listeners[which].leave()
            case "restart":
                hub.restart()
    for listener in listeners:
        await listener.read()
        if listener.client is None:
            listener.join(states)
            await listener.read()
        assert listener.states == states
        numbers = [tuple(event_id.split("-")) for event_id in listener.ids]
        for (epoch, before), (next_epoch, after) in zip(numbers, numbers[1:], strict=False):
            assert epoch != next_epoch or int(before) < int(after)
    for listener in listeners:
        listener.leave()
    assert hub.clients == 0


async def test_an_unsent_state_is_replaced_and_events_without_a_key_are_not() -> None:
    hub = Hub()
    joined = hub.join(None, [])
    assert not isinstance(joined, Full)
    client, _ = joined
    for value in range(1000):
        hub.publish("window", {"value": value}, key="w")
    hub.publish("note", {"value": "a"})
    hub.publish("note", {"value": "b"})
    events = [orjson.loads(data)["value"] for _, _, data in EVENT.findall(await client.take(0.0) or b"")]
    assert events == [999, "a", "b"]
    assert await client.take(0.0) == b""


async def test_a_reader_that_does_not_keep_up_is_dropped_and_nobody_else() -> None:
    hub = Hub(queue=10)
    slow, quick = hub.join(None, []), hub.join(None, [])
    assert not isinstance(slow, Full) and not isinstance(quick, Full)
    for number in range(15):
        assert hub.dropped == (number > 10)
        hub.publish("post", {"n": number})
        assert await quick[0].take(0.0)
    assert slow[0].dropped and slow[0].closed and await slow[0].take(0.0) is None
    assert not quick[0].closed


async def test_tasks_can_be_chosen() -> None:
    hub = Hub()
    joined = hub.join(None, ["aurora"])
    assert not isinstance(joined, Full)
    hub.publish("window", {"of": "aurora"}, task="aurora")
    hub.publish("window", {"of": "tram"}, task="tram")
    hub.publish("health", {"of": "all"})
    told = [orjson.loads(data)["of"] for _, _, data in EVENT.findall(await joined[0].take(0.0) or b"")]
    assert told == ["aurora", "all"]


async def test_there_is_room_for_so_many() -> None:
    hub = Hub(clients=2)
    first: Any = hub.join(None, [])
    hub.join(None, [])
    assert hub.join(None, []) == Full(2)
    hub.leave(first[0])
    assert not isinstance(hub.join(None, []), Full)


async def test_ids_that_are_not_ours_begin_anew() -> None:
    hub = Hub()
    hub.publish("note", {})
    own = hub.last_id
    epoch = own.partition("-")[0]
    for last_id in (
        "",
        "x",
        "7",
        f"{epoch}-",
        f"{epoch}-x",
        f"{epoch}-99",
        f"{epoch}--1",
        f"{epoch}-{'9' * 40}",
        "٣-١",
    ):
        joined = hub.join(last_id, [])
        assert not isinstance(joined, Full)
        assert joined[1] is False, last_id
    joined = hub.join(own, [])
    assert not isinstance(joined, Full) and joined[1] is True
