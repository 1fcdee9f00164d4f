"""What an encoder reads of a text: mentions, links, emoji and signs, the same in training and at run time."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heartbeat.models.encoder_text import LINK, MAX_RAW_CHARS, MENTION, normalise

# Texts made of what the function looks for meet its corners far more often than any text would.
PIECES = st.sampled_from(
    [
        "@",
        "user",
        "@ann",
        ".",
        "-",
        "@host.social",
        "http",
        "https://",
        "www.",
        "t.co/",
        "x",
        "9",
        ":",
        ")",
        "&",
        "amp;",
        "lt;",
        "#39;",
        "\\",
        "\\u2019",
        "\\u0040",
        "u0026",
        "aaaa",
        "!",
        "com",
        "/",
        "pic.twitter.com/",
        "<",
        ">",
        "_",
        "*",
        '"',
        "ＨＴＴＰ",
        "＠",
        "…",
        "é",
        "😂",
        "❤",
        "👍🏽",
        "👩\u200d👧",
        "🇩🇪",
    ]
    + [" ", "\n", "\u0301", "\ufe0f", "\u200d", "\ud83d"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=14).map("".join))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@ann hi", "@user hi"),
        ("(@ann_b), .@bob! -@cy", "(@user), .@user! -@user"),
        ("@ann:see @ann's", "@user:see @user's"),
        ("@ann@host.social. Bye", "@user. Bye"),
        ("@ann.bsky.social, @site.com", "@user, @user"),
        ("@user.Wish it was", "@user.Wish it was"),
        ("mail ann@example.org @ home", "mail ann@example.org @ home"),
        ("see https://t.co/x1, (http://a.b/c?d=e).", "see http, (http)."),
        ("HTTPS://X.Y www.a.de t.co/abc pic.twitter.com/q", "http http http http"),
        ("http and https are words", "http and https are words"),
        ("it\\u2019s fine\\u002c really", "it’s fine, really"),
        ('\\""Take a bow!\\""', '""Take a bow!""'),
        ("you &amp; me &lt;3 &amp;amp; &amp;quot;x&quot;", 'you & me <3 & "x"'),
        ("soooooo good!!!!!! 10000000 ....", "sooo good!!! 10000000 ..."),
        ("so 😂😂😂 I❤️U", "so face with tears of joy I red heart U"),
        ("👍🏽👍🏿 🇩🇪 ok☺", "thumbs up sign ok smiling face"),
        ("  a \t b\n", "a b"),
        ("", ""),
    ],
)
def test_what_is_read(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_emoji_stay_where_the_tokenizer_knows_them() -> None:
    assert normalise("so 😂😂 @ann", spell_emoji=False) == "so 😂😂 @user"


@given(TEXTS, st.booleans())
@example("\\u005cu0041", True)
@example("&amp\\u003b", True)
@example("\\u0040ann \\u0068ttp://x", True)
def test_reading_twice_changes_nothing(text: str, spell_emoji: bool) -> None:
    once = normalise(text, spell_emoji=spell_emoji)
    assert normalise(once, spell_emoji=spell_emoji) == once


@given(TEXTS)
def test_blanks_are_single_and_none_are_at_the_ends(text: str) -> None:
    once = normalise(text)
    assert once == " ".join(once.split())


@given(st.from_regex(r"[A-Za-z0-9_]{1,15}", fullmatch=True), st.sampled_from(["", ".", ",", "!", ":", ")", "’s", "…"]))
def test_every_name_is_the_same_mention(name: str, behind: str) -> None:
    once = normalise(f"hello @{name}{behind} there")
    assert once == f"hello {MENTION}{behind.replace('…', '...')} there"


@given(st.from_regex(r"[a-z0-9/?=&_-]{0,30}[a-z0-9/]", fullmatch=True), st.sampled_from(["", ".", ",", "!", ")", "…"]))
def test_every_address_is_the_same_link(path: str, behind: str) -> None:
    once = normalise(f"see https://example.org/{path}{behind} there")
    assert once == f"see {LINK}{behind.replace('…', '...')} there"


@pytest.mark.parametrize(
    "piece",
    ["@", "@a", "@a.", "&amp;", "&", "http://", "www.", "\\u0026", "\\", "😂", "\u200d", "a", "@a-", "t.co/", ".)"],
)
def test_no_text_costs_much(piece: str) -> None:
    began = time.process_time()
    assert len(normalise(piece * 100_000, spell_emoji=False)) <= MAX_RAW_CHARS * 18
    assert time.process_time() - began < 0.5
