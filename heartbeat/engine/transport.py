"""The transport `sqlite:` of Faust: what plain agents, tables and `topic.send` use, on the log that the app has open.

All partitions belong to the one process that owns the log. Topics of batch agents are assigned along with the others,
but fetched and committed by the pipelines alone, unless a plain agent reads them too.
"""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from faust.transport import base

from heartbeat.engine.log import Log
from heartbeat.engine.transport_consumer import Consumer
from heartbeat.engine.transport_producer import Producer
from heartbeat.errors import BadLogUrl, UnknownTopic
from heartbeat.topics import Topic

if TYPE_CHECKING:
    from heartbeat.engine.faust import HeartbeatApp

URL = "sqlite://"
"""The broker URL as Faust has to get it: without the slashes it would take `sqlite:` for the name of a Kafka host."""


class Transport(base.Transport):
    """Made by Faust for the broker URL `sqlite:`; the app says where the log is."""

    Consumer = Consumer
    Producer = Producer
    default_port = 0
    driver_version = f"sqlite={sqlite3.sqlite_version}"

    def __init__(self, url: Any, app: Any, loop: Any = None) -> None:
        super().__init__(url, app, loop)
        if not hasattr(app, "record_log_or_none"):
            raise BadLogUrl("sqlite: needs a HeartbeatApp: the app, not the URL, says where the log is")
        for one in url if isinstance(url, list) else [url]:
            if one.host or one.path.strip("/") or one.query_string:
                raise BadLogUrl(f"{one}: sqlite: takes no path; the log is in the data directory")

    @property
    def record_log(self) -> Log:
        """The app's log, which has to be open."""
        return cast("HeartbeatApp", self.app).record_log

    def declare(self, topic: Topic, partitions: int | None = None) -> None:
        """Make a topic that Faust asks for; one that exists stays as it is."""
        try:
            self.record_log.partitions(topic.name)
        except UnknownTopic:
            self.record_log.create_topic(topic, partitions or self.app.conf.topic_partitions)

    def partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        """The partition a message goes to: the one named, its key's, or any."""
        self.declare(Topic(topic))
        count = self.record_log.partitions(topic)
        if partition is None:
            return random.randrange(count) if key is None else crc32(key) % count
        if not 0 <= partition < count:
            raise UnknownTopic(f"{topic} has {count} partitions, none is numbered {partition}")
        return partition
