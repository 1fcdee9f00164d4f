"""A small world for the web side: people talk, and what they say is in a log, a live table and a history.

It keeps its own, plain arithmetic over posts, so that tests can hold what the web side says against it. The log is a
real one (in memory), with real records in real topics; the pages read it as they read any other.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heartbeat import topics
from heartbeat.clock import Clock, SystemClock
from heartbeat.codec import Codec
from heartbeat.corrections.desk import Desk
from heartbeat.corrections.rows import Gone, SeenPost
from heartbeat.corrections.store import Corrections
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.errors import PostNotThere, TextNotKept
from heartbeat.feeds.base import FeedState
from heartbeat.health import HealthBoard, State
from heartbeat.insights.company import Company
from heartbeat.insights.insight import Past, Span
from heartbeat.insights.voice import Said
from heartbeat.records import BEFORE_TIME_MS, Figures, Heartbeat, Late, Pulse, Record, Scored
from heartbeat.settings import Settings
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary
from heartbeat.tasks import Task, parse
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.web import FeedInfo, LogTail
from heartbeat.web.sources import LiveRecord

SIZES = (10, 60, 900)
LATENESS_MS = 900_000
HISTORY = "heartbeat-history"
SAYINGS = {
    "positive": [
        ("en", "My Aurora One arrived a day early and it is gorgeous 😍"),
        ("de", "Endlich ein Akku, der zwei Tage hält. Großartig!"),
        ("fr", "Franchement bluffé par la photo de nuit, bravo"),
        ("ja", "新しいカメラ、本当にきれい!"),
        ("ar", "أفضل هاتف استخدمته منذ سنوات"),
        ("es", "Qué rápido responde el soporte ahora, gracias 🙌"),
    ],
    "negative": [
        ("en", "third outage this week @auroracare, I want a refund"),
        ("es", "Otra vez caído… esto es una vergüenza"),
        ("de", "Seit dem Update geht gar nichts mehr. Danke für nichts."),
        ("tr", "Müşteri hizmetleri yarım saattir cevap vermiyor"),
        ("pt", "Bateria morreu às onze da manhã. De novo."),
    ],
    "neutral": [
        ("en", "Aurora One ships in three colours from Thursday http"),
        ("it", "Il nuovo modello pesa 184 grammi"),
        ("nl", "Update 2.1 staat klaar om te downloaden"),
        ("pl", "Konferencja zaczyna się o 18:00"),
    ],
    "mixed": [
        ("en", "Love the screen, hate the battery"),
        ("fr", "Belle bête, mais quel prix…"),
    ],
    "unscored": [("und", "👀👀👀"), ("und", "4815162342")],
}


@dataclass
class Kept:
    """A post as the world remembers it."""

    row: PostRow
    retracted: bool = False


@dataclass
class World:
    """See the module. `sealed_ms` is where windows are sealed up to, for each task."""

    clock: Clock
    tasks_given: Sequence[Task]
    settings: Settings
    partitions: int = 2
    seed: int = 1
    is_ready: bool = True
    lags: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.health = HealthBoard(self.clock)
        self.log = MemoryLog(self.clock)
        for topic in topics.ALL:
            self.log.create_topic(topic, self.partitions)
        self.codec = Codec(self.log)
        self.table: dict[tuple[str, int, int], Pulse] = {}
        self.changed: set[tuple[str, int, int]] = set()
        self.stored: dict[tuple[str, int, int], Pulse] = {}
        self.unheard: list[tuple[str, int, int]] = []
        """Of which times feeds have heard nothing: (feed, from, to)."""
        self.kept: dict[tuple[str, str, str], Kept] = {}
        self.late: defaultdict[str, int] = defaultdict(int)
        self.feed_infos: dict[str, FeedInfo] = {}
        self.watermarks: dict[str, int] = {}
        self.number = 0
        self.history = WorldHistory(self)
        folder = Path(tempfile.mkdtemp(prefix="heartbeat-world-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.store = Corrections(folder / "corrections.db", writing=True)
        self.corrections = Desk(lambda: self.store, self.history.seen, self.clock)
        self._tail = LogTail(self.log, self.codec, history_group=HISTORY)

    # -- what the web side asks for ---------------------------------------------------------------------------------

    def tasks(self) -> Sequence[Task]:
        return self.tasks_given

    def languages(self) -> Sequence[str]:
        return ["de", "en", "fr", "tr", "und"]

    def ready(self) -> bool:
        return self.is_ready

    def open_windows(self, task: str, size_s: int) -> Iterable[Pulse]:
        return [window for (name, size, _), window in self.table.items() if (name, size) == (task, size_s)]

    def live_window(self, task: str, size_s: int, start_ms: int) -> Pulse | None:
        return self.table.get((task, size_s, start_ms))

    def watermark_ms(self, task: str) -> int:
        return self.watermarks.get(task, BEFORE_TIME_MS)

    def feeds(self) -> Sequence[FeedInfo]:
        return list(self.feed_infos.values())

    def lag(self) -> Mapping[str, int]:
        return self.lags

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"# nothing is measured here\n", "text/plain"

    def tail(self) -> AsyncIterator[LiveRecord]:
        return self._tail()

    # -- what happens in it -----------------------------------------------------------------------------------------

    def say(
        self,
        task: str,
        time_ms: int,
        *,
        content: str | None = None,
        label: str | None = None,
        lang: str | None = None,
        source: str = "x",
        post_id: str | None = None,
        feed: str = "demo",
    ) -> Scored:
        """A post is scored: it goes to `sentiment`, into its windows, and is kept."""
        label = label or self.random.choices(list(SAYINGS), (40, 25, 25, 7, 3))[0]
        said_lang, said = self.random.choice(SAYINGS[label])
        self.number += 1
        pos, neu, neg = self._scores(label)
        scored = Scored(
            id=post_id or f"p{self.number}",
            source=source,
            feed=feed,
            task=task,
            op="add",
            rev=0,
            time_ms=time_ms,
            lang=lang or said_lang,
            lang_confidence=round(self.random.uniform(0.55, 0.99), 3),
            pos=pos,
            neu=neu,
            neg=neg,
            label=None if label == "unscored" else label,
            unscored_reason="no letters" if label == "unscored" else None,
            model=None if label == "unscored" else "sentiment-fast/1.0.0",
            content=said if content is None else content,
        )
        self.append(topics.SENTIMENT, scored)
        row = PostRow(
            *scored[:2], task, time_ms, *scored[7:9], scored.label, pos, neu, neg, scored.model,
            scored.unscored_reason, False, scored.rev, scored.feed, scored.content,
        )  # fmt: skip
        self.kept[task, scored.source, scored.id] = Kept(row)
        self._count(scored, +1)
        return scored

    def take_back(self, scored: Scored) -> None:
        """A post is deleted."""
        self.append(topics.SENTIMENT, scored._replace(op="retract", content=None))
        self.kept[scored.task, scored.source, scored.id].retracted = True
        self.store.retract([Gone(scored.source, scored.id, scored.rev)])
        self._count(scored, -1)

    def publish(self) -> int:
        """Publish changed windows to `pulse` and hand them to history. Gives how many."""
        for key in sorted(self.changed):
            window = self.table[key]
            self.append(topics.PULSE, window)
            self.stored[key] = window
        count = len(self.changed)
        self.changed.clear()
        return count

    def miss(self, feed: str, from_ms: int, to_ms: int) -> None:
        """A feed has heard nothing of this time."""
        self.unheard.append((feed, from_ms, to_ms))
        self.append(topics.SENTIMENT, Heartbeat(feed, 0, to_ms, True, True, None, from_ms, to_ms), key=feed)

    def close(self, task: str, watermark_ms: int) -> None:
        """Close windows that end by the watermark, and seal those that ended long before."""
        self.watermarks[task] = max(watermark_ms, self.watermark_ms(task))
        for key, window in list(self.table.items()):
            end_ms = window.start_ms + 1000 * window.size_s
            if window.task != task or end_ms > watermark_ms:
                continue
            if not window.final:
                self.table[key] = window._replace(final=True, revision=1)
                self.changed.add(key)
            elif end_ms + LATENESS_MS <= watermark_ms and key not in self.changed:
                del self.table[key]

    def come_late(self, scored: Scored) -> None:
        """A post came for a sealed window."""
        self.late[scored.task] += 1
        self.append(topics.PULSE, Late(*scored[:15]))

    def live_through(self, from_ms: int, to_ms: int, rate: float) -> None:
        """Let every configured task talk over a time, with moods that come and go."""
        for at, task in enumerate(self.tasks_given):
            moment = from_ms
            while moment < to_ms:
                self.say(task.name, moment, label=self.mood(at, moment))
                moment += max(1, round(self.random.expovariate(rate * self.loudness(at, moment)) * 1000))
            self.close(task.name, to_ms - 5_000)
        self.publish()

    def mood(self, at: int, moment_ms: int) -> str:
        """A label whose odds drift: launch, outage, apology."""
        phase = ((moment_ms / 1000 + at * 400) % 1500) / 1500
        odds = (45, 10, 35, 7, 3) if phase < 0.45 else (8, 60, 20, 9, 3) if phase < 0.75 else (25, 22, 40, 10, 3)
        return self.random.choices(["positive", "negative", "neutral", "mixed", "unscored"], odds)[0]

    def loudness(self, at: int, moment_ms: int) -> float:
        phase = ((moment_ms / 1000 + at * 400) % 1500) / 1500
        return (0.6 if phase < 0.45 else 2.2 if phase < 0.6 else 1.2) * (1 + 0.5 * ((moment_ms // 30_000) % 3))

    def report(self) -> None:
        """Feeds and health as they are."""
        now_ms = self.clock.now_ms()
        names = [task.name for task in self.tasks_given]
        self.feed_infos["demo"] = FeedInfo("demo", True, names, FeedState.CAUGHT_UP, now_ms - 5_000, self.number)
        for part in ("feed/demo", "agent/language", "agent/sentiment", "agent/pulse", "sink/history"):
            self.health.report(part, State.OK)

    def _scores(self, label: str) -> tuple[float | None, float | None, float | None]:
        if label == "unscored":
            return None, None, None
        high = round(self.random.uniform(0.55, 0.95), 6)
        rest = round((1 - high) * self.random.random(), 6)
        last = round(1 - high - rest, 6)
        if label == "positive":
            return high, rest, last
        if label == "negative":
            return last, rest, high
        return (rest, high, last) if label == "neutral" else (0.46, 0.12, 0.42)

    def append(self, topic: topics.Topic, record: Record, *, key: str | None = None) -> None:
        key = key or record.task  # type: ignore[union-attr]
        partition = topics.partition_of(key, self.partitions)
        unit = UnitWrite([Append(topic.name, partition, key.encode(), self.codec.encode(record))])
        self.log.write(unit)

    def _count(self, scored: Scored, sign: int) -> None:
        for size_s in SIZES:
            start_ms = scored.time_ms - scored.time_ms % (1000 * size_s)
            key = (scored.task, size_s, start_ms)
            window = self.table.get(key) or Pulse(scored.task, size_s, start_ms, 0, False, 0, Figures(), {}, {})
            lang, source = scored.lang, scored.source
            self.table[key] = window._replace(
                overall=_added(window.overall, scored, sign),
                by_lang={**window.by_lang, lang: _added(window.by_lang.get(lang, Figures()), scored, sign)},
                by_source={**window.by_source, source: _added(window.by_source.get(source, Figures()), scored, sign)},
                by_model=_counted(window.by_model, scored.model, sign),
                late=self.late[scored.task],
                revision=window.revision + 1 if window.final else 0,
            )
            self.changed.add(key)


def _counted(models: Mapping[str, int], model: str | None, sign: int) -> Mapping[str, int]:
    if model is None:
        return models
    counts = {**models, model: models.get(model, 0) + sign}
    return {name: count for name, count in counts.items() if count}


def _added(figures: Figures, scored: Scored, sign: int) -> Figures:
    if scored.label is None:
        return figures._replace(unscored=figures.unscored + sign)
    assert scored.pos is not None and scored.neu is not None and scored.neg is not None
    counts = figures._asdict()
    counts[scored.label] += sign
    counts["scored"] += sign
    for name, score in (("pos_e6", scored.pos), ("neu_e6", scored.neu), ("neg_e6", scored.neg)):
        counts[name] += sign * round(score * 1e6)
    return Figures(**counts)


class WorldHistory:
    """History as the web side reads it, over what the world has published."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def tasks(self) -> Sequence[Summary]:
        spans: dict[str, Summary] = {}
        for task, size_s, start_ms in self._world.stored:
            window = self._world.stored[task, size_s, start_ms]
            if size_s != min(SIZES):
                continue
            before = spans.get(task, Summary(task, start_ms, start_ms, 0, 0, self._world.late[task], SIZES))
            spans[task] = before._replace(
                from_ms=min(before.from_ms, start_ms),
                to_ms=max(before.to_ms, start_ms + 1000 * size_s),
                total=before.total + window.overall.scored + window.overall.unscored,
                unscored=before.unscored + window.overall.unscored,
            )
        return list(spans.values())

    async def windows(self, task: str, size_s: int, from_ms: int, to_ms: int, by: By) -> Sequence[FiguresRow]:
        rows: list[FiguresRow] = []
        for (name, size, start_ms), window in sorted(self._world.stored.items()):
            if (name, size) != (task, size_s) or not from_ms <= start_ms < to_ms:
                continue
            scored_by = {model: Figures(scored=posts) for model, posts in window.by_model.items()}
            parts = {
                "all": {"all": window.overall},
                "lang": window.by_lang,
                "source": window.by_source,
                "model": scored_by,
            }[by]
            rows += [
                FiguresRow(start_ms, key, part, window.revision, window.final, size_s) for key, part in parts.items()
            ]
        return rows

    async def unheard(self, feeds: Sequence[str], from_ms: int, to_ms: int) -> Sequence[Span]:
        missed = sorted((first, last) for feed, first, last in self._world.unheard if feed in feeds)
        return [(first, last) for first, last in missed if first < to_ms and last > from_ms]

    def seen(self, task: str, time_ms: int, source: str, post_id: str) -> SeenPost:
        kept = self._world.kept.get((task, source, post_id))
        if kept is None or kept.retracted or kept.row.time != time_ms:
            raise PostNotThere
        row = kept.row
        if row.content is None:
            raise TextNotKept
        return SeenPost(
            source, post_id, 0, row.content, task, time_ms,
            row.label, row.lang, row.lang_confidence, row.pos, row.neu, row.neg, row.model,
        )  # fmt: skip

    async def posts(self, task: str, limit: int) -> Sequence[PostRow]:
        mine = [kept.row for (name, _, _), kept in self._world.kept.items() if name == task and not kept.retracted]
        return sorted(mine, key=lambda row: row.time, reverse=True)[:limit]

    async def past(self, task: str, size_s: int, company: Company, spans: Sequence[Span]) -> Past:
        def within(names: Sequence[str]) -> list[Pulse]:
            return [
                window
                for (name, size, start_ms), window in self._world.stored.items()
                if name in names and size == size_s and any(first <= start_ms < last for first, last in spans)
            ]

        def together(names: Sequence[str]) -> dict[int, int]:
            posts: defaultdict[int, int] = defaultdict(int)
            for window in within(names):
                posts[window.start_ms] += window.overall.scored + window.overall.unscored
            return dict(posts)

        mine = within([task])
        return Past(
            size_s,
            {window.start_ms: window.overall for window in mine},
            together(company.alike),
            min((start for name, size, start in self._world.stored if (name, size) == (task, size_s)), default=None),
            None if company.voices is None else together(company.voices),
            {window.start_ms for window in mine if not window.final},
            await self.unheard(company.feeds, spans[0][0], spans[-1][1]),
        )

    async def said(self, tasks: Sequence[str], size_s: int, from_ms: int, to_ms: int) -> Sequence[Said]:
        return [
            Said(name, start_ms, window.overall.scored + window.overall.unscored, window.final)
            for (name, size, start_ms), window in self._world.stored.items()
            if name in tasks and size == size_s and from_ms <= start_ms < to_ms
        ]

    async def newest(self, tasks: Sequence[str], size_s: int) -> int | None:
        return max(
            (
                start_ms
                for (name, size, start_ms), window in self._world.stored.items()
                if name in tasks and size == size_s and window.final
            ),
            default=None,
        )


def new_world(*names: str, minutes: float = 12, rate: float = 0.5) -> World:
    """A world with a past, that says nothing of its own accord from now on."""
    world = World(SystemClock(), some_tasks(*(names or ("aurora", "tram"))), Settings.model_validate({}))
    now_ms = world.clock.now_ms()
    if minutes:
        world.live_through(now_ms - round(minutes * 60_000), now_ms, rate)
    world.report()
    return world


def some_tasks(*names: str) -> list[Task]:
    titles = {"aurora": "Aurora One", "tram": "City trams", "coffee": "Bean & Bloom"}
    return [Task(name, titles.get(name, name), parse(f'{name} "{name} one"'), ("demo",)) for name in names]
