"""A task's query: from what a person writes to a tree.

    query  = "*" | item+
    item   = word | '"' word+ '"'

Words side by side have to occur all, in any order, as in the search fields that people know; words in quotes have to
occur in that order with nothing but spaces and punctuation between them. `*` alone is everything. A word is whatever
stands between spaces: `#word` is the hashtag only, `@word` the mention only, `word` any of the three.

What a boolean language will need is refused today rather than read as words: AND, OR, NOT, parentheses, a leading `-`
and a `*` at a word. In quotes they are what they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from heartbeat.errors import QueryError
from heartbeat.tasks.folding import fold, is_letter

_QUOTES: Final = '"“”„«»'
_PIECE = re.compile(rf"(?P<space>\s+)|(?P<quote>[{_QUOTES}])|(?P<word>[^\s{_QUOTES}]+)")


@dataclass(frozen=True, slots=True)
class Everything:
    """Every post."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words that stand in this order, in the form of `folding.fold`. `position` is where they begin in the query."""

    words: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part has to match."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part has to match."""

    parts: tuple[Node, ...]


Node: TypeAlias = Everything | Words | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query and the text that it came from."""

    text: str
    root: Node


EVERYTHING: Final = Query("*", Everything())


def parse(text: str) -> Query:
    """Parse one query.

    Raises:
        QueryError: with the position of the character that cannot be understood.
    """
    parts: list[Node] = []
    star: int | None = None
    at = 0
    while (piece := _PIECE.match(text, at)) is not None:
        if piece["quote"]:
            end = _closing(text, at)
            parts.append(_phrase(text, at, end))
            at = end + 1
            continue
        if piece["word"] == "*":
            star = at
        elif piece["word"]:
            parts.append(Words((_word(piece["word"], at),), at))
        at = piece.end()
    if star is not None and parts:
        raise QueryError("`*` is everything: it stands alone", position=star)
    if star is not None:
        return EVERYTHING
    if not parts:
        raise QueryError("the query is empty; `*` is everything", position=0)
    return Query(text.strip(), parts[0] if len(parts) == 1 else AllOf(tuple(parts)))


def any_of(queries: Sequence[Query]) -> Query:
    """A query that matches what one of them matches."""
    if len(queries) == 1:
        return queries[0]
    return Query(" | ".join(query.text for query in queries), AnyOf(tuple(query.root for query in queries)))


def _closing(text: str, opening: int) -> int:
    for at in range(opening + 1, len(text)):
        if text[at] in _QUOTES:
            return at
    raise QueryError("this quote is never closed", position=opening)


def _phrase(text: str, opening: int, closing: int) -> Words:
    words = tuple(word for raw in text[opening + 1 : closing].split() if (word := fold(raw).strip()))
    if not words:
        raise QueryError("there is nothing between these quotes", position=opening)
    return Words(words, opening)


def _word(raw: str, at: int) -> str:
    """One word outside quotes, folded; refuses what will mean something else one day, and what can never match."""
    if raw in ("AND", "OR", "NOT"):
        raise QueryError(f'{raw} is not understood yet: write "{raw}" in quotes for the word', position=at)
    for offset, character in enumerate(raw):
        if character in "()":
            raise QueryError("parentheses are not understood yet: use quotes for the character", position=at + offset)
    if raw[0] == "-" and len(raw) > 1:
        raise QueryError("a leading `-` is not understood yet: use quotes for the character", position=at)
    if "*" in raw:
        raise QueryError("`*` is everything and stands alone; it is no placeholder in a word", position=at)
    if raw[-1] in ",;" and any(map(is_letter, raw)):
        raise QueryError("words are separated by spaces, not by commas", position=at + len(raw) - 1)
    word = fold(raw).strip()
    if not word:
        raise QueryError("this word consists of invisible characters", position=at)
    return word
