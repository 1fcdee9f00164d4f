"""Scores texts with the models that the settings choose; which one scores which text is in `choices`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ModelMissing
from heartbeat.models.api import Sentiment, SentimentModel
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.choices import NONE, Choices, no_model_for
from heartbeat.models.encoder import EncoderModel
from heartbeat.models.ngram import NgramModel
from heartbeat.settings import Settings

NO_TEXT: Final = "no text"

_UNIT: Final = 1_000_000
_ORDER: Final = ("neutral", "negative", "positive")
"""Of labels with equal scores the first one here is given: what is not clear is neutral."""

MIXED_FROM: Final = 0.30
MIXED_NEUTRAL_TO: Final = 0.30
"""The rule of `mixed` for a model that says nothing of it."""


class ConfiguredScorer:
    """Scores with several models, by task and language.

    Args:
        models: every model, by the name that the choices use for it.
        default: the model's name, or `none`.
        fast: the name of the one that scores where the others have no evidence, or no time; or `none`.
        by_lang: other names, by language.
        by_task: other names, by task.
        least_recall: a language that a model's card gives a lower recall for counts as one without evidence.
        mixed_from: a text is mixed when pos and neg both reach this …
        mixed_neutral_to: … and neu is at most this. None: what the model's card says, else `MIXED_FROM` and
            `MIXED_NEUTRAL_TO`.
    """

    def __init__(
        self,
        models: Mapping[str, SentimentModel],
        *,
        default: str,
        fast: str = NONE,
        by_lang: Mapping[str, str] | None = None,
        by_task: Mapping[str, str] | None = None,
        least_recall: float = 0.0,
        mixed_from: float | None = None,
        mixed_neutral_to: float | None = None,
    ) -> None:
        self._by_reference = {model.reference: model for model in models.values()}
        self._columns = {reference: _columns(model.card.labels) for reference, model in self._by_reference.items()}
        self._mixed = {
            reference: (
                round(_first(mixed_from, model.card.mixed_from, MIXED_FROM) * _UNIT),
                round(_first(mixed_neutral_to, model.card.mixed_neutral_to, MIXED_NEUTRAL_TO) * _UNIT),
            )
            for reference, model in self._by_reference.items()
        }
        self._choices = Choices(
            models,
            default=default,
            fast=fast,
            by_lang=by_lang or {},
            by_task=by_task or {},
            least_recall=least_recall,
        )

    @classmethod
    def from_settings(
        cls, settings: Settings, load: Callable[[Entry], SentimentModel] | None = None
    ) -> ConfiguredScorer:
        """Load each model that the settings name, once.

        Args:
            settings: name the models.
            load: how a model is come by; by default `load_sentiment`.

        Raises:
            ModelMissing: one of them is not in the catalogue; names the setting.
            ModelDamaged: a file is not what it was.
            ModelUnfit: one of them is no sentiment model, or does not do what its card says.
        """
        catalogue = Catalogue(settings.models_dir)
        load = load or partial(load_sentiment, lanes=settings.lanes)
        named = {
            "sentiment_model": settings.sentiment_model,
            "sentiment_fast_model": settings.sentiment_fast_model,
            **{f"sentiment_by_lang.{lang}": name for lang, name in settings.sentiment_by_lang.items()},
            **{f"sentiment_by_task.{task}": name for task, name in settings.sentiment_by_task.items()},
        }
        models: dict[str, SentimentModel] = {}
        loaded: dict[str, SentimentModel] = {}
        for setting, name in named.items():
            if name == NONE or name in models:
                continue
            try:
                entry = catalogue.find(name)
            except ModelMissing as error:
                raise ModelMissing(f"{setting}: {error}") from error
            if entry.reference not in loaded:
                loaded[entry.reference] = load(entry)
            models[name] = loaded[entry.reference]
        return cls(
            models,
            default=settings.sentiment_model,
            fast=settings.sentiment_fast_model,
            by_lang=settings.sentiment_by_lang,
            by_task=settings.sentiment_by_task,
            least_recall=settings.sentiment_least_recall,
            mixed_from=settings.mixed_from,
            mixed_neutral_to=settings.mixed_neutral_to,
        )

    def model_for(self, task: str, lang: str) -> str | None:
        """The model (NAME/VERSION) that scores this task's posts in this language; None leaves them unscored."""
        choice = self._choices.of(task, lang)
        return None if choice is None else choice.usual

    def fast_model_for(self, task: str, lang: str) -> str | None:
        """See `api.SentimentScorer`."""
        choice = self._choices.of(task, lang)
        return None if choice is None else choice.fast

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        """One result for each text, in order.

        A text without words, and one in a language that the model has no evidence for, is unscored, with the reason.

        Args:
            model: NAME/VERSION as `model_for` gave it; None scores nothing.
            texts: as the posts have them.
            langs: the language of each text.

        Raises:
            ModelMissing: a model that is not loaded.
        """
        if model is None:
            return [
                _unscored(self._choices.why_none(lang) if text.strip() else NO_TEXT)
                for text, lang in zip(texts, langs, strict=True)
            ]
        try:
            chosen = self._by_reference[model]
        except KeyError:
            raise ModelMissing(f"model {model!r} is not loaded; loaded are: {', '.join(self._by_reference)}") from None
        results: list[Sentiment | None] = []
        known = frozenset(chosen.card.languages)
        present: list[str] = []
        for text, lang in zip(chosen.prepare(texts), langs, strict=True):
            if not text or text.isspace():
                results.append(_unscored(NO_TEXT))
            elif lang not in known:
                results.append(_unscored(no_model_for(lang)))
            else:
                results.append(None)
                present.append(text)
        rows, cut = await chosen.judge(present)
        scored = iter(self._sentiments(model, rows, cut))
        return [next(scored) if result is None else result for result in results]

    async def close(self) -> None:
        """Answer what has been asked, and let the models go."""
        for model in self._by_reference.values():
            await model.close()

    def _sentiments(self, model: str, rows: NDArray[np.float32], cut: Sequence[bool]) -> list[Sentiment]:
        at = self._columns[model]
        ordered = np.where(at >= 0, rows[:, at], np.float32(0))
        neu, neg, pos = in_units(ordered).T
        least, most_neutral = self._mixed[model]
        mixed = (pos >= least) & (neg >= least) & (neu <= most_neutral)
        best = np.where(mixed, len(_ORDER), np.argmax((neu, neg, pos), axis=0))
        labels = (*_ORDER, "mixed")
        return [
            Sentiment(p, u, n, labels[index], model, None, was_cut)
            for p, u, n, index, was_cut in zip(
                (pos / _UNIT).tolist(), (neu / _UNIT).tolist(), (neg / _UNIT).tolist(), best.tolist(), cut, strict=True
            )
        ]


