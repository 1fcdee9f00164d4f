"""What the language model is trained on: how languages, sources, scripts and noise are weighed."""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from heartbeat.models.api import UNKNOWN
from heartbeat.training import data, declaration, frequencies, serbian, waray
from heartbeat.training.corpus import CHARACTERS, WHOLE, WORDS, Texts
from heartbeat.training.frequencies import Frequencies

LABELS: Final = (*data.LANGUAGES, UNKNOWN)
Declared = Mapping[str, Sequence[str]]
"""Sentences of the declaration of human rights by language, see `declaration.sentences`."""

# A source counts by the 0.6th power of its size times this: interfaces and manuals speak half English, news of close
# languages is what tells them apart, Malay web corpora have Indonesian mixed in, labels of subtitles are rough.
_TRUST: Final = {"mediawiki": 0.6, "gnome": 0.6, "handbook": 0.6, "dsl": 2.0, "xed": 0.7}
# Malay essays are about society and rights, and there are none in Indonesian: as much of them as of all else, and every
# text on such things would be Malay. What both have on the same things is their news.
_TRUST_OF_ONE: Final = {
    ("id", "dsl"): 3.0,
    ("ms", "dsl"): 3.0,
    ("ms", "ms-doktorbudak"): 0.3,
    ("ms", "ms-ipendidikan"): 0.5,
    ("ms", "ms-karangan.net"): 0.5,
    ("ms", "ms-subjectivity"): 0.5,
}
_LANGUAGE_WEIGHT: Final = {"war": 0.6, "sr": 1.3, UNKNOWN: 1.6}
_SERBIAN_IN_LATIN: Final = 0.6
_MOODS: Final = {"xed": "xed_train", "goemotions": "goemotions_train", "semeval": "semeval2013-2016_train"}
SUBTITLES_HELD_OUT_IN: Final = 5
_WORD_SHARE: Final = 0.22
_DECLARED_SHARE: Final = {"war": 0.12, UNKNOWN: 0.12}
"""With so much of a language's weight the declaration of human rights is added to it; 0.03 where nothing is said."""
_OWN_SHARE: Final = 0.75
"""As much of Waray's weight is added for what was written for this project."""
_FLATTENED: Final = 0.4
_NOISE_SHARE: Final = 0.2
_NO_SPACES: Final = frozenset({"ja", "zh-CN", "zh-HK", "zh-TW", "th", "my", "dv"})
_LAUGHTER: Final = "haha hahaha ahahah lol lmao xd xdd omg wow hmm aaa ok okay jaja hehe rt pls www http https"


def groups(folder: Path, permissive: bool = False, declared: Declared | None = None) -> list[Texts]:
    """Everything to train on, held-out texts left out.

    Args:
        folder: see `data.data_folder`.
        permissive: leave out sources for research use only.
        declared: see `declaration.sentences`; None: without these.
    """
    found: list[Texts] = []
    moods = _spoken(folder, permissive)
    said = frequencies.by_language(folder)
    everywhere = Counter[str]()
    for frequency in said.values():
        everywhere.update(frequency)
    for label, lang in enumerate(data.LANGUAGES):
        sources = {
            source: [text for text in texts if not data.held_out(text)]
            for source, texts in data.texts_by_source(folder, lang).items()
            if not (permissive and data.terms_of(source).research_only)
        }
        total = _LANGUAGE_WEIGHT.get(lang, 1.0)
        share = _WORD_SHARE if said[lang] else 0.0
        found += _weighed(label, lang, {**sources, **moods.get(lang, {})}, total * (1 - share))
        if share:
            found += _words(label, lang, said[lang], everywhere, total * share)
    found += _own(_LANGUAGE_WEIGHT[waray.LANG])
    return found + _unknown(data.others(folder), _LANGUAGE_WEIGHT[UNKNOWN]) + _declared(declared or {})


def _own(total: float) -> list[Texts]:
    label = LABELS.index(waray.LANG)
    return [
        Texts(label, waray.SOURCE, waray.phrases(), WORDS, total * _OWN_SHARE * 2 / 3),
        Texts(label, waray.SOURCE, waray.words(), WHOLE, total * _OWN_SHARE / 3),
    ]


