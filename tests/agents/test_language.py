from __future__ import annotations

from collections.abc import Sequence

import pytest

from heartbeat import topics
from heartbeat.agents.language import LanguageAgent
from heartbeat.engine.agent import Batch, Event
from heartbeat.engine.log import TP
from heartbeat.models.api import LanguageGuess
from heartbeat.records import Detected, Heartbeat, Post, Record
from heartbeat.tasks import LANGUAGES
from heartbeat.tasks.hints import language_of
from tests.agents.world import post


class Unsure:
    """Says `da`, as sure as the text says."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        self.asked.append(list(texts))
        return [LanguageGuess("da", float(text), "language/1") for text in texts]


async def passed_on(*values: Post | Heartbeat, model: Unsure | None = None) -> list[tuple[Record, str, int]]:
    out: list[tuple[Record, str, int]] = []

    def emit(topic: topics.Topic, value: Record, *, key: str, partition: int) -> None:
        assert topic == topics.LANGUAGE
        out.append((value, key, partition))

    agent = LanguageAgent(model or Unsure(), hint_below=0.6)
    await agent(Batch(TP("ingest", 3), [Event(at, 0, None, value) for at, value in enumerate(values)]), emit)
    return out


@pytest.mark.parametrize(
    ("confidence", "hint", "expected"),
    [
        ("0.59", "no", ("nb", 0.59, "hint")),
        ("0.6", "no", ("da", 0.6, "language/1")),
        ("0.1", None, ("da", 0.1, "language/1")),
        ("0.1", "tlh", ("da", 0.1, "language/1")),
        ("0.1", "und", ("da", 0.1, "language/1")),
        ("0.1", "da-DK", ("da", 0.1, "language/1")),
    ],
)
async def test_a_hint_decides_where_the_model_is_unsure(
    confidence: str, hint: str | None, expected: tuple[str, float, str]
) -> None:
    [(value, _, _)] = await passed_on(post(1, 0, text=confidence)._replace(lang_hint=hint))
    assert isinstance(value, Detected)
    assert (value.lang, value.lang_confidence, value.lang_model) == expected


async def test_a_post_keeps_all_that_it_had_and_its_partition() -> None:
    original = post(1, 2, text="0.9", tasks=("a", "b"), rev=3)._replace(
        author="somebody", url="https://example.org", lang_hint="en", time_clamped=True
    )
    [(value, key, partition)] = await passed_on(original)
    assert isinstance(value, Detected)
    assert Post._make(value[: len(original)]) == original
    assert (key, partition) == (topics.post_key("x", "1"), 3)


async def test_heartbeats_and_deletions_pass_in_order_and_the_model_is_asked_once() -> None:
    model, beat = Unsure(), Heartbeat("demo", 3, 5, True)
    values = (
        post(1, 0, text="0.9"),
        beat,
        post(1, 0, op="delete", text="")._replace(lang_hint="en"),
        post(2, 0, text="0.8"),
    )
    out = [value for value, _, _ in await passed_on(*values, model=model)]
    assert model.asked == [["0.9", "0.8"]]
    assert out[1] == beat
    assert [(type(value).__name__, getattr(value, "lang", "")) for value in out] == [
        ("Detected", "da"),
        ("Heartbeat", ""),
        ("Detected", "und"),
        ("Detected", "da"),
    ]


async def test_no_text_no_question() -> None:
    model = Unsure()
    assert len(await passed_on(Heartbeat("demo", 3, 5, True), post(1, 0, op="delete"), model=model)) == 2
    assert model.asked == []


@pytest.mark.parametrize(
    ("hint", "lang"),
    [
        *[("en", "en"), ("en-US", "en"), ("EN_gb", "en"), (" pt-BR ", "pt"), ("zh-Hant", None), ("", None)],
        *[("no", "nb"), ("nb-NO", "nb"), ("iw", "he"), ("in", "id"), ("in-ID", "id"), ("eng", "en"), ("ger", "de")],
        *[("war", "war"), ("und", None), ("nonsense", None), ("-", None), ("x-klingon", None)],
    ],
)
def test_hints_come_in_many_forms(hint: str, lang: str | None) -> None:
    assert language_of(hint) == lang


def test_every_language_is_a_hint_on_itself() -> None:
    assert {language_of(lang) for lang in LANGUAGES - {"und"}} == LANGUAGES - {"und"}
