"""What is hard to tell: close languages asked apart, and two languages in one text."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Final

import numpy as np

from heartbeat.training import measures, serbian
from heartbeat.training.language_sets import Labelled, label_of
from heartbeat.training.measures import Probabilities

CLOSE: Final = (("da", "nb"), ("cs", "sk"), ("hr", "sr"), ("id", "ms"), ("es", "ca", "pt"))
_SETS: Final = ("sentences", "short", "posts80", "pairs", "words", "news")
_MIXED: Final = ("en", "de", "es", "fr", "it", "pt", "nl", "tr", "pl", "id")
"""Languages that are mixed with one another: those that most posts with two are in."""
_PER_PAIR: Final = 10
_HALF: Final = 5


def measure(
    classify: Callable[[Sequence[str]], Probabilities], sets: Mapping[str, Labelled]
) -> dict[str, dict[str, float]]:
    """Macro accuracy of each group of close languages by set, Serbian all in Latin letters; and of mixed texts.

    A mixed text is five words of one language and five of another; right is one of the two.
    """
    found: dict[str, dict[str, float]] = {}
    for group in CLOSE:
        by_set: dict[str, float] = {}
        for name in _SETS:
            rows = [(lang, serbian.to_latin(text) if lang == "sr" else text) for lang, text in sets.get(name, [])]
            rows = [row for row in rows if row[0] in group]
            if {lang for lang, _ in rows} == set(group):
                labels = np.array([label_of(lang) for lang, _ in rows], np.int64)
                said = classify([text for _, text in rows])
                recalls = measures.recalls(labels, said.argmax(1), said.shape[1])
                by_set[name] = round(float(np.mean([recalls[label_of(lang)] for lang in group])), 3)
        found["/".join(group)] = by_set
    if texts := mixed(sets.get("sentences", [])):
        best = classify([text for _, _, text in texts]).argmax(1)
        right = [found in (label_of(one), label_of(other)) for found, (one, other, _) in zip(best, texts, strict=True)]
        found["two languages in one text"] = {"one of the two": round(float(np.mean(right)), 3)}
    return found


def mixed(sentences: Labelled) -> list[tuple[str, str, str]]:
    """(language, other language, text): the beginning of a sentence in each, in either order."""
    rng = random.Random(17)
    halves = {
        lang: [" ".join(words[:_HALF]) for of, text in sentences if of == lang and len(words := text.split()) >= _HALF]
        for lang in _MIXED
    }
    return [
        (one, other, f"{rng.choice(halves[one])} {rng.choice(halves[other])}")
        for one, other in permutations(_MIXED, 2)
        if halves[one] and halves[other]
        for _ in range(_PER_PAIR)
    ]