def load_sentiment(entry: Entry, *, lanes: int = 1) -> SentimentModel:
    """Verify and load a sentiment model of whichever family.

    Raises:
        ModelDamaged: a file is not what it was.
        ModelUnfit: it is of another kind, or does not do what its card says.
    """
    if entry.card.family == "encoder":
        return EncoderModel.load(entry, lanes=lanes)
    return NgramModel.load(entry, kind="sentiment")


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _columns(labels: Sequence[str]) -> NDArray[np.intp]:
    """Where the labels stand in a model's answers, in `_ORDER`; -1 for one that it does not tell."""
    return np.asarray([labels.index(label) if label in labels else -1 for label in _ORDER])


def in_units(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Probabilities in units of 10⁻⁶, so that each row adds up to exactly 1,000,000.

    Each is rounded; what rounding makes too much or too little, at most one unit, is taken from or given to the
    largest.
    """
    exact = rows.astype(np.float64)
    units: NDArray[np.int64] = np.rint(exact * (_UNIT / exact.sum(axis=1, keepdims=True))).astype(np.int64)
    at = np.arange(len(units))
    units[at, units.argmax(axis=1)] += _UNIT - units.sum(axis=1)
    return units


def _unscored(reason: str) -> Sentiment:
    return Sentiment(None, None, None, None, None, reason)
