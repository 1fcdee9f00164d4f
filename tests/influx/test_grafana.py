"""Every query of the dashboard and the alerts, run on a real InfluxDB and held against arithmetic over the posts."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml
from pydantic import SecretStr

from heartbeat.engine.runner import Stats
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.feeds.status import FeedInfo
from heartbeat.health import HealthBoard, State
from heartbeat.pipeline_points import PipelinePoints
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.sinks.influx_lines import pipeline_line, size_name, window_lines
from heartbeat.testing import oracle
from heartbeat.testing.clock import FakeClock
from heartbeat.topics import Topic
from tests.influx.server import ORG, Influxd

FOLDER: Final = Path(__file__).parents[2] / "deploy/grafana"
DASHBOARD: Final[dict[str, Any]] = json.loads((FOLDER / "dashboards/heartbeat.json").read_text())
PANELS: Final = {panel["title"]: panel for panel in DASHBOARD["panels"]}
RULES: Final[dict[str, Any]] = {
    rule["uid"]: rule
    for group in yaml.safe_load((FOLDER / "provisioning/alerting/heartbeat.yaml").read_text())["groups"]
    for rule in group["rules"]
}
START_MS: Final = 1_760_000_400_000
"""On a quarter of an hour."""
MINUTES: Final = 40
SIZES: Final = (10, 60, 900)
TASK: Final = "aurora"
SIZE_S: Final = 60
BUCKET: Final = "dashboards"
LABELS: Final = ("positive", "neutral", "negative", "mixed")
MODELS: Final = ("sentiment/1.0.0", "sentiment-fast/1.0.0")
PARTS: Final = {"feed": ("demo", "replay_1"), "agent": ("language", "pulse"), "topic": ("ingest", "pulse")}


def posts(seed: int = 3) -> list[oracle.Standing]:
    """Posts of three tasks, most of them in the first minutes."""
    dice = random.Random(seed)
    found = []
    for number in range(600):
        task = dice.choice([TASK, TASK, "borealis", "comet"])
        at_ms = START_MS + int(dice.random() ** 2 * MINUTES * 60_000)
        lang, source = dice.choice(["en", "en", "de", "und"]), dice.choice(["x", "reddit"])
        pos, neg = dice.random() / 2, dice.random() / 2
        judged = oracle.Judged(lang)
        if lang != "und":
            judged = oracle.Judged(lang, dice.choice(LABELS), pos, 1 - pos - neg, neg, dice.choice(MODELS))
        found.append(oracle.Standing(task, "live", source, str(number), at_ms, judged))
    return found


POSTS: Final = posts()


def health_at(minute: int) -> dict[tuple[str, str], dict[str, int]]:
    """What the pipeline says of itself.

    `language` fails in minutes 10 to 12; `pulse` has two more dead letters from 20 on, and after a restart in minute 30
    counts from the beginning.
    """
    fields: dict[tuple[str, str], dict[str, int]] = {}
    for part, names in PARTS.items():
        for name in names:
            state = 2 if name == "language" and 10 <= minute < 13 else 0
            fields[part, name] = {"state": state, "lag": 7 * minute + len(name)}
            if part == "feed":
                fields[part, name]["watermark_delay_ms"] = 5000 + 100 * minute
            if part == "topic":
                fields[part, name]["bytes"] = 1000 * minute
            elif name == "pulse":
                fields[part, name]["dead_letters"] = 3 if minute < 20 else 5 if minute < 30 else 1
            else:
                fields[part, name]["dead_letters"] = 0
    return fields


def ms_of(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def as_grafana_sends(query: str, *, start_ms: int, stop_ms: int, period: str = "5m") -> str:
    """A query with its variables filled in, as the data source and the dashboard do it."""
    values = {"task": TASK, "size": size_name(SIZE_S)}
    query = re.sub(r"\$\{(\w+):doublequote\}", lambda name: json.dumps(values[name[1]]), query)
    for name, value in {
        "v.defaultBucket": json.dumps(BUCKET),
        "v.timeRangeStart": moment(start_ms),
        "v.timeRangeStop": moment(stop_ms),
        "v.windowPeriod": period,
        "now()": moment(stop_ms),
    }.items():
        query = query.replace(name, value)
    assert "${" not in query and "v." not in query.replace("_v.", "")
    return query


@pytest.fixture(scope="module")
def filled(shared: Influxd) -> Influxd:
    """A server that holds the windows of `POSTS`, each written twice, and a health point a minute."""
    lines = []
    for window, held in oracle.windows(POSTS, SIZES).items():
        pulse = Pulse(window.task, window.size_s, window.start_ms, 1, True, 4, *held)
        earlier = pulse._replace(revision=0, final=False, overall=Figures(1, 0, 1, 0, 0, 0, 1, 2, 3))
        lines += window_lines(earlier) + window_lines(pulse)
    for minute in range(MINUTES):
        for (part, name), fields in health_at(minute).items():
            lines.append(pipeline_line(part, name, fields, START_MS + 60_000 * minute))
    org = shared.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    shared.ask("POST", "/api/v2/buckets", {"orgID": org, "name": BUCKET, "retentionRules": []})
    shared.write("\n".join(lines), BUCKET)
    return shared


def asked(server: Influxd, query: str, minutes: int = MINUTES) -> list[dict[str, Any]]:
    stop_ms = START_MS + 60_000 * minutes
    rows = server.query(as_grafana_sends(query, start_ms=START_MS, stop_ms=stop_ms))
    return [{key: value for key, value in row.items() if key not in ("", "result", "table")} for row in rows]


def series(rows: list[dict[str, Any]], by: str) -> dict[tuple[str, int], Any]:
    """Rows of a time series by (name, ms)."""
    found = {(row.get(by, ""), ms_of(row["_time"])): row["_value"] for row in rows}
    assert len(found) == len(rows)
    return found


def in_five_minutes(at_ms: int) -> int:
    return at_ms // 300_000 * 300_000


def mine() -> list[oracle.Standing]:
    return [post for post in POSTS if post.task == TASK]


def label_of(post: oracle.Standing) -> str:
    return post.judged.label or "unscored"


def shares(rows: list[dict[str, Any]]) -> None:
    labels = Counter(map(label_of, mine()))
    scored = sum(labels[label] for label in LABELS)
    (row,) = rows
    assert row == pytest.approx({label: labels[label] / scored for label in LABELS})


def volume(rows: list[dict[str, Any]]) -> None:
    expected = Counter((label_of(post), in_five_minutes(post.time_ms)) for post in mine())
    assert +Counter(series(rows, "_field")) == expected


def means(rows: list[dict[str, Any]]) -> None:
    bins: dict[int, list[oracle.Standing]] = defaultdict(list)
    for post in mine():
        bins[in_five_minutes(post.time_ms)].append(post)
    expected = {}
    for at_ms, inside in bins.items():
        scored = [post.judged for post in inside if post.judged.label]
        if scored:
            pos, neg = (
                sum(round(getattr(one, name) * 1e6) for one in scored) / len(scored) / 1e6 for name in ("pos", "neg")
            )
            expected[at_ms] = {"positive": pos, "negative": neg, "score": pos - neg, "posts": len(inside)}
    found = {ms_of(row.pop("_time")): row for row in rows}
    assert found.keys() == expected.keys()
    for at_ms, row in found.items():
        assert row == pytest.approx(expected[at_ms])


def ranking(column: str, of: Callable[[oracle.Standing], str]) -> Callable[[list[dict[str, Any]]], None]:
    def check(rows: list[dict[str, Any]]) -> None:
        expected = {}
        for key in {of(post) for post in mine()}:
            labels = Counter(label_of(post) for post in mine() if of(post) == key)
            scored = sum(labels[label] for label in LABELS)
            share = {label: labels[label] / scored if scored else 0.0 for label in ("positive", "negative")}
            expected[key] = {"posts": sum(labels.values()), **share}
        found = {row.pop(column): row for row in rows}
        assert found.keys() == expected.keys()
        for key, row in found.items():
            assert row == pytest.approx(expected[key])
        counts = [row["posts"] for row in rows]
        assert counts == sorted(counts, reverse=True)

    return check


def voice(rows: list[dict[str, Any]]) -> None:
    expected = Counter((post.task, in_five_minutes(post.time_ms)) for post in POSTS)
    assert +Counter(series(rows, "task")) == expected


def models(rows: list[dict[str, Any]]) -> None:
    scored = [post for post in mine() if post.judged.model]
    expected = Counter((f"model:{post.judged.model}", in_five_minutes(post.time_ms)) for post in scored)
    assert +Counter(series(rows, "_field")) == expected


def pie(rows: list[dict[str, Any]]) -> None:
    expected = Counter(label_of(post) for post in mine() if post.judged.label)
    assert {row["_field"]: row["_value"] for row in rows} == expected


def single(expected: int) -> Callable[[list[dict[str, Any]]], None]:
    def check(rows: list[dict[str, Any]]) -> None:
        assert [row["_value"] for row in rows] == [expected]

    return check


def largest(part: str, field: str) -> Callable[[list[dict[str, Any]]], None]:
    def check(rows: list[dict[str, Any]]) -> None:
        expected: dict[tuple[str, int], int] = {}
        for minute in range(MINUTES):
            for (kind, name), fields in health_at(minute).items():
                if kind == part:
                    key = (name, in_five_minutes(START_MS + 60_000 * minute))
                    expected[key] = max(expected.get(key, 0), fields[field])
        assert series(rows, "name") == expected

    return check


def dead_letters(rows: list[dict[str, Any]]) -> None:
    found = series(rows, "name")
    assert {key: value for key, value in found.items() if value} == {("pulse", START_MS + 20 * 60_000): 2}
    assert {name for name, _ in found} == {name for part in ("feed", "agent") for name in PARTS[part]}


def states(rows: list[dict[str, Any]]) -> None:
    expected = {f"{part}/{name}": 0 for part, names in PARTS.items() for name in names}
    assert {row["part"]: row["state"] for row in rows} == expected


EXPECTED: Final[Mapping[str, Callable[[list[dict[str, Any]]], None]]] = {
    "Shares of labels": shares,
    "Posts": single(len(mine())),
    "Late, so far": single(4),
    "Labels": pie,
    "State of the parts": states,
    "Posts by label": volume,
    "Mean scores": means,
    "Languages": ranking("language", lambda post: post.judged.lang),
    "Sources": ranking("source", lambda post: post.source),
    "Share of voice": voice,
    "Posts by model": models,
    "Messages that wait": largest("agent", "lag"),
    "Delay of the feeds": largest("feed", "watermark_delay_ms"),
    "Dead letters": dead_letters,
    "Size of the topics": largest("topic", "bytes"),
}


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_shows_what_the_posts_add_up_to(filled: Influxd, title: str) -> None:
    (target,) = PANELS[title]["targets"]
    EXPECTED[title](asked(filled, target["query"]))


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_of_a_time_without_anything_is_empty_and_no_error(filled: Influxd, title: str) -> None:
    (target,) = PANELS[title]["targets"]
    long_ago = as_grafana_sends(target["query"], start_ms=START_MS - 10**9, stop_ms=START_MS - 10**9 + 60_000)
    assert filled.query(long_ago) == []


def test_the_variables_offer_what_there_is(filled: Influxd) -> None:
    offered = {}
    for variable in DASHBOARD["templating"]["list"]:
        query = as_grafana_sends(variable["query"].replace("-90d", moment(START_MS)), start_ms=0, stop_ms=0)
        offered[variable["name"]] = {row["_value"] for row in filled.query(query)}
    assert offered == {"task": {post.task for post in POSTS}, "size": {size_name(size) for size in SIZES}}


def test_a_part_that_fails_is_marked_once_where_it_began(filled: Influxd) -> None:
    (annotation,) = [entry for entry in DASHBOARD["annotations"]["list"] if not entry.get("builtIn")]
    (row,) = asked(filled, annotation["target"]["query"])
    assert row == {"_time": moment(START_MS + 600_000), "text": "agent/language has failed"}


def fires(server: Influxd, uid: str, minutes: int, start_ms: int | None = None) -> dict[str, bool]:
    """Which instances of a rule are over its limit: `reduce last`, then `threshold`, as Grafana does it."""
    rule = RULES[uid]
    source, reduce, threshold = rule["data"]
    assert reduce["model"]["type"] == "reduce" and reduce["model"]["reducer"] == "last"
    stop_ms = START_MS + 60_000 * minutes
    since_ms = stop_ms - 1000 * source["relativeTimeRange"]["from"]
    rows = server.query(as_grafana_sends(source["model"]["query"], start_ms=since_ms, stop_ms=stop_ms))
    (condition,) = threshold["model"]["conditions"]
    kind, (limit,) = condition["evaluator"]["type"], condition["evaluator"]["params"]
    newest: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: ms_of(row["_time"])):
        newest["/".join(row[tag] for tag in ("part", "name", "task") if tag in row)] = row["_value"]
    return {name: value > limit if kind == "gt" else value < limit for name, value in newest.items()}


def test_alerts_fire_when_they_should_and_only_then(filled: Influxd) -> None:
    during, after = fires(filled, "heartbeat-part-failed", 12), fires(filled, "heartbeat-part-failed", 15)
    assert {name for name, over in during.items() if over} == {"agent/language"}
    assert during.keys() == after.keys() and not any(after.values())
    quiet = {f"{part}/{name}": False for part in ("feed", "agent") for name in PARTS[part]}
    assert fires(filled, "heartbeat-dead-letters", 22) == {**quiet, "agent/pulse": True}
    assert fires(filled, "heartbeat-dead-letters", 15) == quiet
    assert fires(filled, "heartbeat-silent", 30) == {"": False}
    assert fires(filled, "heartbeat-silent", MINUTES + 60) == {}
    assert RULES["heartbeat-silent"]["noDataState"] == "Alerting"
    assert not any(fires(filled, "heartbeat-lag", 30).values())
    filled.write(pipeline_line("agent", "pulse", {"lag": 6000}, START_MS + 10_000 + 60_000 * MINUTES), BUCKET)
    assert fires(filled, "heartbeat-lag", MINUTES + 1) == {"language": False, "pulse": True}


def test_a_task_is_called_negative_by_the_share_of_its_scored_posts(filled: Influxd) -> None:
    for minutes in (15, 20, MINUTES):
        since_ms, until_ms = START_MS + 60_000 * (minutes - 15), START_MS + 60_000 * minutes
        recent = [post for post in POSTS if since_ms <= post.time_ms < until_ms and post.judged.label]
        expected = {}
        for task in {post.task for post in recent}:
            labels = [post.judged.label for post in recent if post.task == task]
            if len(labels) >= 20:
                expected[task] = labels.count("negative") / len(labels) > 0.6
        assert fires(filled, "heartbeat-negative", minutes) == expected
        assert expected or minutes == MINUTES


def test_every_alert_is_about_a_panel_and_uses_the_data_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/heartbeat.yaml").read_text())["datasources"]
    ids = {str(panel["id"]) for panel in DASHBOARD["panels"]}
    for rule in RULES.values():
        assert rule["annotations"]["__dashboardUid__"] == DASHBOARD["uid"]
        assert rule["annotations"]["__panelId__"] in ids
        assert rule["data"][0]["datasourceUid"] == source["uid"]
        assert rule["condition"] == rule["data"][-1]["refId"]
    uids = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert uids == {source["uid"]}


async def test_what_the_dashboard_asks_of_the_pipeline_is_what_is_written(tmp_path: Path) -> None:
    """The fields and parts of `pipeline` that queries name are those that `pipeline_points` measures."""
    clock = FakeClock()
    board = HealthBoard(clock)
    board.report("agent/pulse", State.OK)
    log = SqliteLog.open(tmp_path / "log.db", clock=clock)
    log.create_topic(Topic("pulse"), 1)
    feed = FeedInfo("demo", True, (TASK,), "caught up", 0, "", clock.now_ms(), 0, 0, 0, 0.0, 0, "", None)
    agent: Any = SimpleNamespace(lag=lambda: 0, stats=Stats())
    sink = InfluxSink(InfluxPlace("http://127.0.0.1:1", "o", "b", SecretStr("t")), clock, board)
    lines = PipelinePoints(sink, clock, board)._measured({"pulse": agent}, [feed], log)
    log.close()
    written = {
        (re.findall(r"part=(\w+)", series)[0], field.split("=")[0])
        for series, fields, _ in (line.split(" ") for line in lines)
        for field in fields.split(",")
    }
    queries = [target["query"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    queries += [rule["data"][0]["model"]["query"] for rule in RULES.values()]
    asked_for = {
        (part, field)
        for query in queries
        if '"pipeline"' in query
        for part in re.findall(r'r\.part == "(\w+)"', query) or ["agent"]
        for field in re.findall(r'r\._field == "(\w+)"', query)
    }
    assert len(asked_for) >= 6 and asked_for <= written


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
