"""What the agents ask of models. Scores never depend on which texts are asked together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heartbeat.models.card import Card

UNKNOWN: Final = "und"
"""The code for a text that is in no language, or in none that the model knows."""


class LanguageGuess(NamedTuple):
    """A text's language: ISO 639-1 (`war`: 639-2) or `und`, with a calibrated probability in [0, 1]."""

    lang: str
    confidence: float
    model: str


class Sentiment(NamedTuple):
    """A text's scores. pos + neu + neg = 1; label is positive, neutral, negative or mixed; model is NAME/VERSION.

    Where there is nothing to score with, the figures are None and `unscored_reason` says why. `cut` says that the text
    was longer than the model reads: only its beginning was scored.
    """

    pos: float | None
    neu: float | None
    neg: float | None
    label: str | None
    model: str | None
    unscored_reason: str | None = None
    cut: bool = False


class Judgement(NamedTuple):
    """What a model says of some prepared texts: a row of probabilities for each, and whether it was cut."""

    rows: NDArray[np.float32]
    cut: Sequence[bool]


class SentimentModel(Protocol):
    """One model of whichever family, ready to be asked.

    Attributes:
        card: what `model.yaml` says.
        reference: NAME/VERSION.
    """

    card: Card
    reference: str

    def prepare(self, texts: Sequence[str]) -> list[str]:
        """Texts as the model reads them. What has no character left but space holds nothing to judge."""
        ...

    async def judge(self, prepared: Sequence[str]) -> Judgement:
        """Columns as in the card's `labels`; no row depends on the others."""
        ...

    def observe(self, told: Callable[[int, float], None]) -> None:
        """Have somebody told of each inference: of how many posts, and in how many seconds."""
        ...

    async def close(self) -> None:
        """Answer what has been asked, and let the model go."""
        ...


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

    def fast_model_for(self, task: str, lang: str) -> str | None:
        """The same while there is no time for a slow model; `model_for`'s where it is fast, or no other knows it."""
        ...

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        """One result for each text, in order."""
        ...
