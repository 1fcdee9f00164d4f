"""The models that the settings name, loaded when they are needed: an app can be built, and listed, without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heartbeat.models import load_models
from heartbeat.models.api import LanguageGuess, Sentiment

if TYPE_CHECKING:
    from heartbeat.models.language import NgramLanguageIdentifier
    from heartbeat.models.sentiment import ConfiguredScorer
    from heartbeat.settings import Settings


class ConfiguredModels:
    """A `LanguageIdentifier` and a `SentimentScorer`; `load` comes before anything is asked of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._language: NgramLanguageIdentifier
        self._sentiment: ConfiguredScorer

    def load(self) -> None:
        """Load every model that the settings name.

        Raises:
            ModelError: one is missing, damaged or unfit.
        """
        self._language, self._sentiment = load_models(self._settings)

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """See `api.LanguageIdentifier`."""
        return await self._language.identify(texts)

    def model_for(self, task: str, lang: str) -> str | None:
        """See `api.SentimentScorer`."""
        return self._sentiment.model_for(task, lang)

    def fast_model_for(self, task: str, lang: str) -> str | None:
        """See `api.SentimentScorer`."""
        return self._sentiment.fast_model_for(task, lang)

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        """See `api.SentimentScorer`."""
        return await self._sentiment.score(model, texts, langs)

    async def close(self) -> None:
        """Let the models go; a second call, or one before `load`, does nothing."""
        for model in (getattr(self, "_language", None), getattr(self, "_sentiment", None)):
            if model is not None:
                await model.close()
