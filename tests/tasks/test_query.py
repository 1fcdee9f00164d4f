from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.errors import QueryError
from heartbeat.tasks.folding import fold
from heartbeat.tasks.query import AllOf, AnyOf, Everything, Words, any_of, parse


def test_words_side_by_side_are_all_needed() -> None:
    assert parse("  Flat  white ").root == AllOf((Words(("flat",), 2), Words(("white",), 8)))


def test_one_word_is_no_conjunction() -> None:
    assert parse("Coffee").root == Words(("coffee",), 0)


@pytest.mark.parametrize("text", ['"flat white"', "“flat white”", "„flat white“", "«flat white»"])
def test_quotes_make_a_phrase(text: str) -> None:
    assert parse(text).root == Words(("flat", "white"), 0)


def test_the_text_is_kept_for_people() -> None:
    assert parse("  Flat White ").text == "Flat White"


def test_a_star_alone_is_everything() -> None:
    assert parse(" * ").root == Everything()


def test_words_that_mean_something_else_later_are_words_in_quotes() -> None:
    assert parse('"AND" "-x" "(a)"').root == AllOf((Words(("and",), 0), Words(("-x",), 6), Words(("(a)",), 11)))


def test_any_of_several() -> None:
    both = any_of([parse("a"), parse("b c")])
    assert both.text == "a | b c"
    assert both.root == AnyOf((parse("a").root, parse("b c").root))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 0),
        ('coffee "flat white', 7),
        ('a ""', 2),
        ('a "  "', 2),
        ("a OR b", 2),
        ("a AND b", 2),
        ("NOT b", 0),
        ("a (b", 2),
        ("ab(c", 2),
        ("a -b", 2),
        ("cof*", 0),
        ("* a", 0),
        ("a *", 2),
        ("coffee, tea", 6),
        ("a \u200b", 2),
    ],
)
def test_what_cannot_be_understood_is_pointed_at(text: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.position == position
    assert f"(at character {position + 1})" in str(caught.value)


@given(st.text(st.sampled_from('ab *"“(),-#AND OR\u200b\t東é'), max_size=30))
def test_any_text_parses_or_is_pointed_at(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert 0 <= error.position <= max(len(text) - 1, 0)
    else:
        for words in _words(query.root):
            assert words.words and all(words.words) and all(fold(word) == word for word in words.words)


@given(st.lists(st.text("abcäß東", min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_phrase_holds_its_words(words: list[str]) -> None:
    assert parse('"' + "  ".join(words) + '"').root == Words(tuple(map(fold, words)), 0)


def _words(node: object) -> list[Words]:
    match node:
        case Words():
            return [node]
        case AllOf(parts) | AnyOf(parts):
            return [words for part in parts for words in _words(part)]
    return []
