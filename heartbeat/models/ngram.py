"""A model of the character n-gram family, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ModelUnfit
from heartbeat.models.api import Judgement
from heartbeat.models.batching import Limits, MicroBatcher
from heartbeat.models.card import Card
from heartbeat.models.catalogue import Entry
from heartbeat.models.runtime import Graph
from heartbeat.models.text import prepare, to_codes

PROBES: Final = ("", "a", "Hello, Welt! Ça va? 42", "🎉🎉🎉", "日本語 русский العربية", "x" * 700, "\0\U0010ffff")
"""Texts that a graph is tried on when it is loaded: none may make it fail or answer nonsense."""


class NgramModel:
    """Gives texts their labels' probabilities.

    Attributes:
        card: what `model.yaml` says.
        reference: NAME/VERSION.
    """

    def __init__(self, entry: Entry, graph: Graph, limits: Limits | None = None) -> None:
        self.card: Card = entry.card
        self.reference = entry.reference
        self._graph = graph
        self._batcher = MicroBatcher(self._infer, length=len, columns=len(self.card.labels), limits=limits)

    @classmethod
    def load(
        cls,
        entry: Entry,
        *,
        kind: Literal["language", "sentiment"],
        limits: Limits | None = None,
    ) -> NgramModel:
        """Verify a model's files, load it and try it.

        Raises:
            ModelDamaged: a file is not what it was.
            ModelUnfit: it is of another kind, or does not do what its card says.
        """
        if (entry.card.kind, entry.card.family) != (kind, "ngram"):
            raise ModelUnfit(
                f"model {entry.reference} cannot be used for {kind}: it is a {entry.card.kind} model of the family "
                f"{entry.card.family}; name a {kind} model of the family ngram instead"
            )
        entry.verify()
        graph = Graph(entry)
        try:
            _try_out(entry, graph)
        except BaseException:
            graph.close()
            raise
        return cls(entry, graph, limits)

    def prepare(self, texts: Sequence[str]) -> list[str]:
        """Texts as the model reads them. What has no character left but space holds nothing to judge."""
        return list(map(prepare, texts))

    async def probabilities(self, prepared: Sequence[str]) -> NDArray[np.float32]:
        """A row for each prepared text, in order; columns as in the card's `labels`. What is too long is cut."""
        most = self.card.max_chars
        return await self._batcher.ask([text if len(text) <= most else text[:most] for text in prepared])

    async def judge(self, prepared: Sequence[str]) -> Judgement:
        """See `api.SentimentModel`."""
        most = self.card.max_chars
        return Judgement(await self.probabilities(prepared), [len(text) > most for text in prepared])

    def observe(self, told: Callable[[int, float], None]) -> None:
        """See `api.SentimentModel`."""
        self._batcher.observed = told

    async def close(self) -> None:
        """Answer what has been asked, and end the model's thread."""
        await self._batcher.close()
        self._graph.close()

    async def _infer(self, groups: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        return await self._graph.over(self._graph.run, [to_codes(group) for group in groups])


def _try_out(entry: Entry, graph: Graph) -> None:
    try:
        rows = graph.run(to_codes([prepare(text)[: entry.card.max_chars] for text in PROBES]))
    except Exception as error:  # ONNX Runtime's exceptions have no common type of their own
        raise ModelUnfit(f"model {entry.reference} cannot be used: it fails on a trial text: {error}") from error
    check_answers(entry, rows)


def check_answers(entry: Entry, rows: NDArray[np.float32]) -> None:
    """Hold the answers to `PROBES` against what every model promises.

    Raises:
        ModelUnfit: they are no probabilities, or not one for each label.
    """
    labels = len(entry.card.labels)
    if rows.shape != (len(PROBES), labels):
        raise ModelUnfit(
            f"model {entry.reference} cannot be used: it answers {len(PROBES)} texts with an array of "
            f"{' by '.join(map(str, rows.shape))}, but its card has {labels} labels"
        )
    if not (np.all(rows >= 0) and np.allclose(rows.sum(axis=1), 1, atol=1e-3)):
        raise ModelUnfit(f"model {entry.reference} cannot be used: its answers are no probabilities that add up to 1")
