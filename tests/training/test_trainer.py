"""Training learns what there is to learn, the same each time, and what it exports says the same."""

from __future__ import annotations

import numpy as np
import pytest

from heartbeat.training import alphabet, corpus, features, graph, measures, package, trainer
from heartbeat.training.alphabet import FIRST, REPEATED, SPACE
from heartbeat.training.corpus import CHARACTERS, WHOLE, WORDS, Texts
from heartbeat.training.quantise import quantise
from heartbeat.training.trainer import Plan

LETTERS = alphabet.letters()
HOW = features.hashing(LETTERS, 3, 12)
PLAN = Plan(2, 4, 4000, mix=(0.2, 0.2, 0.2, 0.2, 0.2), cut=0.2, bare=0.1, slips=0.1, seed=3)


def silent(line: str) -> None:
    assert line


def test_learns_and_exports_what_it_learned(two_languages: list[Texts]) -> None:
    packed = corpus.build(two_languages, LETTERS)
    model = trainer.train(packed, LETTERS, HOW, PLAN, silent)
    texts = ["mibo baluba", "кетиса роса", "lu", "са"]
    classify = package.Classifier(graph.build(LETTERS, HOW, quantise(model, silent=0)))
    answers = classify(texts)
    assert answers.argmax(1).tolist() == [0, 1, 0, 1]
    test = corpus.build([Texts(0, "", texts, WHOLE, 1.0)], LETTERS)
    scores = trainer.scores(test.symbols, test.offsets, HOW.numbers, HOW.bits, *model)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(answers, powers / powers.sum(1, keepdims=True), atol=0.05)


def test_one_seed_gives_one_model(two_languages: list[Texts]) -> None:
    packed = corpus.build(two_languages, LETTERS)
    first, again = (trainer.train(packed, LETTERS, HOW, PLAN, silent) for _ in range(2))
    other = trainer.train(packed, LETTERS, HOW, PLAN._replace(seed=4), silent)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.rows, other.rows)


def test_dropout_learns_too(two_languages: list[Texts]) -> None:
    packed = corpus.build(two_languages, LETTERS)
    plan = Plan(2, 2, 4000, dropout=0.5)
    model = trainer.train(packed, LETTERS, HOW, plan, silent)
    scores = trainer.scores(packed.symbols, packed.offsets, HOW.numbers, HOW.bits, *model)
    assert measures.macro_recall(packed.labels.astype(np.int64), scores.argmax(1), 2) == 1


@pytest.mark.parametrize("pieces", [WHOLE, WORDS, CHARACTERS])
def test_snippets_are_framed_pieces_of_the_text(pieces: int) -> None:
    text = "alpha, beta  gamma-delta épsilon zeta"
    packed = corpus.build([Texts(0, "", [text], pieces, 1.0)], LETTERS)
    letter = {int(LETTERS.table[ord(char)]): char for char in text if LETTERS.table[ord(char)]}
    whole = text.replace(",", " ").replace("-", " ")
    out = np.empty(1100, np.uint16)
    odds = np.array([0.2, 0.4, 0.6, 0.8, 0.3, 0.0, 0.0])
    lengths = set()
    for _ in range(300):
        length = trainer._snippet(packed.symbols, packed.offsets[0], packed.offsets[1], pieces, odds, LETTERS.bare, out)
        snippet = out[:length].tolist()
        assert snippet[0] == REPEATED and snippet[-1] <= REPEATED
        for before, symbol in zip(snippet, snippet[1:], strict=False):
            if symbol < FIRST:
                assert symbol == (REPEATED if before < FIRST else SPACE)
        read = "".join(letter.get(symbol, " ") for symbol in snippet).strip()
        assert read in whole
        lengths.add(len(read.split()))
    assert lengths == {6} if pieces == WHOLE else {1, 2, 3} <= lengths


def test_draws_go_by_weight() -> None:
    groups = [Texts(0, "", ["a"], WHOLE, 3.0), Texts(1, "", ["b", "c"], WHOLE, 1.0, np.array([1.0, 0.0]))]
    packed = corpus.build(groups, LETTERS)
    drawn = packed.draw(20_000, np.random.default_rng(1))
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.75, 0.25, 0.0], atol=0.02)


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        corpus.build([Texts(0, "", [], WHOLE, 1.0)], LETTERS)
