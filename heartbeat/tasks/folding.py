"""One form for queries and posts, so that they can be compared character by character.

What is folded away: case, compatibility forms (full-width, ligatures), the order of accents, Turkish dotted and
dotless i, the typographic apostrophe, vowel points of Arabic and Hebrew, and characters that nobody sees (joiners,
variation selectors, marks of direction, soft hyphens). Accents stay: `año` is not `ano`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

UNSPACED: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul: written with spaces, but particles join on to words
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff"  # kana, bopomofo, marks of repetition
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Characters (as ranges for a regular expression) of scripts in which words are found inside runs of letters."""

_LAST_SPACED: Final = 0x20000
"""Behind it there are only Han and characters that folding replaces or removes."""
_UNSPACED = re.compile(f"[{UNSPACED}]")
_REMOVED: Final = (
    # never seen
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
    "\u0307"  # what is left of a dotted capital i; precomposed letters keep their dots
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    "\u0610-\u061a\u0640\u064b-\u065f\u0670"  # Arabic points and the stretching stroke
)
_FOLDED_AWAY = re.compile(f"[{_REMOVED}ı’ʼ]")
_REPLACED_BY: Final = {"ı": "i", "’": "'", "ʼ": "'"}
_SPOILT_BY_NFKC = re.compile("[\u2120\u2122]")  # ℠ and ™ would become letters of the word that they follow


def fold(text: str) -> str:
    """The text in the form in which queries and posts are compared. Folding twice is the same as once."""
    if text.isascii():
        return text.lower()
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", _SPOILT_BY_NFKC.sub(" ", text))
    text = text.casefold()
    if _FOLDED_AWAY.search(text) is not None:
        text = _FOLDED_AWAY.sub(lambda found: _REPLACED_BY.get(found[0], ""), text)
    return unicodedata.normalize("NFKC", text)  # some letters fall apart when their case is folded


@cache
def is_letter(character: str) -> bool:
    """Whether a character can be part of a word: letters, digits, the underscore, and marks that sit on letters."""
    return character == "_" or character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")


@cache
def is_spaced(character: str) -> bool:
    """Whether a character is a letter of a script that puts something between words."""
    return is_letter(character) and _UNSPACED.match(character) is None


@cache
def spaced_words() -> re.Pattern[str]:
    """A pattern for whole words, in folded text, of scripts that put something between them."""
    ranges: list[list[int]] = []
    for code in range(_LAST_SPACED):
        if is_spaced.__wrapped__(chr(code)):
            if ranges and code == ranges[-1][1] + 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return re.compile("[" + "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in ranges) + "]+")
