"""The newest shipped models on sentences written for these tests, and on the training data's held-out texts."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.encoder import EncoderModel
from heartbeat.models.text import prepare
from heartbeat.training import data, language, language_sets, sentiment_fast, waray
from heartbeat.training.package import Classifier
from tests.training.own_sentences import BY_LANGUAGE, MOODS, NO_LANGUAGE, OTHER_LANGUAGES, WARAY

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
with_data = pytest.mark.skipif(not (DATA / "language").is_dir(), reason="the training data is not here")


class Asked:
    """A shipped model."""

    def __init__(self, name: str) -> None:
        self.entry: Entry = Catalogue(ROOT / "onnx_models").find(name)
        self.entry.verify()
        self.classify = Classifier(self.entry.graph)

    def __call__(self, texts: tuple[str, ...] | list[str]) -> list[tuple[str, float]]:
        answers = self.classify([prepare(text) for text in texts])
        return [(self.entry.card.labels[row.argmax()], float(row.max())) for row in answers]


@pytest.fixture(scope="module")
def tongue() -> Asked:
    return Asked("language")


@pytest.fixture(scope="module")
def mood() -> Asked:
    return Asked("sentiment-fast")


def test_cards_name_38_languages_and_unknown(tongue: Asked, mood: Asked) -> None:
    assert tongue.entry.card.labels == [*data.LANGUAGES, "und"]
    assert set(tongue.entry.card.languages) == set(BY_LANGUAGE)
    assert mood.entry.card.labels == ["negative", "neutral", "positive"]
    # Without a text of known mood a language is left unscored.
    assert not {"eu", "kk", "hi", "ja", "ko", "war"} & set(mood.entry.card.languages)


def test_plain_sentences_are_told(tongue: Asked) -> None:
    wrong = [
        (lang, text, found)
        for lang, texts in BY_LANGUAGE.items()
        for text, (found, _) in zip(texts, tongue(texts), strict=True)
        if found != lang
    ]
    assert len(wrong) <= 3, wrong
    assert max(sum(lang == other for other, _, _ in wrong) for lang in BY_LANGUAGE) <= 1, wrong


def test_sentences_look_the_same_in_capitals_and_among_marks(tongue: Asked) -> None:
    texts = [texts[1] for lang, texts in BY_LANGUAGE.items() if lang != "tr"]  # İ and I are two letters there
    plain = tongue(texts)
    assert tongue([text.upper() for text in texts if "ß" not in text]) == tongue([t for t in texts if "ß" not in t])
    dressed = tongue([f"RT @who: {text} 😂 https://example.org/a/b?c=d #" for text in texts])
    assert dressed == plain


def test_what_is_in_no_language_is_unknown(tongue: Asked) -> None:
    assert tongue(NO_LANGUAGE) == [("und", 1.0)] * len(NO_LANGUAGE)


def test_everyday_waray_is_told(tongue: Asked) -> None:
    found = [label for label, _ in tongue(WARAY)]
    wrong = [(text, label) for text, label in zip(WARAY, found, strict=True) if label != "war"]
    assert len(wrong) <= 0.07 * len(WARAY), wrong
    trained = {text for source in (waray.phrases(), waray.words()) for text in source}
    assert not trained & {prepare(text) for text in WARAY}


def test_other_languages_are_unknown(tongue: Asked) -> None:
    found = [label for label, _ in tongue(OTHER_LANGUAGES)]
    assert found.count("und") >= len(OTHER_LANGUAGES) - 1, found


def test_plain_moods_are_told(mood: Asked) -> None:
    rows = [(label, text) for label, examples in MOODS.items() for _, text in examples]
    found = mood([text for _, text in rows])
    wrong = [(label, text, found) for (label, text), (found, _) in zip(rows, found, strict=True) if found != label]
    assert len(wrong) <= 3, wrong


def test_nothing_to_read_is_neutral(mood: Asked) -> None:
    assert mood(["", "  "]) == [("neutral", 1.0)] * 2


async def test_plain_moods_of_english_posts_are_told_in_the_order_of_their_words() -> None:
    model = EncoderModel.load(Catalogue(ROOT / "onnx_models").find("sentiment"))
    said = {
        "I love this phone so much, best thing I ever bought": "positive",
        "Not bad at all, actually quite nice": "positive",
        "@someone thank you!! https://t.co/x made my day 😍": "positive",
        "This is the worst service I have ever had": "negative",
        "It is not good, I want my money back 😡": "negative",
        "my flight was cancelled AGAIN, so angry": "negative",
        "The meeting is at noon in room 4": "neutral",
        "New version 2.1 is out, see the release notes": "neutral",
    }
    rows, _ = await model.judge(model.prepare(list(said)))
    found = [model.card.labels[row.argmax()] for row in rows]
    wrong = [(text, label) for text, label in zip(said, found, strict=True) if said[text] != label]
    assert len(wrong) <= 1, wrong
    await model.close()


@with_data
async def test_the_encoder_keeps_its_figures_on_tweets_that_it_never_saw() -> None:
    model = EncoderModel.load(Catalogue(ROOT / "onnx_models").find("sentiment"), lanes=2)
    with lzma.open(DATA / "sentiment" / "tweeteval_val.tsv.xz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file][:600]
    answers, _ = await model.judge(model.prepare([text for _, text in rows]))
    labels = np.array([int(label) for label, _ in rows])
    order = [model.card.labels.index(name) for name in ("negative", "neutral", "positive")]
    right = answers[:, order].argmax(axis=1) == labels
    assert np.mean([right[labels == label].mean() for label in range(3)]) >= 0.72
    await model.close()


@with_data
def test_language_keeps_its_figures_on_held_out_texts(tongue: Asked) -> None:
    figures = language.measure(tongue.classify, language_sets.sets(DATA))
    least = {
        "sentences, without id and ms": 0.99,
        "pairs, without id and ms": 0.94,
        "words, without id and ms": 0.86,
        "posts80": 0.985,
        "posts80-reread": 0.987,
        "short": 0.98,
        "tweets-reread": 0.985,
        "news": 0.98,
        "serbian-latin-all": 0.85,
        "unknown, AUROC against posts80": 0.99,
    }
    assert {name: figures[name] for name, floor in least.items() if figures[name] < floor} == {}
    assert figures["calibration error"] <= 0.02


@with_data
def test_sentiment_keeps_its_figures_on_held_out_texts(mood: Asked) -> None:
    figures = sentiment_fast.measure(mood.classify, sentiment_fast.measuring_sets(DATA))
    assert figures["tweets"] >= 0.63
    assert figures["statements, weakest language"] >= 0.6
