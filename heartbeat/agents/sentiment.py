"""The agent `sentiment`: counts each post once and scores it once for each model.

language (Detected, by id) ─► sentiment (Scored, by task). A heartbeat goes to every partition of `sentiment`, in order
with the posts of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from heartbeat import topics
from heartbeat.agents.deliveries import Change, delivered
from heartbeat.agents.scored import FAST, LIVE, REPLAY, TOMBSTONE, PostKey, Result, ScoredRow, scope_of
from heartbeat.engine.agent import AgentSpec, Batch, DiskTable, DiskTablePart, Emit
from heartbeat.models.api import SentimentScorer
from heartbeat.models.overload import Overload
from heartbeat.records import END_OF_TIME_MS, Detected, Heartbeat

TICK_S: Final = 0.25
_EXPIRED_PER_TICK: Final = 3000
"""With `TICK_S`: 12,000 posts a second and partition, in steps of some 15 ms."""


class _Step(NamedTuple):
    """A post of the batch that changes something."""

    post: Detected
    key: PostKey
    change: Change


class _Asked:
    """The texts that one model is asked about."""

    __slots__ = ("langs", "results", "texts")

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.texts: list[str] = []
        self.langs: list[str] = []


class SentimentAgent:
    """Drops duplicates, scores each post once for each model, takes back what was edited or deleted.

    Args:
        scorer: asked once for each batch and model.
        scored: what is remembered of each post; only this agent writes it.
        partitions: of the topic `sentiment`.
        languages: by task, the languages whose posts it takes; None, or no entry: all.
        horizon_ms: how long after its arrival a post is known again. A replay's posts stay until it has ended.
        overload: says when live posts go to the fast model; None: never.
    """

    def __init__(
        self,
        scorer: SentimentScorer,
        scored: DiskTable[PostKey, ScoredRow],
        *,
        partitions: int,
        languages: Mapping[str, Collection[str] | None],
        horizon_ms: int,
        overload: Overload | None = None,
    ) -> None:
        self._scorer, self._scored, self._overload = scorer, scored, overload
        self._partitions, self._horizon_ms = partitions, horizon_ms
        self._languages = languages
        self._partition_of: dict[str, int] = {}

    def spec(self, *, max_messages: int) -> AgentSpec:
        """The agent as the engine runs it."""
        return AgentSpec(
            "sentiment",
            topics.LANGUAGE,
            self,
            tick=self.tick,
            tick_s=TICK_S,
            max_messages=max_messages,
            tables=(self._scored,),
        )

    async def __call__(self, batch: Batch[Detected | Heartbeat], emit: Emit) -> None:
        """Pass a batch on: each post once for each of its tasks."""
        table = self._scored.part(batch.partition)
        steps = self._decide(batch, table)
        await self._score([step for step in steps if isinstance(step, _Step)])
        newest: dict[PostKey, ScoredRow] = {}
        for step in steps:
            if isinstance(step, Heartbeat):
                for partition in range(self._partitions):
                    emit(topics.SENTIMENT, step, key=step.feed, partition=partition)
            else:
                self._emit(step, emit)
                newest[step.key] = step.change.after
        for key, row in newest.items():
            table.put(key, row, expires_ms=row.arrived_ms + self._horizon_ms)

    def _decide(
        self, batch: Batch[Detected | Heartbeat], table: DiskTablePart[PostKey, ScoredRow]
    ) -> list[_Step | Heartbeat]:
        """What each message of the batch changes, as if each came alone. Nothing has been scored yet."""
        keys: list[PostKey | None] = []
        for event in batch:
            value = event.value
            if not isinstance(value, Heartbeat):
                keys.append(PostKey(scope_of(value.feed), value.source, value.id))
            else:
                keys.append(_running(value.feed) if value.feed.startswith(REPLAY) else None)
        rows: dict[PostKey, ScoredRow] = table.get_many(list({key for key in keys if key is not None}))
        steps: list[_Step | Heartbeat] = []
        wanted = self._wanted
        hurried = self._overload is not None and self._overload.look(batch.partition, _oldest_live(batch))
        usual, fast = self._scorer.model_for, self._scorer.fast_model_for
        for event, key in zip(batch, keys, strict=True):
            value = event.value
            if isinstance(value, Heartbeat):
                steps.append(value)
                if key is not None:
                    self._note_replay(value, key, rows, table)
            elif key is not None:
                scope = key.scope
                model_for = fast if scope.endswith(FAST) or (hurried and scope == LIVE) else usual
                change = delivered(rows.get(key), value, event.timestamp_ms, wanted, model_for)
                if change is not None:
                    rows[key] = change.after
                    steps.append(_Step(value, key, change))
        return steps

    async def _score(self, steps: list[_Step]) -> None:
        asked: dict[str | None, _Asked] = {}
        for post, _, change in steps:
            for result in change.asks:
                of_model = asked.get(result.asked)
                if of_model is None:
                    of_model = asked[result.asked] = _Asked()
                of_model.results.append(result)
                of_model.texts.append(post.content)
                of_model.langs.append(change.after.lang)
        answers = await asyncio.gather(
            *(self._scorer.score(model, of_model.texts, of_model.langs) for model, of_model in asked.items())
        )
        for of_model, sentiments in zip(asked.values(), answers, strict=True):
            for result, sentiment in zip(of_model.results, sentiments, strict=True):
                result.sentiment = sentiment

    def _emit(self, step: _Step, emit: Emit) -> None:
        post, _, change = step
        if not change.gone and not change.come:
            return
        post_id, source = post.id, post.source
        message_key = topics.post_key(source, post_id)
        partition_of = self._partition_of
        for task in change.gone:
            if change.before is not None:
                partition = partition_of.get(task)
                emit(
                    topics.SENTIMENT,
                    change.before.retract(post_id, source, task),
                    key=message_key,
                    partition=self._place(task) if partition is None else partition,
                )
        content = post.content if change.has_text else None
        for task in change.come:
            partition = partition_of.get(task)
            emit(
                topics.SENTIMENT,
                change.after.add(post_id, source, task, content),
                key=message_key,
                partition=self._place(task) if partition is None else partition,
            )

    def _place(self, task: str) -> int:
        partition = self._partition_of[task] = topics.partition_of(task, self._partitions)
        return partition

    def _wanted(self, task: str, lang: str) -> bool:
        languages = self._languages.get(task)
        return languages is None or lang in languages

    # -- forgetting -----------------------------------------------------------------------------------------------

    def _note_replay(
        self,
        heartbeat: Heartbeat,
        marker: PostKey,
        rows: dict[PostKey, ScoredRow],
        table: DiskTablePart[PostKey, ScoredRow],
    ) -> None:
        """Keep a row for as long as a replay runs: its posts are remembered until then."""
        if heartbeat.watermark_ms >= END_OF_TIME_MS:
            if rows.pop(marker, None) is not None:
                table.delete(marker)
        elif marker not in rows:
            rows[marker] = TOMBSTONE
            table.put(marker, TOMBSTONE)

    async def tick(self, partition: int, now_ms: int, emit: Emit) -> None:
        """Forget posts whose horizon is over, some at a time."""
        if self._overload is not None and not self._overload.lag():
            self._overload.look(partition, None)
        table = self._scored.part(partition)
        running: dict[str, bool] = {}
        for key, row in table.expired(now_ms, _EXPIRED_PER_TICK):
            scope = key.scope
            if scope != LIVE and scope not in running:
                running[scope] = bool(table.get_many([_running(scope)]))
            if running.get(scope):
                table.put(key, row, expires_ms=now_ms + self._horizon_ms)
            else:
                table.delete(key)


def _oldest_live(batch: Batch[Detected | Heartbeat]) -> int | None:
    """When the first live post of a batch was appended; None if most of it is replays': these may wait."""
    live = [event.timestamp_ms for event in batch if scope_of(event.value.feed) == LIVE]
    return live[0] if 2 * len(live) >= len(batch) else None


def _running(replay: str) -> PostKey:
    """The row that is there while a replay runs; no post has an empty source."""
    return PostKey(replay, "", "")
