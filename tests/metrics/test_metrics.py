"""Figures for Prometheus: they are right, and documentation and alerts speak of those that there are."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.runner import AgentRunner
from heartbeat.feeds.status import FeedInfo
from heartbeat.health import HealthBoard, State
from heartbeat.metrics import Metrics, Readings
from heartbeat.metrics.event_loop import watch_delay
from heartbeat.records import BEFORE_TIME_MS, Post
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
NOW_MS = 1_700_000_000_000


class Worker:
    """What `Readings` looks at."""

    def __init__(self, data_dir: Path) -> None:
        self.clock = FakeClock(NOW_MS)
        self.board = HealthBoard(self.clock)
        self.metrics = Metrics()
        self.agents: Mapping[str, AgentRunner] = {}
        self.feeds: list[FeedInfo] = []
        self.topic_bytes: dict[str, int] = {}
        self.overloaded = False
        readings = Readings(
            Settings.model_validate({"data_dir": data_dir}),
            self.clock,
            self.board,
            agents=lambda: self.agents,
            feeds=lambda: self.feeds,
            topic_bytes=lambda: self.topic_bytes,
            overloaded=lambda: self.overloaded,
            readers=lambda: 3,
            dropped=lambda: 1,
        )
        self.metrics.add(readings)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def feed(name: str, **more: Any) -> FeedInfo:
    values: dict[str, Any] = {
        "name": name, "live": True, "tasks": (), "state": "caught up", "since_ms": 0, "why": "", "watermark_ms": NOW_MS,
        "posts": 0, "matched": 0, "rejected": 0, "posts_per_s": 0.0, "written_bytes": 0, "last_error": "",
        "fraction": None,
    }  # fmt: skip
    return FeedInfo(**{**values, **more})


def post(number: int, content: str) -> Post:
    return Post(f"p{number}", "x", "demo", ("a",), "upsert", 0, content, NOW_MS, NOW_MS)


async def test_units_of_work_are_observed_as_they_are(worker: Worker) -> None:
    async def handler(batch: Batch[Post], emit: Emit) -> None:
        for event in batch:
            if event.value.content == "bad":
                raise ValueError("no good")
            emit(topics.LANGUAGE, event.value, key="k", partition=batch.partition)

    spec = AgentSpec("language", topics.INGEST, handler)
    driver = Driver(lambda: [spec], partitions=1, observer=worker.metrics)
    await driver.start()
    for number, content in enumerate(["one", "two", "bad", "four"]):
        await driver.send(topics.INGEST, post(number, content), key="k", partition=0)
    await driver.run_until_idle()
    worker.agents = driver.engine.agents
    agent = {"agent": "language"}
    assert worker.value("heartbeat_agent_messages_total", **agent) == 4
    assert worker.value("heartbeat_batch_messages_sum", **agent) == 4
    assert worker.value("heartbeat_dead_letters_total", **agent) == 1
    assert (worker.value("heartbeat_halvings_total", **agent) or 0) > 0
    assert worker.value("heartbeat_unit_outputs_messages_sum", **agent) == 4  # three posts and the dead letter
    assert (worker.value("heartbeat_unit_outputs_bytes_sum", **agent) or 0) > 4 * 20
    handled = worker.value("heartbeat_handler_seconds_count", **agent) or 0
    assert handled > (worker.value("heartbeat_commit_seconds_count", **agent) or 0) - 1 > 0
    assert worker.value("heartbeat_topic_lag_messages", agent="language", topic="ingest", partition="0") == 0
    assert worker.value("heartbeat_breaker_open", **agent) == 0


async def test_feeds_and_health(worker: Worker) -> None:
    worker.feeds = [
        feed("demo", posts=7, written_bytes=900, watermark_ms=NOW_MS - 5_000),
        feed("bluesky", state="disconnected", watermark_ms=BEFORE_TIME_MS),
        feed("replay:1", live=False, state="paused", watermark_ms=NOW_MS - 10**9, rejected=2),
    ]
    worker.board.report("sink/history", State.FAILED, "the disk is full")
    assert worker.value("heartbeat_feed_posts_total", feed="demo") == 7
    assert worker.value("heartbeat_feed_bytes_total", feed="demo") == 900
    assert worker.value("heartbeat_feed_rejected_total", feed="replay:1") == 2
    assert worker.value("heartbeat_watermark_delay_seconds", feed="demo") == 5
    for without in ("bluesky", "replay:1"):  # nothing promised yet; and a file's times have nothing to do with now
        assert worker.value("heartbeat_watermark_delay_seconds", feed=without) is None
    assert [worker.value("heartbeat_feed_up", feed=each.name) for each in worker.feeds] == [1, 0, 1]
    assert [worker.value("heartbeat_feed_paused", feed=each.name) for each in worker.feeds] == [0, 0, 1]
    states = [worker.value("heartbeat_part_state", part="sink/history", state=state) for state in State]
    assert states == [0, 0, 1]
    assert worker.value("heartbeat_sse_clients") == 3 and worker.value("heartbeat_sse_dropped_total") == 1


async def test_disk_and_models(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"x" * 70)
    (tmp_path / "log.db-wal").write_bytes(b"x" * 30)
    worker.topic_bytes = {"ingest": 12}
    worker.metrics.inferred("sentiment/1.0.0", 32, 0.2)
    worker.metrics.inferred("sentiment/1.0.0", 8, 0.1)
    worker.overloaded = True
    assert worker.value("heartbeat_file_bytes", file="log.db") == 70
    assert worker.value("heartbeat_wal_bytes", file="log.db") == 30
    assert worker.value("heartbeat_file_bytes", file="history.db") == 0
    assert worker.value("heartbeat_topic_bytes", topic="ingest") == 12
    assert (worker.value("heartbeat_disk_free_bytes") or 0) > 0
    assert worker.value("heartbeat_inference_posts_total", model="sentiment/1.0.0") == 40
    assert worker.value("heartbeat_inference_seconds_count", model="sentiment/1.0.0") == 2
    assert worker.value("heartbeat_model_overload") == 1


async def test_an_event_loop_that_is_blocked_is_late() -> None:
    told: list[float] = []
    watching = asyncio.create_task(watch_delay(told.append, every_s=0.01))
    await asyncio.sleep(0.015)
    until = asyncio.get_running_loop().time() + 0.1
    while asyncio.get_running_loop().time() < until:
        pass
    await asyncio.sleep(0.02)
    watching.cancel()
    assert max(told) >= 0.08 and min(told) >= 0


def test_the_page_is_what_prometheus_reads(worker: Worker) -> None:
    page, content_type = worker.metrics.page("")
    assert content_type.startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(page.decode())}
    assert {"heartbeat_handler_seconds", "heartbeat_feed_posts", "process_open_fds"} <= families
    assert worker.metrics.page("application/openmetrics-text; version=1.0.0")[0].endswith(b"# EOF\n")


def described(worker: Worker) -> set[tuple[str, str, str, str]]:
    """Each metric as its row in the table has to be."""
    instruments = {
        names[0].removesuffix("_total"): getattr(collector, "_labelnames", ())
        for collector, names in worker.metrics.registry._collector_to_names.items()
        if names
    }
    rows = set()
    for family in worker.metrics.registry.collect():
        labels = getattr(family, "_labelnames", ()) or instruments.get(family.name, ())
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.add((name, family.type, ", ".join(labels) or "–", family.documentation))
    return rows


def test_the_documentation_names_every_metric_as_it_is(worker: Worker) -> None:
    rows = [
        tuple(cell.strip(" `") for cell in line.strip("|\n").split("|"))
        for line in (ROOT / "docs" / "metrics.md").read_text().splitlines()
        if re.match(r"\| `(heartbeat|process)_\w+` \|", line)
    ]
    assert len(rows) == len(set(rows))
    assert set(rows) == described(worker)


def test_names_keep_to_the_conventions(worker: Worker) -> None:
    for name, kind, _, help in described(worker):
        assert re.fullmatch(r"(heartbeat|process)_[a-z_]+", name) and help
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|millis|milliseconds|minutes|mb|kb|count|sum|bucket)$", name), name


def test_alerts_speak_of_metrics_and_labels_that_there_are(worker: Worker) -> None:
    known = {name: set(labels.split(", ")) for name, _, labels, _ in described(worker)}
    histograms = {name for name, kind, _, _ in described(worker) if kind == "histogram"}
    known |= {f"{name}_{part}": known[name] for name in histograms for part in ("bucket", "sum", "count")}
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        named = set(re.findall(r"\b(?:heartbeat|process)_\w+", rule["expr"]))
        assert named <= known.keys(), rule["alert"]
        assert named or "up{" in rule["expr"], rule["alert"]
        for metric, chosen in re.findall(r"(\w+)\{([^}]*)\}", rule["expr"]):
            asked = set(re.findall(r"(\w+)\s*[!=]", chosen))
            assert metric == "up" or asked <= known[metric], rule["alert"]
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert told <= {"instance"}.union(*(known[metric] for metric in named)), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")") and rule["annotations"]["action"]


def test_prometheus_itself_takes_the_alerts_and_the_page(worker: Worker) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool; it is in Debian's package prometheus")
    subprocess.run([promtool, "check", "rules", str(ALERTS)], check=True, capture_output=True)
    worker.feeds = [feed("demo")]
    subprocess.run([promtool, "check", "metrics"], input=worker.metrics.page("")[0], check=True, capture_output=True)
