"""How often each language's words are said, from lists of film subtitles, with other languages' subtitles taken out.

A fifth of the subtitles filed as Serbian are Croatian, a third of the Ukrainian ones Russian. That shows in words that
only one of the two has: Serbian's list has Croatian's "gdje", "lijepo" and "uvijek" a quarter as often as Croatian's
list, all three alike. So the share of another language is what hardly any of its common words fall below, and as much
of its whole list is subtracted. That holds where both lists have something of each other: if a = (1-p)A + pB and
b = (1-q)B + qA, then words of A alone are q/(1-p) times as frequent in b as in a, and b - q/(1-p) a has nothing of A,
and of B the same share of each word.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from heartbeat.training import data

Frequencies = Mapping[str, float]
"""Word to share of all that is said, the most common first; about 1 in sum."""

_COMMON: Final = 1000
"""So many of a language's most common words are looked for in another's list."""
_FLOOR: Final = 0.05
"""One in twenty of these may be rarer than the language's share in that list: chance, names, other spellings."""
_LEAST_SHARE: Final = 0.01
_MARGIN: Final = 1.3
"""A word that is said less than this times what the other language explains is that language's alone."""


def by_language(folder: Path) -> dict[str, Frequencies]:
    """Each language's words; none where there is no list."""
    mixed = {lang: _shares(data.words(folder, lang)) for lang in data.LANGUAGES}
    return {lang: _unmixed(lang, mixed) for lang in mixed}


def share_of(other: Frequencies, mixed: Frequencies) -> float:
    """How much of a mixed list is in another language, by the other language's list: 0 to 1."""
    common = list(islice(other, _COMMON))
    if not mixed or len(common) < _COMMON:
        return 0.0
    return min(1.0, float(np.quantile([mixed.get(word, 0.0) / other[word] for word in common], _FLOOR)))


def _shares(counts: Mapping[str, int]) -> Frequencies:
    kept = {word: count for word, count in counts.items() if len(word) > 1 and count > 2}
    total = sum(kept.values())
    return {word: count / total for word, count in sorted(kept.items(), key=lambda row: -row[1])}


def _unmixed(lang: str, mixed: Mapping[str, Frequencies]) -> Frequencies:
    found = dict(mixed[lang])
    for other, frequencies in mixed.items():
        share = 0.0 if other == lang else share_of(frequencies, mixed[lang])
        if share < _LEAST_SHARE:
            continue
        for word in found.keys() & frequencies.keys():
            explained = share * frequencies[word]
            found[word] = found[word] - explained if mixed[lang][word] > _MARGIN * explained else 0.0
    return {word: frequency for word, frequency in found.items() if frequency > 0}
