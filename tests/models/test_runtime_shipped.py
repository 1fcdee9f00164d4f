"""The models that ship: each loads, and what it says of a text depends on that text alone, to the last bit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.models import load_models
from heartbeat.models.batching import Limits
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.encoder import EncoderModel
from heartbeat.models.ngram import NgramModel
from heartbeat.settings import Settings
from tests.models.tiny_models import settings_with

SHIPPED = Path(__file__).parents[2] / "onnx_models"
CATALOGUE = Catalogue(SHIPPED)

VOCABULARY = """
love hate the battery Lieferung großartig schrecklich güzel berbat día niña été œuvre zażółć gęślą jaźń Đakovo ǅ
прекрасно ужасно чудово 今日 とても 좋아요 최악 שלום גרוע سلام سيئ 🎉 😡😡 👍🏽 :) #launch @someone https://t.co/x1
1234 ... !!! ?! &amp; ﬁne 𝓯𝓪𝓷𝓬𝔂 ＦＵＬＬ
"""


def posts(count: int, seed: int) -> list[str]:
    """Texts of all scripts and of lengths like posts': most short, a few very long."""
    pick, words = random.Random(seed), VOCABULARY.split()
    return [" ".join(pick.choices(words, k=min(int(4 * pick.paretovariate(1.3)), 400))) for _ in range(count)]


NGRAMS = [entry.reference for entry in CATALOGUE.list() if entry.card.family == "ngram"]
ENCODERS = [entry.reference for entry in CATALOGUE.list() if entry.card.family == "encoder"]


@pytest.fixture(scope="module", params=NGRAMS)
def model(request: pytest.FixtureRequest) -> Iterator[NgramModel]:
    entry = CATALOGUE.find(request.param)
    loaded = NgramModel.load(entry, kind=entry.card.kind)
    yield loaded
    asyncio.run(loaded.close())


def test_the_models_that_the_settings_name_are_shipped() -> None:
    identifier, scorer = load_models(
        settings_with(SHIPPED, sentiment_model=Settings.model_fields["sentiment_model"].default)
    )
    assert identifier.model.startswith("language/")
    chosen = {lang: (scorer.model_for("any", lang) or "").partition("/")[0] for lang in ("en", "de", "tr", "kk")}
    assert chosen == {"en": "sentiment", "de": "sentiment-fast", "tr": "sentiment-fast", "kk": ""}
    assert (scorer.fast_model_for("any", "en") or "").startswith("sentiment-fast/")


@pytest.mark.parametrize("reference", ENCODERS)
async def test_a_post_has_the_same_score_alone_and_among_others(reference: str) -> None:
    model = EncoderModel.load(CATALOGUE.find(reference), lanes=2)
    texts = model.prepare(posts(150, seed=6))
    together, _ = await model.judge(texts)
    some, _ = await model.judge(texts[::-3])
    assert np.array_equal(some, together[::-3])
    alone = np.concatenate([(await model.judge([text])).rows for text in texts[:40]])
    assert np.array_equal(alone, together[:40])
    assert together.sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    await model.close()


def test_a_score_depends_on_no_neighbour_and_no_padding(model: NgramModel) -> None:
    texts = model.prepare(posts(600, seed=5))
    order = list(range(len(texts)))
    pick = random.Random(7)

    async def main() -> None:
        alone = np.concatenate([await model.probabilities([text]) for text in texts])
        for size in (2, 3, 5, 8, 17, 64, 255, 600):
            pick.shuffle(order)
            for at in range(0, len(order), size):
                some = order[at : at + size]
                assert np.array_equal(await model.probabilities([texts[n] for n in some]), alone[some])
        wide = NgramModel(CATALOGUE.find(model.reference), model._graph, Limits(max_cells=10**6, max_padding=10**6))
        assert np.array_equal(await wide.probabilities(texts), alone), "all in one group, padded to the longest"

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(st.characters() | st.characters(categories=["Cs"]), max_size=40), max_size=12))
def test_any_text_is_answered_with_probabilities_of_its_own(model: NgramModel, texts: list[str]) -> None:
    async def main() -> None:
        prepared = model.prepare(texts)
        rows = await model.probabilities(prepared)
        assert rows.shape == (len(texts), len(model.card.labels))
        assert (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-5)
        for text, row in zip(prepared, rows, strict=True):
            assert np.array_equal((await model.probabilities([text]))[0], row)

    asyncio.run(main())


def test_what_is_asked_at_the_same_time_is_answered_as_if_alone(model: NgramModel) -> None:
    requests = [model.prepare(posts(pick, seed)) for seed, pick in enumerate((1, 7, 300, 2, 512, 1, 90, 1500))]

    async def main() -> None:
        together = await asyncio.gather(*(model.probabilities(texts) for texts in requests))
        for texts, rows in zip(requests, together, strict=True):
            assert np.array_equal(rows, await model.probabilities(texts))

    asyncio.run(main())
