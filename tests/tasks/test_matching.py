from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.tasks import Matcher, Task, parse
from heartbeat.tasks.folding import fold, is_spaced, spaced_words
from heartbeat.tasks.query import any_of


def task(name: str, *queries: str) -> Task:
    return Task(name, name, any_of([parse(query) for query in queries]), ("demo",))


FILLERS = [task(f"filler{number}", f"filler{number}") for number in range(30)]
"""So many tasks that the index is used."""


def matches(query: str, content: str) -> bool:
    alone = Matcher([task("t", query)]).match(content) == ("t",)
    among_many = Matcher([*FILLERS, task("t", query)]).match(content) == ("t",)
    assert alone == among_many
    return alone


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("lumo", "My LUMO is dead"),
        ("LUMO", "my lumo is dead"),
        ("lumo", "#Lumo"),
        ("lumo", "@lumo: hello"),
        ("lumo", "(lumo)"),
        ("lumo", "lumo's light"),
        ("lumo", "lumo’s light"),
        ("lumo", "https://example.com/lumo?x=1"),
        ("lumo", "Lumo™ and Lumo® are one"),
        ("lumo", "ＬＵＭＯ in full width"),
        ("lumo", "lu\u00admo with a soft hyphen"),
        ("lumo", "私のlumoが壊れた"),
        ("#lumo", "so good #Lumo!"),
        ("@lumo", "thanks @LUMO"),
        ("don't", "I DON’T know"),
        ("straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("istanbul", "İSTANBUL"),
        ("ışık", "IŞIK"),
        ("light", "LIGHT"),
        ("ルーモ", "新しいルーモが来た"),
        ("ﾙｰﾓ", "ルーモ"),
        ("กาแฟ", "ชอบกาแฟมาก"),
        ("루모", "루모가 멈췄어요"),
        ("हिन्दी", "मुझे हिन्दी पसंद है"),
        ("كتاب", "كِتَاب"),
        ("c++", "I like C++!"),
        ("b2b-sales", "our B2B-Sales team"),
        ("😡", "no 😡 no"),
        ("❤", "I ❤️ it"),
        ('":)"', "fine :)"),
        ('"new york"', "in New York today"),
        ('"new york"', "New-York"),
        ('"new york"', "new   york"),
        ('"new york"', "#new #york"),
        ('"東京 タワー"', "東京タワー"),
        ("york new", "new in york"),
        ("*", ""),
        ("*", "anything"),
    ],
)
def test_matches(query: str, content: str) -> None:
    assert matches(query, content)


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("lumo", "lumophone"),
        ("lumo", "alumo"),
        ("lumo", "lumo2"),
        ("lumo", "@lumo_help"),
        ("lumo", ""),
        ("año", "ano"),
        ("#lumo", "lumo"),
        ("@lumo", "#lumo"),
        ("@lumo", "me@lumo.example"),
        ("c++", "c"),
        ("c", "ç"),
        ("हिन्द", "हिन्दी"),
        ('"new york"', "new in york"),
        ('"new york"', "newyork"),
        ('"new york"', "york new"),
        ("new york", "new jersey"),
        ("ルーモ", "ルモ"),
    ],
)
def test_does_not_match(query: str, content: str) -> None:
    assert not matches(query, content)


def test_tasks_come_in_their_order_each_once() -> None:
    matcher = Matcher([task("b", "tea", "coffee"), task("all", "*"), task("a", "coffee"), task("no", "milk")])
    assert matcher.match("coffee and tea") == ("b", "all", "a")
    assert matcher.match("water") == ("all",)


def test_no_tasks_match_nothing() -> None:
    assert Matcher([]).match("anything") == ()


WORD = st.text("abé", min_size=1, max_size=2)
QUERY = st.one_of(
    WORD,
    WORD.map("#{}".format),
    st.lists(WORD, min_size=2, max_size=3).map(" ".join),
    st.lists(WORD, min_size=2, max_size=3).map(lambda words: '"' + " ".join(words) + '"'),
    st.sampled_from(["東", "b東", ":#", "é-a", "*"]),
)


@given(st.lists(st.lists(QUERY, min_size=1, max_size=2), min_size=1, max_size=6), st.text("abéÉ東 .,#:)-", max_size=25))
def test_many_tasks_match_as_each_would_alone(queries: list[list[str]], content: str) -> None:
    tasks = [task(f"t{number}", *some) for number, some in enumerate(queries)]
    alone = tuple(t.name for t in tasks if Matcher([t]).match(content))
    assert Matcher(tasks).match(content) == alone
    assert Matcher([*FILLERS, *tasks]).match(content) == alone


@given(st.lists(WORD, min_size=1, max_size=3), st.text("abéÉ .,#", max_size=25))
def test_words_and_phrases_against_plain_splitting(words: list[str], content: str) -> None:
    there = re.findall(r"\w+", content.lower())
    assert matches(" ".join(words), content) == all(word in there for word in words)
    in_order = any(there[at : at + len(words)] == words for at in range(len(there)))
    assert matches('"' + " ".join(words) + '"', content) == in_order


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_folding_twice_is_folding_once_for_every_character() -> None:
    wrong = [hex(code) for code in range(0x110000) if fold(fold(chr(code))) != fold(chr(code))]
    assert not wrong


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), st.text(max_size=10), st.text(max_size=10))
def test_any_phrase_is_found_between_spaces(phrase: str, before: str, after: str) -> None:
    quotes = '"“”„«»'
    cleaned = "".join(" " if character in quotes else character for character in phrase)
    if fold(cleaned).strip():
        assert matches(f'"{cleaned}"', f"{before} {cleaned} {after}")


def test_the_index_sees_every_letter_that_bounds_a_word() -> None:
    wrong = []
    for code in range(0x110000):
        character = chr(code)
        if is_spaced.__wrapped__(character) and fold(character) == character:
            if spaced_words().fullmatch(character) is None:
                wrong.append(hex(code))
        elif spaced_words().fullmatch(character) is not None and fold(character) == character:
            wrong.append(hex(code))
    assert not wrong
