"""Encoders: what they read, that a score is the post's own, and what is refused."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.errors import ModelDamaged, ModelUnfit, Retry
from heartbeat.models import load_scorer
from heartbeat.models.encoder import EncoderModel, whole
from tests.models.tiny_models import graph_bytes, settings_with, tokenizer_json, write_encoder, write_model

ORDER = ("bad", "so", "good")


def expected(text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """By hand: the softmax of how often each word stands among the first six (two tokens are special)."""
    counts = Counter(text.split()[:6])
    logits = np.exp([float(counts[word]) for word in ORDER])
    return np.asarray(logits / logits.sum())


@pytest.fixture
def model(tmp_path: Path) -> EncoderModel:
    return EncoderModel.load(write_encoder(tmp_path), lanes=2)


async def test_a_score_is_the_post_s_own(model: EncoderModel) -> None:
    texts = ["good", "bad bad day", "so", "good good bad", "day", "a b c good"] * 30
    rows, cut = await model.judge(model.prepare(texts))
    assert rows == pytest.approx(np.array([expected(text) for text in texts]), abs=1e-6)
    assert cut == [False] * len(texts)
    alone = np.concatenate([(await model.judge([text])).rows for text in texts])
    assert np.array_equal(rows, alone)
    await model.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*ORDER, "day", "x"]), max_size=9).map(" ".join), max_size=50))
def test_whoever_asks_together_is_answered_as_if_alone(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    async def ask() -> None:
        model = EncoderModel.load(write_encoder(tmp_path_factory.mktemp("encoder")), lanes=3)
        parts = [texts[at : at + 7] for at in range(0, len(texts), 7)]
        for part, (rows, cut) in zip(parts, await asyncio.gather(*map(model.judge, parts)), strict=True):
            assert rows == pytest.approx(np.array([expected(text) for text in part]), abs=1e-6)
            assert cut == [len(text.split()) > 6 or len(text) > 60 for text in part]
        await model.close()

    asyncio.run(ask())


async def test_mentions_and_links_become_words_and_what_has_no_words_is_nothing(model: EncoderModel) -> None:
    prepared = model.prepare(["@anna so good https://example.org/x", "@anna https://example.org", "", "  ", "&amp;"])
    assert prepared == ["@user so good http", "", "", "", ""]
    await model.close()


async def test_a_post_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    scorer = load_scorer(settings_with(tmp_path, sentiment_model="encoder", sentiment_fast_model="none"))
    just, more, wide = "good a b c a b", "good a b c a b bad", "good " + "ab" * 35
    results = await scorer.score("encoder/1", [just, more, wide], ["en"] * 3)
    assert [result.cut for result in results] == [False, True, True]
    assert results[0][:4] == results[1][:4], "what was cut off is not read"
    await scorer.close()


async def test_any_text_at_all_is_answered(model: EncoderModel) -> None:
    odd = [
        "\ud83d",
        "\ud83d\ude00 \udc00x",
        "\0",
        "x" * 10_000,
        "\u202e\u200d\u200f",
        "🏴\U000e0067\U000e007f",
        "\x1b[0m",
        "مرحبا",
    ]
    rows, _ = await model.judge(model.prepare(odd))
    assert rows.sum(axis=1) == pytest.approx(np.ones(len(odd)), abs=1e-5)
    await model.close()


@given(st.text(st.characters()))
def test_what_is_whole_can_be_written(text: str) -> None:
    mended = whole(text)
    mended.encode()
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert mended == text


async def test_lanes_share_the_work_and_end_with_the_model(model: EncoderModel) -> None:
    threads: set[str] = set()
    row = model._row

    def noted(text: str) -> Any:
        threads.add(threading.current_thread().name)
        return row(text)

    model._row = noted  # type: ignore[method-assign]
    await model.judge(["good day"] * 200)
    assert threads <= {"model-encoder_0", "model-encoder_1"} and threads
    await model.close()
    assert not threads & {thread.name for thread in threading.enumerate()}
    with pytest.raises(Retry):
        await model.judge(["x"])


async def test_a_failure_in_one_lane_ends_the_others(model: EncoderModel) -> None:
    def fails(item: int) -> int:
        if item == 3:
            raise ValueError("no")
        return item

    with pytest.raises(ValueError, match="no"):
        await model._graph.over(fails, range(1000))
    assert await model._graph.over(abs, [-1, -2]) == [1, 2]
    await model.close()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"max_tokens": None}, "max_tokens: an encoder reads so many tokens"),
        ({"kind": "language", "labels": ["en", "und"]}, "an encoder tells sentiment"),
        ({"labels": ["negative", "positive"]}, "its card has 2 labels"),
        ({"labels": ["bad", "good", "neutral"]}, "has to tell negative, neutral and positive apart"),
        ({"wording": "poems"}, "wording"),
        ({"max_tokens": 100_000, "output": {"name": "logits", "type": "float32", "shape": ["N", "K"]}}, "its output"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, card: dict[str, Any], said: str) -> None:
    entry = write_encoder(tmp_path, **card)
    with pytest.raises(ModelUnfit, match=said):
        EncoderModel.load(entry)


def test_more_tokens_than_the_graph_has_places_for_are_refused(tmp_path: Path) -> None:
    EncoderModel.load(write_encoder(tmp_path, name="fits", positions=8))
    EncoderModel.load(write_encoder(tmp_path, name="cut-before", positions=8, max_tokens=50, max_chars=11))
    with pytest.raises(ModelUnfit, match=r"fails on a text of 9 tokens, which its card says.*lower max_tokens \(.+\)$"):
        EncoderModel.load(write_encoder(tmp_path, name="more", positions=8, max_tokens=9))
    with pytest.raises(ModelUnfit, match="max_tokens: Input should be less than"):
        EncoderModel.load(write_encoder(tmp_path, name="absurd", max_tokens=10**30))


def test_a_graph_without_a_mask_is_refused(tmp_path: Path) -> None:
    entry = write_encoder(tmp_path)
    graph = graph_bytes({}, (0, 0, 0), input_name="input_ids", input_type=7, output_name="probabilities")
    entry.graph.write_bytes(graph)
    with pytest.raises(ModelDamaged):
        EncoderModel.load(entry)
    import hashlib

    files = {**entry.card.files, "model.onnx": hashlib.sha256(graph).hexdigest()}
    entry = write_model(tmp_path, name="encoder", graph=graph, family="encoder", files=files, max_tokens=8)
    with pytest.raises(ModelUnfit, match="its inputs should be input_ids: int64 with 2 dimensions, attention_mask"):
        EncoderModel.load(entry)


@pytest.mark.parametrize("tokenizer", ["", "{}", "rubbish", tokenizer_json()[:100]])
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, tokenizer: str) -> None:
    with pytest.raises(ModelUnfit, match=r"tokenizer\.json is no tokenizer"):
        EncoderModel.load(write_encoder(tmp_path, tokenizer=tokenizer))


async def test_two_labels_leave_neutral_at_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, name="halves", labels=["positive", "negative"], graph=graph_bytes({"+": (1, 0)}, (0, 0)))
    scorer = load_scorer(settings_with(tmp_path, sentiment_model="halves", sentiment_fast_model="none"))
    (result,) = await scorer.score("halves/1", ["++++"], ["en"])
    assert (result.label, result.neu) == ("positive", 0.0) and result.pos is not None and result.pos > 0.9
    await scorer.close()
