"""What is taken out of a text, and how texts become code points."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.models.text import MAX_CHARS, MAX_RAW_CHARS, prepare, to_codes

# Everything a Python string can hold: lone surrogates, NUL, signs beyond the BMP.
anything = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("look https://example.org/a?b=c#d now", "look   now"),
        ("see www.example.org", "see  "),
        ("at t.co/AbC1 and youtu.be/x", "at   and  "),
        ("@who are you", "  are you"),
        ("RT @who: yes", "  yes"),
        ("ask @who@example.social today", "ask   today"),
        ("u/who on r/what said", "  on   said"),
        ("#HappyDay", " HappyDay"),
        ("salt &amp; pepper", "salt   pepper"),
        ("a/b 5/6 and/or", "a/b 5/6 and/or"),
        ("The end.Next begins", "The end.Next begins"),
        ("meet @ noon", "meet @ noon"),
        ("e\u0301t\u00e9", "été"),
        ("\uff48\uff49 \U0001d4f1\U0001d4f2", "hi hi"),
        ("sep\u00ada\u00adra\u2060ted \ufeffword", "separated word"),
        ("e\u00ad\u0301t\u00e9", "\u00e9t\u00e9"),
        ("htt\u00adps://example.org/a now", "  now"),
        ("", ""),
        ("\0", "\0"),
        ("\ud800", "\ud800"),
    ],
)
def test_prepare_takes_out_what_speaks_no_language(text: str, expected: str) -> None:
    assert prepare(text) == expected


pieces = st.lists(st.one_of(anything, st.sampled_from(["http", "https://", "www.", "@a", "RT @", "&amp;", "#", "/"])))


@given(pieces.map("".join))
def test_prepare_takes_anything_and_leaves_no_link_or_hashtag_sign(text: str) -> None:
    prepared = prepare(text)
    assert "#" not in prepared
    assert re.search(r"https?://|www\.|&amp;", prepared) is None


@given(st.text("abc éж日", max_size=40))
def test_prepare_leaves_plain_words_alone(text: str) -> None:
    assert prepare(text) == text


@given(anything, st.sampled_from(["@name", "https://example.org/x", "#", "&amp;", "www.example.org"]))
def test_prepare_costs_linear_time(text: str, again: str) -> None:
    started = time.process_time()
    prepare((text + again) * 3000)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("text", ["a" * 10_000 + "@", "@" * 10_000, "a." * 5_000 + "/", "&" * 10_000, "u/" * 5_000])
def test_prepare_of_a_long_text_reads_only_its_beginning(text: str) -> None:
    started = time.process_time()
    assert len(prepare(text)) <= MAX_RAW_CHARS
    assert time.process_time() - started < 0.1


@given(st.lists(anything, max_size=8))
def test_codes_are_the_code_points_padded_with_zero(texts: list[str]) -> None:
    codes = to_codes(texts)
    assert codes.dtype == np.int32
    assert codes.shape == (len(texts), max([1, *map(len, texts)]))
    for row, text in zip(codes.tolist(), texts, strict=True):
        assert row == [ord(char) for char in text] + [0] * (len(row) - len(text))


@pytest.mark.parametrize("others", [[], ["short"]])
def test_codes_of_a_long_text_are_cut(others: list[str]) -> None:
    codes = to_codes(["ж" * 10_000, *others])
    assert codes.shape == (1 + len(others), MAX_CHARS)
    assert (codes[0] == ord("ж")).all()
