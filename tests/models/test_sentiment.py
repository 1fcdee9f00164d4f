"""Sentiment: which model, which label, which figures, and what stays unscored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from heartbeat.errors import ModelMissing, ModelUnfit
from heartbeat.models import load_models, load_scorer
from heartbeat.models.api import SentimentScorer
from heartbeat.models.catalogue import Entry
from heartbeat.models.ngram import NgramModel
from heartbeat.models.sentiment import ConfiguredScorer, in_units
from tests.models.tiny_models import graph_bytes, settings_with, write_model

Make = Callable[..., ConfiguredScorer]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A scorer over three models: `sentiment-fast` (de, en), `turkish` (tr) and `everything` (de, en, tr)."""
    write_model(tmp_path, name="sentiment-fast")
    write_model(tmp_path, name="sentiment-fast", version="0")
    write_model(tmp_path, name="turkish", languages=["tr"])
    write_model(tmp_path, name="everything", languages=["de", "en", "tr"])

    def made(**values: Any) -> ConfiguredScorer:
        return load_scorer(settings_with(tmp_path, **values))

    return made


def test_without_choices_the_default_scores_the_languages_that_it_knows(make: Make) -> None:
    scorer: SentimentScorer = make()
    assert scorer.model_for("any", "de") == "sentiment-fast/1"
    assert scorer.model_for("any", "tr") is None
    assert scorer.model_for("any", "und") is None


def test_a_version_can_be_named(make: Make) -> None:
    assert make(sentiment_model="sentiment-fast/0").model_for("any", "en") == "sentiment-fast/0"


def test_choices_by_language_and_by_task(make: Make) -> None:
    scorer = make(
        sentiment_by_lang={"tr": "turkish", "de": "none"},
        sentiment_by_task={"brand": "everything", "quiet": "none", "fast": "sentiment-fast"},
    )
    chosen = {
        (task, lang): scorer.model_for(task, lang) for task in ("any", "brand", "quiet", "fast") for lang in LANGS
    }
    assert chosen == {
        ("any", "de"): None,
        ("any", "en"): "sentiment-fast/1",
        ("any", "tr"): "turkish/1",
        ("any", "xx"): None,
        ("brand", "de"): None,
        ("brand", "en"): "everything/1",
        ("brand", "tr"): "everything/1",
        ("brand", "xx"): None,
        ("quiet", "de"): None,
        ("quiet", "en"): None,
        ("quiet", "tr"): None,
        ("quiet", "xx"): None,
        ("fast", "de"): None,
        ("fast", "en"): "sentiment-fast/1",
        ("fast", "tr"): "turkish/1",  # the task's own model has no evidence for it
        ("fast", "xx"): None,
    }


LANGS = ("de", "en", "tr", "xx")


def test_a_choice_without_evidence_falls_back(make: Make) -> None:
    scorer = make(sentiment_by_lang={"de": "turkish"}, sentiment_by_task={"brand": "turkish"})
    assert scorer.model_for("brand", "de") == "sentiment-fast/1"
    assert scorer.model_for("brand", "tr") == "turkish/1"


def test_none_by_default_leaves_unscored_what_nobody_chose(make: Make) -> None:
    scorer = make(sentiment_model="none", sentiment_by_task={"brand": "everything"})
    assert scorer.model_for("any", "en") is None
    assert scorer.model_for("brand", "en") == "everything/1"


def test_each_model_is_loaded_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = NgramModel.load

    def noted(entry: Entry, **how: Any) -> NgramModel:
        loaded.append(entry.reference)
        return load(entry, **how)

    monkeypatch.setattr(NgramModel, "load", noted)
    make(
        sentiment_by_lang={"de": "sentiment-fast/1", "tr": "turkish", "en": "none"},
        sentiment_by_task={"brand": "turkish/1", "other": "sentiment-fast"},
    )
    assert sorted(loaded) == ["sentiment-fast/1", "turkish/1"]


def test_a_name_that_is_not_there_names_the_setting(make: Make) -> None:
    with pytest.raises(ModelMissing, match=r"sentiment_by_lang\.tr: there is no model 'nowhere'"):
        make(sentiment_by_lang={"tr": "nowhere"})


def test_a_model_of_another_kind_is_refused(make: Make, tmp_path: Path) -> None:
    write_model(tmp_path, name="language", kind="language")
    with pytest.raises(ModelUnfit, match="it is a language model"):
        make(sentiment_model="language")


async def test_scores_labels_and_reasons_in_order(make: Make) -> None:
    scorer = make()
    results = await scorer.score(
        "sentiment-fast/1",
        ["+++", "", "---", "merhaba", "@you https://example.org", "===", "?", "+-"],
        ["en", "en", "de", "tr", "und", "en", "und", "en"],
    )
    assert [result.label for result in results] == [
        "positive",
        None,
        "negative",
        None,
        None,
        "neutral",
        None,
        "mixed",
    ]
    assert [result.unscored_reason for result in results] == [
        None,
        "no text",
        None,
        "no model for language tr",
        "no text",
        None,
        "language not recognised",
        None,
    ]
    for result in results:
        figures = (result.pos, result.neu, result.neg, result.model)
        if result.unscored_reason is None:
            assert None not in figures and result.model == "sentiment-fast/1"
        else:
            assert figures == (None, None, None, None)
    assert results[0].pos == pytest.approx(np.exp(3) / (np.exp(3) + 2), abs=2e-6)
    assert results[2].neg == results[0].pos == results[5].neu
    await scorer.close()


