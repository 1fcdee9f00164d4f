"""Serbian is written in two scripts: texts in one are written in the other as well."""

from __future__ import annotations

import re
from typing import Final

_PAIRS: Final = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "ђ": "đ", "е": "e", "ж": "ž", "з": "z", "и": "i",
    "ј": "j", "к": "k", "л": "l", "љ": "lj", "м": "m", "н": "n", "њ": "nj", "о": "o", "п": "p", "р": "r",
    "с": "s", "т": "t", "ћ": "ć", "у": "u", "ф": "f", "х": "h", "ц": "c", "ч": "č", "џ": "dž", "ш": "š",
}  # fmt: skip
_PAIRS_BOTH: Final = {**_PAIRS, **{low.upper(): high.capitalize() for low, high in _PAIRS.items()}}
_TO_LATIN: Final = str.maketrans(_PAIRS_BOTH)
_TO_CYRILLIC: Final = {latin: cyrillic for cyrillic, latin in _PAIRS_BOTH.items()} | {
    latin.upper(): cyrillic.upper() for cyrillic, latin in _PAIRS.items()
}
_LETTERS: Final = re.compile("|".join(sorted(map(re.escape, _TO_CYRILLIC), key=len, reverse=True)))
_CYRILLIC: Final = re.compile("[Ѐ-ӿ]")


def is_cyrillic(text: str) -> bool:
    """Whether any letter of the text is Cyrillic."""
    return _CYRILLIC.search(text) is not None


def to_latin(text: str) -> str:
    """Serbian Cyrillic in Latin letters; all else stays."""
    return text.translate(_TO_LATIN)


def to_cyrillic(text: str) -> str:
    """Serbian Latin in Cyrillic letters; lj, nj and dž become one letter, as they nearly always are."""
    return _LETTERS.sub(lambda found: _TO_CYRILLIC[found.group()], text)
