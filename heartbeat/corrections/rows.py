"""A correction, and the post that it is of."""

from __future__ import annotations

from typing import Final, NamedTuple

LABELS: Final = ("positive", "neutral", "negative", "mixed")
"""What a label may be corrected to."""


class SeenPost(NamedTuple):
    """A post as it was shown to whoever corrects it: its text, and what the models had said of it. Never an author.

    `time_ms` is the post's own time. Either label, pos, neu, neg and model are there, or it was left unscored.
    """

    source: str
    id: str
    rev: int
    content: str
    task: str
    time_ms: int
    label: str | None
    lang: str
    lang_confidence: float
    pos: float | None
    neu: float | None
    neg: float | None
    model: str | None


class Correction(NamedTuple):
    """What a post should have been called, when somebody said so, and what it had been called.

    `label` and `lang` are what they should be, None where nothing was said of that; to say what the model had said
    confirms it. Of several corrections of one post (source, id) the newest stands. `number` grows with each that is
    made, and is 0 before it is kept.
    """

    number: int
    corrected_ms: int
    label: str | None
    lang: str | None
    post: SeenPost

    @property
    def confirms(self) -> bool:
        """Whether it says only what the models had said."""
        return self.label in (None, self.post.label) and self.lang in (None, self.post.lang)


class Gone(NamedTuple):
    """A post whose text may not be kept any more, up to a revision; None: in whichever one."""

    source: str
    id: str
    rev: int | None
