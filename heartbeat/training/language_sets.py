"""What the language model is measured on: texts held out of training, and sources that it never saw."""

from __future__ import annotations

import random
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from heartbeat.models.api import UNKNOWN
from heartbeat.training import data, declaration, serbian
from heartbeat.training.language_texts import LABELS, SUBTITLES_HELD_OUT_IN, Declared

Labelled = list[tuple[str, str]]
"""(language, prepared text)"""

PER_LANGUAGE: Final = 200
_CLOSE: Final = ("hr", "sr", "id", "ms", "cs", "sk", "bg")
_TWEETS: Final = frozenset({"tweets", "tweets2", "id-tweets"})
_SENTENCES: Final = frozenset({"cv", "cv-old", "ud", "wikineural"})
_INTERFACES: Final = frozenset({"mediawiki", "gnome", "handbook", "wesnoth"})
"""Translations with untranslated lines in them: of no use to measure with."""
_SHORT: Final = 50
_MISFILED: Final = frozenset(
    # tweets, filed as German (the last as English)
    {794172320, 1114255640, 2067081000, 2069106040, 2701588440, 2747874120, 4210106560, 1448732520}
    # texts cut at 80 characters, filed as Malay (the last as German)
    | {14202209, 16189023, 792046317, 946589760, 1166769958, 1274992640, 1349911814, 2149236320, 2276402280}
    | {2381252389, 4272654999, 481173162}
)
"""Checksums of held-out texts that are plainly in another language than the collection says: English, Indonesian.

Found by reading all tweets that this model, or two of lingua, py3langid and fastText, took for another language, and
all cut texts that this model took for another one. What is Malay or Indonesian by a word or two stays.
"""
_JAPANESE: Final = "ja"


def sets(folder: Path, declared: Declared | None = None) -> dict[str, Labelled]:
    """Named sets, of at most `PER_LANGUAGE` texts a language, of unknown ones at most 2,000.

    sentences, pairs, words: whole sentences and random pieces of them; short: sentences of Common Voice of at most 50
    characters, which its users write; tweets; news of close languages; posts80: any text cut at 80 characters;
    tweets-reread and posts80-reread: less what is misfiled; serbian-latin: Serbian sentences in Latin letters, and all
    Serbian texts so (serbian-latin-all); subtitles: XED, of which some labels are wrong; unknown: languages that are
    none of the model's, and what is in no language; with `declared`, declaration: held-out sentences of the declaration
    of human rights, and declaration-unknown: the same in other languages.
    """
    rng = random.Random(11)
    texts = {lang: _held_out(data.texts_by_source(folder, lang)) for lang in data.LANGUAGES}
    sentences = _pick(texts, rng, lambda source: source in _SENTENCES)
    unknown = [(UNKNOWN, text) for part in data.others(folder).values() for text in part if data.held_out(text)]
    serb = [serbian.to_latin(text) for lang, text in sentences if lang == "sr"]
    found = {
        "sentences": [(lang, text) for lang, text in sentences if len(text) >= (10 if lang == _JAPANESE else 30)],
        "pairs": _pieces(sentences, 2, rng),
        "words": _pieces(sentences, 1, rng),
        "tweets": _pick(texts, rng, lambda source: source in _TWEETS),
        "news": [row for row in _pick(texts, rng, lambda source: source == "dsl") if row[0] in _CLOSE],
        "posts80": [
            (lang, text[:80]) for lang, text in _pick(texts, rng, lambda s: s not in _INTERFACES) if len(text) >= 60
        ],
        "serbian-latin": [("sr", text) for text in serb if len(text) >= 30],
        "serbian-latin-all": [
            ("sr", latin) for part in texts["sr"].values() for latin in map(serbian.to_latin, part) if len(latin) >= 30
        ],
        "subtitles": _subtitles(folder, rng),
        "unknown": rng.sample(unknown, min(2000, len(unknown))),
    }
    for name in ("tweets", "posts80"):
        found[f"{name}-reread"] = [row for row in found[name] if zlib.crc32(row[1].encode("utf-8")) not in _MISFILED]
    short = {lang: {s: [t for t in part if len(t) <= _SHORT] for s, part in texts[lang].items()} for lang in texts}
    found["short"] = _pick(short, random.Random(12), lambda source: source in ("cv", "cv-old"))
    for key, sentences_of_one in (declared or {}).items():
        known = key in LABELS
        found.setdefault("declaration" if known else "declaration-unknown", []).extend(
            (key if known else UNKNOWN, text)
            for text in sentences_of_one
            if data.held_out(text, declaration.HELD_OUT_IN)
        )
    foreign = found.get("declaration-unknown", [])
    found["declaration-unknown"] = random.Random(13).sample(foreign, min(2000, len(foreign)))
    return {name: rows for name, rows in found.items() if rows}


def label_of(lang: str) -> int:
    """Index of a language's label."""
    return LABELS.index(lang)


def _held_out(sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {source: [text for text in texts if data.held_out(text)] for source, texts in sources.items()}


def _pick(
    texts: Mapping[str, Mapping[str, Sequence[str]]], rng: random.Random, wanted: Callable[[str], bool]
) -> Labelled:
    found: Labelled = []
    for lang, sources in texts.items():
        pool = [text for source, part in sources.items() if wanted(source) for text in part]
        found += [(lang, text) for text in rng.sample(pool, min(PER_LANGUAGE, len(pool)))]
    return found


def _pieces(rows: Labelled, length: int, rng: random.Random) -> Labelled:
    found: Labelled = []
    for lang, text in rows:
        split = text.split()
        if lang == _JAPANESE:
            start = rng.randrange(max(1, len(text) - 4 * length))
            found.append((lang, text[start : start + 4 * length]))
            continue
        starts = [i for i in range(len(split) - length + 1) if all(_wordlike(w) for w in split[i : i + length])]
        if starts:
            start = rng.choice(starts)
            found.append((lang, " ".join(split[start : start + length])))
    return found


def _wordlike(word: str) -> bool:
    bare = word.strip(".,;:!?\"'«»„“”()")
    return len(bare) >= 5 and bare[0] == bare[0].lower() and all(unicodedata.category(c)[0] in "LM" for c in bare)


def _subtitles(folder: Path, rng: random.Random) -> Labelled:
    by_lang: dict[str, list[str]] = {}
    for lang, _, text in data.moods(folder, "xed_train"):
        if lang in data.LANGUAGES and data.held_out(text, SUBTITLES_HELD_OUT_IN):
            by_lang.setdefault(lang, []).append(text)
    return [
        (lang, text)
        for lang, texts in by_lang.items()
        for text in rng.sample(sorted(set(texts)), min(PER_LANGUAGE, len(set(texts))))
    ]
