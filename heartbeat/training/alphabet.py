"""From code points to the few thousand symbols that n-grams are made of.

Symbol 0 is white space, symbol 1 is white space after white space (or at the very start), and letters begin at 2.
Features never run over a symbol 1, so runs of spaces and punctuation change nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPACE: Final = 0
REPEATED: Final = 1
FIRST: Final = 2

Symbols = NDArray[np.uint16]

_APOSTROPHES: Final = frozenset("'’ʼ`´‘")
# Scripts with thousands of signs share symbols: what tells languages apart there is mostly the script itself.
_CROWDED: Final = ((0x3400, 0x9FFF, 2039), (0xAC00, 0xD7A3, 1021), (0xA000, 0xA4CF, 31))


class Alphabet(NamedTuple):
    """A folding of code points.

    Attributes:
        table: int32 [M], the symbol of each code point; code points from M on read as M - 1.
        size: symbols there are, the two kinds of white space included.
        bare: uint16 [size], each symbol's symbol without accents, itself where it has none.
    """

    table: NDArray[np.int32]
    size: int
    bare: Symbols


def letters() -> Alphabet:
    """Letters and marks in lower case, and the apostrophe. All else is white space: for telling languages apart."""

    def folded(char: str) -> str:
        if char in _APOSTROPHES:
            return "'"
        if unicodedata.category(char)[0] not in "LM" or char == "ـ":
            return ""
        return _lower(char)

    return _build(0x10000, folded)


def signs() -> Alphabet:
    """As `letters`, and punctuation, emoji and digits (all one symbol) count as well: for telling moods apart."""

    def folded(char: str) -> str:
        category = unicodedata.category(char)
        if char in _APOSTROPHES:
            return "'"
        if category[0] == "N":
            return "0"
        if category[0] in "PS":
            return char
        return _lower(char) if category[0] == "L" or (category[0] == "M" and char != "\ufe0f") else ""

    return _build(0x20000, folded)


def _lower(char: str) -> str:
    if char == "İ":
        return "i"
    return unicodedata.normalize("NFKC", char).lower()[:1]


def _build(limit: int, folded: Callable[[str], str]) -> Alphabet:
    own: dict[str, int] = {}
    crowds: dict[tuple[int, int], int] = {}
    table = np.zeros(limit, np.int32)
    chars = [folded(chr(code)) if not 0xD800 <= code <= 0xDFFF else "" for code in range(limit)]
    for code, char in enumerate(chars):
        if not char or char.isspace():
            continue
        for low, high, share in _CROWDED:
            if low <= ord(char) <= high:
                place = crowds.setdefault((low, ord(char) % share), len(own) + len(crowds) + FIRST)
                break
        else:
            place = own.get(char, 0) or own.setdefault(char, len(own) + len(crowds) + FIRST)
        table[code] = place
    size = len(own) + len(crowds) + FIRST
    bare = np.arange(size, dtype=np.uint16)
    for char, place in own.items():
        base = unicodedata.normalize("NFD", char)[:1]
        if base in own:
            bare[place] = own[base]
    return Alphabet(table, size, bare)


def symbols_of(codes: NDArray[np.int32], alphabet: Alphabet) -> Symbols:
    """The symbols of a flat run of code points, repeated white space marked. The run starts as if after a space."""
    symbols = alphabet.table[np.minimum(codes, len(alphabet.table) - 1)]
    before = np.concatenate(([SPACE], symbols[:-1]))
    return np.where((symbols == SPACE) & (before == SPACE), REPEATED, symbols).astype(np.uint16)
