"""What happens to a text before an encoder's tokenizer sees it: the same here, in training and at run time.

Encoders that learned from tweets know one word for every mention and one for every link. Emoji are no words to an
English tokenizer, although they often say more about the mood than the words do: `normalise` can spell them out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

MENTION: Final = "@user"
LINK: Final = "http"
MAX_RAW_CHARS: Final = 4000
"""Characters of a text that are looked at, so that no text costs more than this."""

# What was read is never given back (`++`), so the time is linear in the text's length. Accents that could not be
# joined with their letter belong to a mention too, or they would change the mask's last letter.
_LINK: Final = re.compile(r"""(?:\bhttps?://|\bwww\.|\bpic\.twitter\.com/|\bt\.co/)[^\s<>"]++""", re.IGNORECASE)
_NAME_SIGN: Final = r"\w\u0300-\u036f"
_MENTION: Final = re.compile(
    rf"(?<![\w@])@\w[{_NAME_SIGN}]*+"
    rf"(?:(?:\.[{_NAME_SIGN}-]++){{2,}}+|\.(?:com|net|org|social)\b)?(?:@[{_NAME_SIGN}.-]++)*+[\u0300-\u036f]*+"
)
_BEHIND: Final = ".,:;!?…)]}'’”*"
"""Signs that end a sentence rather than a link or a host."""
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTE: Final = re.compile(r'(?<!\\)\\++"')
_ENTITY: Final = re.compile(r"&(?:amp;)*+(?:(lt|gt|quot|apos|#39|nbsp);)?+")
_ENTITIES: Final = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "#39": "'", "nbsp": " "}
_REPEATED: Final = re.compile(r"([^\W\d]|[!?.])\1{3,}+")

_PICTURES: Final = (
    "\u2600-\u27bf\u2b00-\u2bff\u231a-\u23ff\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001fbff"
)
_PARTS: Final = "\u200d\u20e3\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\U000e0020-\U000e007f"
"""Joiners, skin tones, letters of flags: what emoji are put together with, and says nothing of the mood."""
_EMOJI: Final = re.compile(f"([{_PICTURES}])(?:[{_PARTS}]*\\1)*[{_PARTS}]*|[{_PARTS}]+")
_CLEARER: Final = {"❤": "red heart", "♥": "red heart", "♡": "heart", "☺": "smiling face", "✌": "victory hand"}
_COLOURS: Final = ("white ", "black ", "heavy ")
"""How names tell a sign's outlines from its filled form."""


def normalise(text: str, *, spell_emoji: bool = True) -> str:
    r"""A text as encoders read it: `@user` for each mention, `http` for each link, plain signs for escaped ones.

    Mentions are `@name`, `@name@host` and `@name.host.tld` not preceded by a letter (so no mail addresses); links
    begin with a scheme, `www.`, `t.co/` or `pic.twitter.com/`. Signs next to them stay. HTML entities and the
    `\u2019` that collections leave in texts become the signs that they stand for, letters repeated more than three
    times are cut to three, blanks are made single. With `spell_emoji`, an emoji becomes its name in words, a run of the
    same one a single name, for tokenizers that do not know emoji.

    Idempotent; total: takes any string. Only the first `MAX_RAW_CHARS` characters are read.
    """
    text = _plain(text[:MAX_RAW_CHARS])
    if spell_emoji and not text.isascii():
        text = _EMOJI.sub(_name, text)
    if "/" in text or "www." in text:
        text = _LINK.sub(lambda found: _masked(found[0], LINK), text)
    if "@" in text:
        text = _MENTION.sub(lambda found: _masked(found[0], MENTION), text)
    return " ".join(_REPEATED.sub(r"\1\1\1", text).split())


def _plain(text: str) -> str:
    """Escapes and entities as the signs that they stand for, all in Unicode's NFKC form."""
    text = _composed(text)
    if "\\" in text:
        text = _ESCAPE.sub(_sign, text)
    if "&" in text:
        text = _ENTITY.sub(lambda found: _ENTITIES.get(found[1], "&") if found[1] else "&", text)
    if "\\" in text:
        text = _QUOTE.sub('"', text)
    return _composed(text)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _sign(found: re.Match[str]) -> str:
    """The sign behind an escape. What could be part of another escape stays as it is, and so do halves of pairs."""
    sign = unicodedata.normalize("NFKC", chr(int(found[1], 16)))
    kept = any(part.isalnum() or part == "\\" or unicodedata.combining(part) or part.isspace() for part in sign)
    return found[0] if kept or "\ud800" <= sign <= "\udfff" else sign


def _masked(found: str, mask: str) -> str:
    return mask + found[len(found.rstrip(_BEHIND)) :]


def _name(found: re.Match[str]) -> str:
    return f" {_words(found[1])} " if found[1] else " "


@lru_cache(4096)
def _words(sign: str) -> str:
    name = _CLEARER.get(sign) or unicodedata.name(sign, "").lower()
    for colour in _COLOURS:
        name = name.removeprefix(colour)
    return name
