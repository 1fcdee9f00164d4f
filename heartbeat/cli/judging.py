"""What the commands on models share: a model of either kind loaded by itself, and the demo's posts."""

from __future__ import annotations

from dataclasses import dataclass

from heartbeat.models.api import SentimentModel
from heartbeat.models.catalogue import Entry
from heartbeat.models.ngram import NgramModel
from heartbeat.models.sentiment import load_sentiment
from heartbeat.models.trial import Sample
from heartbeat.settings import Settings


@dataclass(frozen=True, slots=True)
class Post:
    """A text to judge. `lang` and `label` where the file says them; `line` of the file, from 1."""

    text: str
    lang: str | None = None
    label: str | None = None
    line: int = 0


def load(entry: Entry, settings: Settings) -> SentimentModel:
    """Verify and load a model of either kind, as a worker does.

    Raises:
        ModelError: it is damaged or unfit.
    """
    if entry.card.kind == "language":
        return NgramModel.load(entry, kind="language")
    return load_sentiment(entry, lanes=settings.lanes)


def demo_posts() -> list[Sample]:
    """The posts of the scripted conversation that ships."""
    from heartbeat.feeds import demo

    return [Sample(line.content, line.lang) for line in demo.script()]
