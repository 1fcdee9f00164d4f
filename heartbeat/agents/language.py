"""The agent `language`: finds the language of each post.

ingest (Post) ─► language (Detected), in the same partition. Heartbeats pass on in order.
"""

from __future__ import annotations

from typing import Final

from heartbeat import topics
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.models.api import UNKNOWN, LanguageGuess, LanguageIdentifier
from heartbeat.records import Detected, Heartbeat, Post
from heartbeat.tasks.hints import language_of

HINT: Final = "hint"
"""Stands for the model where the feed's own word decided."""

_UNASKED: Final = LanguageGuess(UNKNOWN, 0.0, "")


class LanguageAgent:
    """Finds the language of each post.

    A feed's own word decides where the model is less sure than `hint_below`; the confidence then stays the model's.
    Deletions have no text: they pass without a look, as `und`.

    Args:
        identifier: asked once for each batch.
        hint_below: in [0, 1].
    """

    def __init__(self, identifier: LanguageIdentifier, *, hint_below: float) -> None:
        self._identifier, self._hint_below = identifier, hint_below

    def spec(self, *, max_messages: int) -> AgentSpec:
        """The agent as the engine runs it."""
        return AgentSpec("language", topics.INGEST, self, max_messages=max_messages)

    async def __call__(self, batch: Batch[Post | Heartbeat], emit: Emit) -> None:
        """Pass a batch on, with languages."""
        texts = [event.value.content for event in batch if type(event.value) is Post and event.value.op == "upsert"]
        found = iter(await self._identifier.identify(texts) if texts else ())
        partition, hint_below, topic, post_key = batch.partition, self._hint_below, topics.LANGUAGE, topics.post_key
        for event in batch:
            post = event.value
            if isinstance(post, Heartbeat):
                emit(topic, post, key=post.feed, partition=partition)
                continue
            lang, confidence, model = next(found) if post.op == "upsert" else _UNASKED
            if confidence < hint_below and post.lang_hint is not None and post.op == "upsert":
                hinted = language_of(post.lang_hint)
                if hinted is not None and hinted != lang:
                    lang, model = hinted, HINT
            detected = Detected._make((*post, lang, confidence, model))
            emit(topic, detected, key=event.key or post_key(post.source, post.id), partition=partition)
