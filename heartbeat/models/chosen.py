"""The models that one reading of the settings names, loaded. What an earlier reading named too is taken from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from heartbeat.errors import ModelMissing
from heartbeat.models.api import SentimentModel
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.language import NgramLanguageIdentifier
from heartbeat.models.ngram import NgramModel
from heartbeat.models.sentiment import ConfiguredScorer, load_sentiment
from heartbeat.settings import Settings

M = TypeVar("M", bound=SentimentModel)

Key = tuple[str, ...]
"""What a model is: NAME/VERSION and its files' checksums. A folder may be filled anew while its model is in use."""

Models = Mapping[Key, SentimentModel]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Everything that the settings name, ready to be asked.

    Attributes:
        settings: what was read.
        language: finds languages.
        sentiment: scores.
        models: every model of both, once each.
        new: those that were loaded for this reading.
        scoring: NAME/VERSION of those that score.
    """

    settings: Settings
    language: NgramLanguageIdentifier
    sentiment: ConfiguredScorer
    models: Models
    new: frozenset[Key]
    scoring: frozenset[str]

    @classmethod
    def load(cls, settings: Settings, known: Models | None = None) -> Chosen:
        """Load what the settings name and `known` does not have.

        Raises:
            ModelMissing: a model that is named is not in the catalogue; names the setting.
            ModelDamaged: a file is not what it was.
            ModelUnfit: a model is not fit for what it is named for.
        """
        shelf = _Shelf(known or {}, settings.lanes)
        language = shelf.language(_find(settings, "language_model"))
        sentiment = ConfiguredScorer.from_settings(settings, shelf.sentiment)
        scoring = frozenset(model.reference for model in shelf.models.values() if model.card.kind == "sentiment")
        return cls(settings, NgramLanguageIdentifier(language), sentiment, shelf.models, frozenset(shelf.new), scoring)

    async def drop(self) -> None:
        """Close what was loaded for this reading, which is not going to be used."""
        for key in self.new:
            await self.models[key].close()


class _Shelf:
    def __init__(self, known: Models, lanes: int) -> None:
        self._known, self._lanes = known, lanes
        self.models: dict[Key, SentimentModel] = {}
        self.new: set[Key] = set()

    def language(self, entry: Entry) -> NgramModel:
        at_hand = self._at_hand(entry, "language")
        if isinstance(at_hand, NgramModel):
            return at_hand
        return self._add(entry, NgramModel.load(entry, kind="language"))

    def sentiment(self, entry: Entry) -> SentimentModel:
        return self._at_hand(entry, "sentiment") or self._add(entry, load_sentiment(entry, lanes=self._lanes))

    def _at_hand(self, entry: Entry, kind: Literal["language", "sentiment"]) -> SentimentModel | None:
        model = self._known.get(key_of(entry)) if entry.card.kind == kind else None
        if model is not None:
            self.models[key_of(entry)] = model
        return model

    def _add(self, entry: Entry, model: M) -> M:
        self.models[key_of(entry)] = model
        self.new.add(key_of(entry))
        return model


def key_of(entry: Entry) -> Key:
    """What a model of the catalogue is."""
    return (entry.reference, *(f"{file}={checksum}" for file, checksum in sorted(entry.card.files.items())))


def _find(settings: Settings, setting: str) -> Entry:
    try:
        return Catalogue(settings.models_dir).find(getattr(settings, setting))
    except ModelMissing as error:
        raise ModelMissing(f"{setting}: {error}") from error