def _declared(declared: Declared) -> list[Texts]:
    """All unknown languages alike, however many have something of each other."""
    found: list[Texts] = []
    kept = {
        key: [text for text in texts if not data.held_out(text, declaration.HELD_OUT_IN)]
        for key, texts in declared.items()
    }
    unknown = sum(key not in LABELS for key in kept)
    for key, texts in kept.items():
        lang = key if key in LABELS else UNKNOWN
        weight = _LANGUAGE_WEIGHT.get(lang, 1.0) * _DECLARED_SHARE.get(lang, 0.03)
        spaces = sum(text.count(" ") for text in texts)
        pieces = WORDS if spaces > len(texts) else CHARACTERS
        found.append(
            Texts(
                LABELS.index(lang), declaration.SOURCE, texts, pieces, weight / unknown if lang == UNKNOWN else weight
            )
        )
    return found


def _spoken(folder: Path, permissive: bool) -> dict[str, dict[str, list[str]]]:
    """Subtitles, comments and tweets that were collected for their moods, by language and source."""
    found: dict[str, dict[str, list[str]]] = {}
    for source, name in _MOODS.items():
        if permissive and data.terms_of(source).research_only:
            continue
        for lang, _, text in data.moods(folder, name):
            if not data.held_out(text, SUBTITLES_HELD_OUT_IN):
                found.setdefault(lang, {}).setdefault(source, []).append(text)
    return found


def _weighed(label: int, lang: str, sources: Mapping[str, Sequence[str]], total: float) -> list[Texts]:
    trust = {source: _TRUST_OF_ONE.get((lang, source), _TRUST.get(source, 1.0)) for source in sources}
    weights = {source: len(texts) ** 0.6 * trust[source] for source, texts in sources.items()}
    unit = total / sum(weights.values())
    pieces = CHARACTERS if lang in _NO_SPACES else WORDS
    return [
        Texts(label, source, part, pieces, weights[source] * unit * share)
        for source, texts in sources.items()
        for share, part in _scripts(lang, texts)
    ]


def _scripts(lang: str, texts: Sequence[str]) -> list[tuple[float, list[str]]]:
    if lang != "sr":
        return [(1.0, list(texts))]
    return [
        (1 - _SERBIAN_IN_LATIN, [serbian.to_cyrillic(text) for text in texts]),
        (_SERBIAN_IN_LATIN, [serbian.to_latin(text) for text in texts]),
    ]


def _words(label: int, lang: str, said: Frequencies, everywhere: Mapping[str, float], total: float) -> list[Texts]:
    # Rare words are drawn more often than they are said, but which language a word is drawn for goes by how often it
    # is said in each: "the" is in every list of subtitles, and English.
    shares = np.array([everywhere[word] ** (_FLATTENED - 1) * share for word, share in said.items()])
    return [Texts(label, "words", part, WHOLE, total * share, shares) for share, part in _scripts(lang, list(said))]


def _unknown(others: Mapping[str, Sequence[str]], total: float) -> list[Texts]:
    label = LABELS.index(UNKNOWN)
    kept = {code: [text for text in texts if not data.held_out(text)] for code, texts in others.items()}
    weights = {code: len(texts) ** 0.5 for code, texts in kept.items()}
    unit = total * (1 - _NOISE_SHARE) / sum(weights.values())
    return [
        *(
            Texts(label, "other", texts, CHARACTERS if code in _NO_SPACES else WORDS, weights[code] * unit)
            for code, texts in kept.items()
        ),
        Texts(label, data.MADE_UP, noise(20_000, 3), WHOLE, total * _NOISE_SHARE),
    ]


def noise(count: int, seed: int) -> list[str]:
    """Texts in no language: random letters, what is left of links, laughter, nothing."""
    rng = random.Random(seed)

    def one() -> str:
        kind = rng.random()
        if kind < 0.45:
            return "".join(rng.choices(string.ascii_lowercase + string.digits, k=rng.randint(3, 14)))
        if kind < 0.65:
            return f"https t co {''.join(rng.choices(string.ascii_letters, k=10))}"
        return " ".join(rng.choices(_LAUGHTER.split(), k=rng.randint(1, 3)))

    return [one() for _ in range(count)]
