"""What is counted and timed while it happens: once for each unit of work, inference or look, never for each post."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from heartbeat.engine.unit import Unit

_FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_MESSAGES: Final = (1, 4, 16, 64, 256, 512, 1_024, 4_096)
_BYTES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


# They would make the page half as long again, and say little more than when the process began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """A registry and its instruments; an `engine.observer.Observer`.

    One for each app, not the client's global one: tests and commands build several apps in a process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._batch = self._histogram("batch_messages", "Messages of a batch that became durable", _MESSAGES, "agent")
        self._outputs = self._histogram(
            "unit_outputs_messages", "Messages that a unit of work wrote, changelog rows included", _MESSAGES, "agent"
        )
        self._unit_bytes = self._histogram("unit_outputs_bytes", "Size of those messages", _BYTES, "agent")
        self._handler = self._histogram("handler_seconds", "Time that a handler took for a batch", _FAST_S, "agent")
        self._commit = self._histogram(
            "commit_seconds", "Time from handing a unit of work over until it was durable", _FAST_S, "agent"
        )
        self._inference = self._histogram(
            "inference_seconds", "Time that one turn of a model took, over all of its posts", _FAST_S, "model"
        )
        self._inferred = Counter(
            "heartbeat_inference_posts", "Posts that a model was asked about", ["model"], registry=self.registry
        )
        self._delay = self._histogram(
            "event_loop_delay_seconds", "How much later than asked for the event loop woke up a sleeper", _FAST_S
        )
        ProcessCollector(registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"heartbeat_{name}", help, labels, buckets=buckets, registry=self.registry)

    def add(self, readings: Collector) -> None:
        """Have more told, by who is asked at each look."""
        self.registry.register(readings)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Everything, as text, and its content type; `accept` is what the asker's header of that name says."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def handled(self, agent: str, seconds: float) -> None:
        """See `Observer`."""
        self._handler.labels(agent).observe(seconds)

    def committed(self, unit: Unit, seconds: float) -> None:
        """See `Observer`."""
        agent = unit.agent
        self._commit.labels(agent).observe(seconds)
        self._outputs.labels(agent).observe(len(unit.appends))
        self._unit_bytes.labels(agent).observe(sum(len(append.value or b"") for append in unit.appends))
        if unit.messages:
            self._batch.labels(agent).observe(unit.messages)

    def inferred(self, model: str, posts: int, seconds: float) -> None:
        """A turn of a model (NAME/VERSION) is over."""
        self._inference.labels(model).observe(seconds)
        self._inferred.labels(model).inc(posts)

    def woke_up(self, late_s: float) -> None:
        """A sleeper was woken up so much too late."""
        self._delay.observe(late_s)
