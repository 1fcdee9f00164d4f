"""The three stream agents on the test driver, with small models whose answers are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from heartbeat import topics
from heartbeat.agents.language import LanguageAgent
from heartbeat.agents.pulse import PulseAgent
from heartbeat.agents.pulse_part import PulseTables
from heartbeat.agents.pulse_view import PulseView
from heartbeat.agents.scored import scored_table
from heartbeat.agents.sentiment import SentimentAgent
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.log import Log
from heartbeat.errors import Retry
from heartbeat.models.api import LanguageGuess, Sentiment
from heartbeat.models.overload import Overload
from heartbeat.records import Heartbeat, Post, Record
from heartbeat.testing import oracle
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.driver import Driver
from heartbeat.windows.ids import Layout

SIZES = (10, 60)
LATENESS_MS = 120_000
HORIZON_MS = 86_400_000
LONGEST_MS = 86_400_000
START_MS = 1_700_000_000_000 // 60_000 * 60_000
LANGS = ("en", "de", "tr")
UNSCORABLE = "tr"
FAST_MODEL = "fast/1"


def lang_of(text: str) -> str:
    return LANGS[crc32(text.encode()) % len(LANGS)]


def sentiment_of(model: str, text: str) -> Sentiment:
    """Some scores that are no round numbers, and add up to 1."""
    seed = crc32(f"{model}{text}".encode())
    a, b, c = seed % 997 + 1, seed // 997 % 991 + 1, seed // 9970 % 983 + 1
    pos, neu, neg = (part / (a + b + c) for part in (a, b, c))
    label = ("positive", "neutral", "negative", "mixed")[seed % 4]
    return Sentiment(pos, neu, neg, label, model)


class Models:
    """Both models, and a record of what the second was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        return [LanguageGuess(lang_of(text), 0.9, "language/1") for text in texts]

    def model_for(self, task: str, lang: str) -> str | None:
        if lang == UNSCORABLE:
            return None
        return "other/1" if task == "c" else "sentiment/1"

    def fast_model_for(self, task: str, lang: str) -> str | None:
        return None if lang == UNSCORABLE else FAST_MODEL

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        assert len(texts) == len(langs)
        if model is None:
            return [Sentiment(None, None, None, None, None, f"no model for {lang}") for lang in langs]
        self.asked += [(model, text) for text in texts]
        return [sentiment_of(model, text) for text in texts]


def judge(task: str, post: Post) -> oracle.Judged:
    """What the models will say, for the oracle."""
    lang = lang_of(post.content)
    model = Models().model_for(task, lang)
    if model is None:
        return oracle.Judged(lang)
    pos, neu, neg, label, said_by, *_ = sentiment_of(model, post.content)
    assert pos is not None and neu is not None and neg is not None
    return oracle.Judged(lang, label, pos, neu, neg, said_by)


@dataclass
class World:
    """A driver with the agents; `agents` may be replaced by a test that wants them different."""

    partitions: int = 4
    sizes: Sequence[int] = SIZES
    languages: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    windows_a_unit: int = 4000
    publish_ms: int = 1000
    lateness_ms: int = LATENESS_MS
    longest_ms: int = LONGEST_MS
    pulse_type: Callable[..., PulseAgent] = PulseAgent
    overload: Overload | None = None
    log: Log | None = None
    clock: FakeClock = field(default_factory=lambda: FakeClock(START_MS))
    undone: random.Random | None = None
    """Decides which units are undone after their handler has done its work."""
    beside: Callable[[World], list[AgentSpec]] = lambda world: []
    """Makes agents that read what these write, anew at each start."""

    def __post_init__(self) -> None:
        self._calm = False
        self.driver = Driver(self._build, partitions=self.partitions, clock=self.clock, log=self.log)
        self.models = Models()

    def _build(self) -> list[AgentSpec]:
        self.models = Models()
        self.tables = PulseTables.in_memory()
        self.pulse = self.pulse_type(
            self.tables,
            self.clock,
            partitions=self.partitions,
            layout=Layout(self.sizes),
            publish_ms=self.publish_ms,
            lateness_ms=self.lateness_ms,
            longest_wait_ms=self.longest_ms,
            windows_a_unit=self.windows_a_unit,
        )
        self.view = PulseView(self.pulse, self.partitions)
        sentiment = SentimentAgent(
            self.models,
            scored_table(),
            partitions=self.partitions,
            languages=self.languages,
            horizon_ms=HORIZON_MS,
            overload=self.overload,
        )
        specs = [
            LanguageAgent(self.models, hint_below=0.6).spec(max_messages=512),
            sentiment.spec(max_messages=512),
            self.pulse.spec(max_messages=512),
            *self.beside(self),
        ]
        return [self._often_undone(spec) for spec in specs] if self.undone else specs

    def _often_undone(self, spec: AgentSpec) -> AgentSpec:
        dice, tick = self.undone, spec.tick
        assert dice is not None

        async def handler(batch: Batch[Any], emit: Emit) -> None:
            await spec.handler(batch, emit)
            if dice.random() < 0.1 and not self._calm:
                raise Retry("undone by the test")

        async def ticked(partition: int, now_ms: int, emit: Emit) -> bool | None:
            assert tick is not None
            more = await tick(partition, now_ms, emit)
            if dice.random() < 0.1 and not self._calm:
                raise Retry("undone by the test")
            return more

        return replace(spec, handler=handler, tick=ticked if tick else None)

    async def start(self) -> World:
        await self.driver.start()
        return self

    async def post(self, post: Post) -> None:
        await self.driver.send(topics.INGEST, post, key=topics.post_key(post.source, post.id))

    async def beat(
        self,
        feed: str,
        watermark_ms: int,
        *,
        tasks: Sequence[str] | None = None,
        connected: bool = True,
        caught_up: bool = True,
    ) -> None:
        for partition in range(self.partitions):
            beat = Heartbeat(feed, partition, watermark_ms, caught_up, connected, tasks)
            await self.driver.send(topics.INGEST, beat, key=feed, partition=partition)

    async def pulses(self) -> list[Record]:
        return await self.driver.values(topics.PULSE)

    async def reader(self) -> oracle.Reader:
        assert not await self.driver.dead_letters()
        return oracle.Reader(await self.driver.values(topics.SENTIMENT), await self.driver.values(topics.PULSE))

    def calm(self) -> None:
        """From now on no unit is undone."""
        self._calm = True

    async def settle(self) -> None:
        """Work off everything there is, ticks included, until nothing is due."""
        self.calm()
        await self.driver.run_until_idle()
        for _ in range(200):
            before = await self.driver.values(topics.PULSE)
            await self.driver.advance(2)
            await self.driver.run_until_idle()
            if len(await self.driver.values(topics.PULSE)) == len(before) and not self.pending():
                return
        raise AssertionError("something is due for ever")

    def pending(self) -> bool:
        return any(self.pulse.part(partition).pending for partition in range(self.partitions))


def post(
    number: int | str,
    at_s: float,
    *,
    text: str | None = None,
    feed: str = "demo",
    tasks: Sequence[str] = ("a",),
    source: str = "x",
    op: str = "upsert",
    rev: int = 0,
) -> Post:
    """A post `at_s` seconds after `START_MS`."""
    time_ms = START_MS + round(at_s * 1000)
    content = f"post {number} revision {rev}" if text is None else text
    return Post(str(number), source, feed, list(tasks), op, rev, content, time_ms, time_ms)  # type: ignore[arg-type]
