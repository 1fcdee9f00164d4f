"""Which tasks a post belongs to, for many tasks at once.

Every query becomes rules: conjunctions of checks, each a piece of text that must occur and the words around it. A few
rules are tried one after the other, by substring first. Many rules are found through an index: each hangs on one whole
word that a matching post must contain, and a post only meets the rules of its own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

from heartbeat.tasks.folding import fold, is_letter, is_spaced, spaced_words
from heartbeat.tasks.query import AllOf, AnyOf, Everything, Node, Words
from heartbeat.tasks.task import Task

_INDEX_FROM: Final = 24
"""From so many rules on the index is faster than trying them one by one (about 6 µs for cutting a post into words)."""


class _Check(NamedTuple):
    """Words that have to stand in this order; `literal` is the longest of them."""

    literal: str
    words: tuple[str, ...]


class _Rule(NamedTuple):
    """All checks have to hold. `first` is the literal of the first one, which is the least likely to occur."""

    first: str
    task: int
    checks: tuple[_Check, ...]


class Matcher:
    """Decides for a fixed set of tasks. Made once; matching has no state."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        tasks = tuple(tasks)
        self.names = tuple(task.name for task in tasks)
        self._always: tuple[int, ...] = ()
        rules: list[_Rule] = []
        for number, task in enumerate(tasks):
            for conjunction in _conjunctions(task.query.root):
                if conjunction:
                    rules.append(_rule(number, conjunction))
                elif number not in self._always:
                    self._always += (number,)
        rules = [rule for rule in rules if rule.task not in self._always]
        self._result_of_always = tuple(self.names[number] for number in self._always)
        self._result_of_one = tuple((name,) for name in self.names)
        self._index: dict[str, list[_Rule]] = {}
        self._keys: frozenset[str] = frozenset()
        self._scan: list[_Rule] = rules
        self._scan_beyond_ascii: list[_Rule] = []
        if len(rules) >= _INDEX_FROM:
            self._build_index(rules)

    def _build_index(self, rules: list[_Rule]) -> None:
        self._scan = []
        words_in = spaced_words().findall
        for rule in rules:
            words = [word for check in rule.checks for word in words_in(check.literal)]
            if words:
                self._index.setdefault(max(words, key=len), []).append(rule)
            elif all(check.literal.isascii() for check in rule.checks):
                self._scan.append(rule)
            else:
                self._scan_beyond_ascii.append(rule)
        self._keys = frozenset(self._index)

    def match(self, content: str) -> tuple[str, ...]:
        """The names of the tasks that a text belongs to, in the order of the tasks."""
        if not (self._scan or self._keys or self._scan_beyond_ascii):
            return self._result_of_always
        text = fold(content)
        hits = [rule.task for rule in self._scan if rule[0] in text and _holds(rule, text)]
        if self._scan_beyond_ascii and not text.isascii():
            hits += [rule.task for rule in self._scan_beyond_ascii if rule[0] in text and _holds(rule, text)]
        if self._keys:
            for word in self._keys.intersection(spaced_words().findall(text)):
                hits += [rule.task for rule in self._index[word] if _holds(rule, text)]
        if not hits:
            return self._result_of_always
        if len(hits) == 1 and not self._always:
            return self._result_of_one[hits[0]]
        return tuple([self.names[number] for number in sorted({*hits, *self._always})])


def _holds(rule: _Rule, text: str) -> bool:
    for literal, words in rule.checks:
        if literal in text and _stand_in(text, words):
            continue
        return False
    return True


def _stand_in(text: str, words: tuple[str, ...]) -> bool:
    """Whether the words stand in a text, whole, in order, with no letter between them."""
    ends = _ends(text, words[0])
    if len(words) == 1:
        return next(ends, None) is not None
    possible = set(ends)
    for before, word in zip(words, words[1:], strict=False):
        # Scripts without spaces may join two words; elsewhere something has to stand between them.
        joined = not (is_spaced(before[-1]) and is_spaced(word[0]))
        possible = {end for start in possible for end in _ends_after(text, start, word, joined)}
    return bool(possible)


def _ends(text: str, word: str) -> Iterator[int]:
    """Where the word's occurrences end."""
    at = text.find(word)
    while at >= 0:
        if _is_whole(text, at, word):
            yield at + len(word)
        at = text.find(word, at + 1)


def _ends_after(text: str, start: int, word: str, joined: bool) -> Iterator[int]:
    """Where the word's occurrences end that begin behind `start` and what is no letter there."""
    at = start
    while at < len(text):
        if (at > start or joined) and text.startswith(word, at) and _is_whole(text, at, word):
            yield at + len(word)
        if is_letter(text[at]):
            return
        at += 1


def _is_whole(text: str, at: int, word: str) -> bool:
    """Whether no letter of its own kind of script stands right before or after the word."""
    end = at + len(word)
    if at and is_spaced(text[at - 1]) and (is_spaced(word[0]) or word[0] in "#@$"):
        return False
    return not (end < len(text) and is_spaced(text[end]) and is_spaced(word[-1]))


def _conjunctions(node: Node) -> list[tuple[Words, ...]]:
    """The node as alternatives of conjunctions; an empty conjunction is everything."""
    match node:
        case Everything():
            return [()]
        case Words():
            return [(node,)]
        case AnyOf(parts):
            return [conjunction for part in parts for conjunction in _conjunctions(part)]
        case AllOf(parts):
            return [
                tuple(words for conjunction in choice for words in conjunction)
                for choice in product(*map(_conjunctions, parts))
            ]


def _rule(task: int, conjunction: tuple[Words, ...]) -> _Rule:
    checks = sorted(map(_check, dict.fromkeys(conjunction)), key=lambda check: -len(check.literal))
    return _Rule(checks[0].literal, task, tuple(checks))


def _check(words: Words) -> _Check:
    return _Check(max(words.words, key=len), words.words)
