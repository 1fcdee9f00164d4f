"""A text as the exported model's tokenizer gets it."""

from __future__ import annotations

from heartbeat.models.encoder import whole
from heartbeat.models.encoder_text import normalise
from heartbeat.models.export.request import Wording


def prepare(text: str, wording: Wording, max_chars: int) -> str:
    """Mentions and links made uniform for `tweets`, emoji spelt out for `tweets-words`; lone surrogates to U+FFFD; cut.

    Total: takes any string. What `EncoderModel.prepare` makes of a text that has words of its own.
    """
    text = whole(text)
    if wording != "plain":
        text = normalise(text, spell_emoji=wording == "tweets-words")
    return whole(text[:max_chars])
