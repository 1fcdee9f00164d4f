from __future__ import annotations

from typing import cast

import pytest

from heartbeat import topics
from heartbeat.codec import Codec
from heartbeat.engine.log import TP, Advance
from heartbeat.engine.runner import Partitions
from heartbeat.engine.unit import Unit, current
from heartbeat.errors import UnencodableRecord, UnknownTopic
from heartbeat.records import Heartbeat
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog


def unit(start: int | None = 3, end: int = 7) -> Unit:
    log = MemoryLog(FakeClock())
    log.create_topic(topics.LANGUAGE, 2)
    return Unit(
        "a", "app-a", TP("ingest", 1), start, end, encode=Codec(log).encode, partitions=Partitions(log), messages=4
    )


BEAT = Heartbeat("demo", 1, 5, True)


def test_it_seals_into_one_write_with_its_step_of_the_offset() -> None:
    one = unit()
    one.emit(topics.LANGUAGE, BEAT, key="ü", partition=1)
    one.seal()
    assert one.write.advances == (Advance("app-a", TP("ingest", 1), 3, 7),)
    [append] = one.write.appends
    assert (append.topic, append.partition, append.key) == ("language", 1, "ü".encode())
    assert append.value is not None and append.value[0] == 0


def test_a_value_that_does_not_fit_fails_at_once() -> None:
    one = unit()
    with pytest.raises(UnencodableRecord):
        one.emit(topics.LANGUAGE, BEAT._replace(feed=cast(str, 7)), key="", partition=1)
    assert not one.appends


@pytest.mark.parametrize("topic, partition", [(topics.LANGUAGE, 2), (topics.LANGUAGE, -1), (topics.PULSE, 0)])
def test_a_topic_or_partition_that_is_not_there_fails_at_once(topic: topics.Topic, partition: int) -> None:
    with pytest.raises(UnknownTopic):
        unit().emit(topic, BEAT, key="", partition=partition)


def test_nothing_is_taken_once_the_handler_has_returned() -> None:
    one = unit()
    one.seal()
    with pytest.raises(RuntimeError, match="after its handler had returned"):
        one.emit(topics.LANGUAGE, BEAT, key="", partition=1)


def test_no_unit_is_current_outside_a_handler() -> None:
    assert current.get() is None
