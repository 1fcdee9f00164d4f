"""Which sentiment model scores a post, by its task and its language.

The first of the task's own, the language's own, the default one and the fast one that has evidence for the language.
`none`, for a task or a language, leaves its posts unscored. While there is no time for a slow model, the fast one
scores instead wherever it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from heartbeat.models.api import UNKNOWN, SentimentModel

NONE: Final = "none"
"""Stands in the settings where a model's name could: nothing is scored there."""
NOT_RECOGNISED: Final = "language not recognised"


def no_model_for(lang: str) -> str:
    """Why a post in a language stays unscored."""
    return NOT_RECOGNISED if lang == UNKNOWN else f"no model for language {lang}"


def too_weak_for(lang: str) -> str:
    """Why a post in a language stays unscored that some model knows, but not well enough for the settings."""
    return f"no model good enough for language {lang}"


class Choice(NamedTuple):
    """What scores a language (NAME/VERSION): usually, and while there is no time for a slow model."""

    usual: str
    fast: str


class Choices:
    """The choice for every task and language: asked once for each post and task, so it is worked out beforehand.

    Args: as `ConfiguredScorer` has them.
    """

    def __init__(
        self,
        models: Mapping[str, SentimentModel],
        *,
        default: str,
        fast: str,
        by_lang: Mapping[str, str],
        by_task: Mapping[str, str],
        least_recall: float,
    ) -> None:
        self._models, self._default, self._fast, self._by_lang = models, default, fast, by_lang
        self._evidence = {name: _evidence(model, least_recall) for name, model in models.items()}
        self._langs = {lang for langs in self._evidence.values() for lang in langs}
        self._weak = {lang for model in models.values() for lang in model.card.languages} - self._langs
        self._usual = self._by_language(None)
        self._by_task = {task: self._by_language(name) for task, name in by_task.items()}

    def of(self, task: str, lang: str) -> Choice | None:
        """What scores this task's posts in this language; None leaves them unscored."""
        return self._by_task.get(task, self._usual).get(lang)

    def why_none(self, lang: str) -> str:
        """Why nothing scores a language."""
        return too_weak_for(lang) if lang in self._weak else no_model_for(lang)

    def _by_language(self, own: str | None) -> dict[str, Choice]:
        """The models of each language that one scores, for a task that has a choice of its own or none."""
        chosen: dict[str, Choice] = {}
        for lang in self._langs:
            langs_own = self._by_lang.get(lang)
            if NONE in (own, langs_own):
                continue
            # By default `none` means that nothing is scored but what was chosen: the fast one does not step in.
            names = (own, langs_own, self._default, self._fast if self._default != NONE else None)
            fit = [name for name in names if name is not None and name != NONE and lang in self._evidence[name]]
            if not fit:
                continue
            usual = self._models[fit[0]]
            slow = usual.card.family == "encoder" and self._fast != NONE and lang in self._evidence[self._fast]
            chosen[lang] = Choice(usual.reference, self._models[self._fast].reference if slow else usual.reference)
        return chosen


def _evidence(model: SentimentModel, least_recall: float) -> frozenset[str]:
    recall = model.card.recall
    return frozenset(lang for lang in model.card.languages if recall.get(lang, 1.0) >= least_recall)
