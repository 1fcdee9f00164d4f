"""What the sentiment model is trained on and measured on, by language, label and source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from heartbeat.training import data
from heartbeat.training.corpus import WHOLE, Texts

LABELS: Final = ("negative", "neutral", "positive")
NEUTRAL: Final = LABELS.index("neutral")

_ENCYCLOPAEDIC: Final = frozenset({"cv", "cv-old", "wikineural", "ud"})
"""Sources whose sentences are mostly statements; they stand for neutral where nobody labelled neutral texts."""

# Weight of each label of a source. Tweets are what is scored most; comments and subtitles speak otherwise. Neutral
# statements have to weigh as much as either mood in every language, or it would never be said there.
_WEIGHTS: Final = {"semeval": 1.0, "goemotions": 0.25, "xed": 0.12}
_STATEMENTS_WEIGHT: Final = 0.12


class Example(NamedTuple):
    """A labelled text."""

    source: str
    lang: str
    label: int
    text: str


def examples(folder: Path, source: str) -> list[Example]:
    """All texts of one source of moods: `semeval`, `goemotions`, `goemotions-dev`, `tweeteval-val` or `xed`."""
    names = {
        "semeval": "semeval2013-2016_train",
        "goemotions": "goemotions_train",
        "goemotions-dev": "goemotions_dev",
        "tweeteval-val": "tweeteval_val",
        "xed": "xed_train",
    }
    found: dict[tuple[str, str], Example] = {}
    for lang, label, text in data.moods(folder, names[source]):
        found[lang, text] = Example(source, lang, label, text)
    return list(found.values())


def languages(folder: Path) -> list[str]:
    """The languages that there are moods of, sorted."""
    return sorted({example.lang for example in examples(folder, "xed")} & set(data.LANGUAGES))


def statements(folder: Path, lang: str, permissive: bool = False) -> dict[str, list[str]]:
    """A language's encyclopaedic and Common Voice sentences by source."""
    return {
        source: texts
        for source, texts in data.texts_by_source(folder, lang).items()
        if source in _ENCYCLOPAEDIC and not (permissive and data.terms_of(source).research_only)
    }


def groups(folder: Path, permissive: bool = False) -> list[Texts]:
    """Everything to train on, held-out texts left out."""
    by_kind: dict[tuple[str, str, int], list[str]] = {}
    for source in _WEIGHTS:
        if permissive and data.terms_of(source).research_only:
            continue
        for example in examples(folder, source):
            if not data.held_out(example.text) or source == "semeval":
                by_kind.setdefault((source, example.lang, example.label), []).append(example.text)
    found = [
        Texts(label, source, texts, WHOLE, _WEIGHTS[source]) for (source, _, label), texts in sorted(by_kind.items())
    ]
    for lang in languages(folder):
        found += _neutral(statements(folder, lang, permissive))
    return found


def _neutral(by_source: Mapping[str, list[str]]) -> list[Texts]:
    kept = {source: [text for text in texts if not data.held_out(text)] for source, texts in by_source.items()}
    weights = {source: len(texts) ** 0.5 for source, texts in kept.items()}
    total = sum(weights.values())
    return [
        Texts(NEUTRAL, source, texts, WHOLE, _STATEMENTS_WEIGHT * weights[source] / total)
        for source, texts in kept.items()
    ]