async def test_columns_are_found_by_their_labels(tmp_path: Path) -> None:
    write_model(
        tmp_path,
        name="sentiment-fast",
        labels=["neutral", "positive", "negative"],
        graph=graph_bytes({"+": (0, 4, 0), "-": (0, 0, 5)}, (0, 0, 0)),
    )
    scorer = load_scorer(settings_with(tmp_path))
    good, bad = await scorer.score("sentiment-fast/1", ["+", "-"], ["en", "en"])
    await scorer.close()
    assert (good.label, bad.label) == ("positive", "negative")
    assert good.pos == pytest.approx(np.exp(4) / (np.exp(4) + 2), abs=1e-6)
    assert bad.neg == pytest.approx(np.exp(5) / (np.exp(5) + 2), abs=1e-6)


async def test_without_a_model_the_reason_is_the_language(make: Make) -> None:
    scorer = make()
    results = await scorer.score(None, ["Moin", "", "?"], ["nds", "en", "und"])
    assert [result.unscored_reason for result in results] == [
        "no model for language nds",
        "no text",
        "language not recognised",
    ]


async def test_a_model_that_is_not_loaded_is_missing(make: Make) -> None:
    with pytest.raises(ModelMissing, match="'turkish/1' is not loaded; loaded are: sentiment-fast/1"):
        await make().score("turkish/1", ["x"], ["tr"])


async def test_nothing_in_nothing_out(make: Make) -> None:
    scorer = make()
    assert await scorer.score("sentiment-fast/1", [], []) == []
    assert await scorer.score(None, [], []) == []


def label(scorer: ConfiguredScorer, pos: float, neu: float, neg: float) -> str | None:
    (result,) = scorer._sentiments("sentiment-fast/1", np.array([[neg, neu, pos]], np.float32), [False])
    return result.label


@pytest.mark.parametrize(
    ("pos", "neu", "neg", "expected"),
    [
        (0.40, 0.30, 0.30, "mixed"),
        (0.30, 0.30, 0.40, "mixed"),
        (0.300001, 0.300001, 0.399998, "negative"),
        (0.299999, 0.200001, 0.50, "negative"),
        (0.70, 0.01, 0.29, "positive"),
        (0.34, 0.32, 0.34, "negative"),
        (0.50, 0.50, 0.00, "neutral"),
        (0.00, 0.50, 0.50, "neutral"),
        (1.00, 0.00, 0.00, "positive"),
    ],
)
def test_the_rule_of_labels(make: Make, pos: float, neu: float, neg: float, expected: str) -> None:
    assert label(make(), pos, neu, neg) == expected


def test_the_rule_of_mixed_follows_the_settings(make: Make) -> None:
    assert label(make(mixed_from=0.45), 0.48, 0.10, 0.42) == "positive"
    assert label(make(mixed_from=0.20), 0.55, 0.20, 0.25) == "mixed"
    assert label(make(mixed_neutral_to=0.10), 0.44, 0.12, 0.44) == "negative"


@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.just(3)),
        elements=st.floats(0, 1, width=32),
    ).filter(lambda rows: bool((rows.sum(axis=1) > 0.01).all()))
)
@settings(deadline=None)
def test_figures_add_up_to_one_exactly(rows: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    shares = rows.astype(np.float64) / rows.astype(np.float64).sum(axis=1, keepdims=True)
    units = in_units(rows)
    assert (units.sum(axis=1) == 1_000_000).all() and (units >= 0).all()
    assert np.abs(units - shares * 1e6).max() <= 1.5
    written = units / 1_000_000
    assert (np.rint(written * 1e6).astype(np.int64) == units).all(), "what is written reads back as the same units"


async def test_figures_are_six_places_that_add_up(make: Make) -> None:
    scorer = make()
    results = await scorer.score("sentiment-fast/1", ["+", "-=", "==+", "nothing"], ["en"] * 4)
    await scorer.close()
    for result in results:
        figures = [figure for figure in (result.pos, result.neu, result.neg) if figure is not None]
        assert len(figures) == 3 and all(figure == round(figure, 6) for figure in figures)
        assert sum(round(figure * 1_000_000) for figure in figures) == 1_000_000


async def test_both_models_from_the_settings(tmp_path: Path) -> None:
    write_model(tmp_path, name="language", kind="language")
    write_model(tmp_path, name="sentiment-fast")
    identifier, scorer = load_models(settings_with(tmp_path))
    (guess,) = await identifier.identify(["ee ++"])
    (result,) = await scorer.score(scorer.model_for("any", guess.lang), ["ee ++"], [guess.lang])
    assert (guess.lang, result.label) == ("en", "positive")
    await identifier.close()
    await scorer.close()
