"""What the agents ask of models. Scores never depend on which texts are asked together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

UNKNOWN: Final = "und"
"""The code for a text that is in no language, or in none that the model knows."""


class LanguageGuess(NamedTuple):
    """A text's language: ISO 639-1 (`war`: 639-2) or `und`, with a calibrated probability in [0, 1]."""

    lang: str
    confidence: float
    model: str


class Sentiment(NamedTuple):
    """A text's scores. pos + neu + neg = 1; label is positive, neutral, negative or mixed; model is NAME/VERSION.

    Where there is nothing to score with, the figures are None and `unscored_reason` says why.
    """

    pos: float | None
    neu: float | None
    neg: float | None
    label: str | None
    model: str | None
    unscored_reason: str | None = None


class LanguageIdentifier(Protocol):
    """Finds the language of texts."""

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """One guess for each text, in order. Empty text is `und`."""
        ...


class SentimentScorer(Protocol):
    """Scores texts with whichever model the configuration chooses."""

    def model_for(self, task: str, lang: str) -> str | None:
        """The model (NAME/VERSION) that scores this task's posts in this language; None leaves them unscored."""
        ...

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        """One result for each text, in order."""
        ...
