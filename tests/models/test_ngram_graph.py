"""The graph of the n-gram family against a reckoning by hand, and its independence of neighbours and padding."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heartbeat.models.text import MAX_CHARS, to_codes
from heartbeat.training import alphabet, features, graph
from heartbeat.training.alphabet import Alphabet
from heartbeat.training.features import Hashing
from heartbeat.training.graph import Weights

ORDERS, BITS, DIMS, LABELS, SILENT = 4, 9, 5, 7, 6
TEMPERATURE = 0.7

# Letters of several scripts, all kinds of white space and punctuation, and every odd thing a string can hold.
texts = st.text(st.one_of(st.sampled_from("abcABÉßжЖ日한'’ ,.\n\0"), st.characters()), max_size=40)


class Family:
    """A model with random weights, its graph, and the same by hand."""

    def __init__(self, letters: Alphabet, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.letters = letters
        self.how: Hashing = features.hashing(letters, ORDERS, BITS)
        self.weights = Weights(
            rng.integers(-127, 128, (1 << BITS, DIMS)).astype(np.int8),
            rng.uniform(0.001, 0.02, DIMS).astype(np.float32),
            rng.normal(size=(DIMS, LABELS)).astype(np.float32),
            rng.normal(size=LABELS).astype(np.float32),
            SILENT,
        )
        model = graph.build(letters, self.how, self.weights, TEMPERATURE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def __call__(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = self._session.run(None, {"codes": codes})[0]
        return answer

    def rows(self, text: str) -> Counter[int]:
        """Rows by the words of the definition: parts between runs of white space, all n-grams of each."""
        table = self.letters.table
        symbols = [int(table[min(ord(char), len(table) - 1)]) for char in text]
        marks = "".join(chr(0x4E00 + symbol) if symbol else " " for symbol in symbols)
        found = Counter[int]()
        for part in re.split(" {2,}", marks.strip()):
            if not part:
                continue
            framed = [ord(mark) - 0x4E00 if mark != " " else 0 for mark in f" {part} "]
            for start in range(len(framed)):
                for length in range(1, min(ORDERS, len(framed) - start) + 1):
                    gram = framed[start : start + length]
                    if gram != [0]:
                        total = sum(int(self.how.numbers[symbol, place]) for place, symbol in enumerate(gram))
                        found[total % (1 << BITS)] += 1
        return found

    def by_hand(self, text: str) -> list[float]:
        rows = self.rows(text[:MAX_CHARS])
        count = sum(rows.values())
        if count == 0:
            return [float(label == SILENT) for label in range(LABELS)]
        total = sum(self.weights.rows[row].astype(np.int64) * times for row, times in rows.items())
        mean = np.asarray(total) * self.weights.scale.astype(np.float64) / math.sqrt(count)
        logits = (mean @ self.weights.projection.astype(np.float64) + self.weights.bias) / TEMPERATURE
        powers = np.exp(logits - logits.max())
        result: list[float] = (powers / powers.sum()).tolist()
        return result


@pytest.fixture(scope="module", params=["letters", "signs"])
def family(request: pytest.FixtureRequest) -> Family:
    return Family(alphabet.letters() if request.param == "letters" else alphabet.signs(), seed=3)


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_graph_answers_as_reckoned_by_hand(family: Family, text: str) -> None:
    answer = family(to_codes([text]))[0]
    # The graph adds a thousandth of 1 / sqrt(count) to the silent label's score.
    np.testing.assert_allclose(answer, family.by_hand(text), atol=1e-3)


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_training_sees_the_same_rows_as_the_graph(family: Family, text: str) -> None:
    codes = np.array([ord(char) for char in text], np.int32)
    symbols = alphabet.symbols_of(codes, family.letters)
    assert Counter(features.rows_of(symbols, family.how).tolist()) == family.rows(text)


@given(batch=st.lists(texts, min_size=1, max_size=12), padding=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_neighbours_and_padding_change_nothing(family: Family, batch: list[str], padding: int) -> None:
    together = family(to_codes(batch))
    padded = family(np.pad(to_codes(batch), [(0, 0), (0, padding)]))
    alone = np.concatenate([family(to_codes([text])) for text in batch])
    assert np.array_equal(together, padded)
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("text", ["", "   ", "\0", "\n\u3000", "\ud800"])
def test_no_evidence_is_the_silent_label_for_certain(family: Family, text: str) -> None:
    assert family(to_codes([text]))[0].tolist() == [float(label == SILENT) for label in range(LABELS)]


def test_hash_too_wide_for_32_bits_is_refused() -> None:
    letters = alphabet.letters()
    how = Hashing(np.zeros((letters.size, 6), np.int32), bits=24)
    none = np.zeros((1, 1), np.float32)
    weights = Weights(none.astype(np.int8), none[0], none, none[0], silent=0)
    with pytest.raises(ValueError, match="24 bits"):
        graph.build(letters, how, weights)
