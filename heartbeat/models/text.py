"""What happens to a text before a character n-gram model sees it: the same here, in training and at run time.

Everything else (folding of case and punctuation, hashing, weighing) is inside the model's graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_CHARS: Final = 1000
"""Characters of a prepared text that a model reads; the rest is cut."""

MAX_RAW_CHARS: Final = 4 * MAX_CHARS
"""Characters of a raw text that `prepare` looks at, so that no text costs more than this."""

# One pattern for each kind, tried only where its sign occurs: most posts hold none, and a pattern that begins with
# a literal is found fast. What was read is never given back (`++`), so the time is linear in the text's length.
_LINK: Final = re.compile(r"(?:https?://|www\.)\S*+")
_MENTION: Final = re.compile(r"@\w[\w.-]*+(?:@[\w.-]++)?:?")
_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d++);")
# A host name without a scheme is a link only with a path behind it ("t.co/x"): "end.Next" is a missing space.
_PATH: Final = re.compile(r"(?<![\w.-])[\w-]++(?:\.[\w-]++)++/\S*+|(?<![\w/])/?[ur]/\w++")

_UNSEEN: Final = "\u00ad\u2060\ufeff"
"""Soft hyphen, word joiner, byte order mark: they stand within words, and no reader sees them."""


def prepare(text: str) -> str:
    """A post's own words: what speaks no language is taken out, a space stands in its place.

    Taken out are links, mentions (`@name`, `@name@host`, `u/name`, `r/name`, the `RT` before a mention) and HTML
    entities; a hashtag loses its sign and keeps its word. Letters are brought to Unicode's NFKC form, so that
    composed and decomposed accents, full-width and "fancy" letters read alike, and what stands unseen within words
    (soft hyphens) is dropped. Total: takes any string, lone surrogates and NUL included. Only the first
    `MAX_RAW_CHARS` characters are read.
    """
    if len(text) > MAX_RAW_CHARS:
        text = text[:MAX_RAW_CHARS]
    if not text.isascii():
        for sign in _UNSEEN:  # first, for one may stand between a letter and its accent
            text = text.replace(sign, "")
        text = unicodedata.normalize("NFKC", text)
    if "://" in text or "www." in text:
        text = _LINK.sub(" ", text)
    if "@" in text:
        text = _MENTION.sub(" ", text.replace("RT @", "@"))
    if "/" in text:
        text = _PATH.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(" ", text)
    if "#" in text:
        text = text.replace("#", " ")
    return text


def to_codes(texts: Sequence[str]) -> NDArray[np.int32]:
    """Prepared texts as a model's input: UTF-32 code points.

    Returns:
        int32 [N, L]: a text a row, L the longest of them (at least 1, at most `MAX_CHARS`), padded with 0 on the
        right. A lone surrogate keeps its number; longer texts are cut.
    """
    if len(texts) == 1:
        joined, width = texts[0][:MAX_CHARS] or "\0", -1
    else:
        width = min(max(map(len, texts), default=0), MAX_CHARS) or 1
        joined = "".join([text.ljust(width, "\0") if len(text) <= width else text[:width] for text in texts])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.dtype("<i4"))
    return codes.reshape(len(texts), width).astype(np.int32, copy=False)
