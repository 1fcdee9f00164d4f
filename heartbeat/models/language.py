"""Finds the language of texts with a character n-gram model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heartbeat.models.api import UNKNOWN, LanguageGuess
from heartbeat.models.ngram import NgramModel


class NgramLanguageIdentifier:
    """The most probable label, and its probability to six places."""

    def __init__(self, model: NgramModel) -> None:
        self._model = model
        self._labels = model.card.labels
        self._nothing = LanguageGuess(UNKNOWN, 1.0, model.reference)

    @property
    def model(self) -> str:
        """NAME/VERSION."""
        return self._model.reference

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """One guess for each text, in order. A text of nothing but space, links and mentions is `und`."""
        prepared = self._model.prepare(texts)
        present = [text for text in prepared if text and not text.isspace()]
        rows = await self._model.probabilities(present)
        best = rows.argmax(axis=1)
        confidences = np.take_along_axis(rows, best[:, None], axis=1)[:, 0].astype(np.float64).round(6)
        labels, reference = self._labels, self._model.reference
        guesses = [
            LanguageGuess(labels[index], confidence, reference)
            for index, confidence in zip(best.tolist(), confidences.tolist(), strict=True)
        ]
        if len(guesses) == len(texts):
            return guesses
        each = iter(guesses)
        return [next(each) if text and not text.isspace() else self._nothing for text in prepared]

    async def close(self) -> None:
        """Answer what has been asked, and let the model go."""
        await self._model.close()
