"""Trains an n-gram classifier: softmax over (sum of the text's rows / sqrt(count)) x projection + bias.

Rows and projection are learned together by stochastic gradient descent, one snippet at a time, with AdaGrad on
every row. A snippet is drawn anew each time: a text whole, cut somewhere, or a few of its words; sometimes without
its accents, sometimes with a slip of the finger. One thread and one seed: the same model every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from heartbeat.training.alphabet import FIRST, REPEATED, SPACE, Alphabet, Symbols
from heartbeat.training.corpus import CHARACTERS, WHOLE, Corpus
from heartbeat.training.features import Hashing, rows_into

Floats = NDArray[np.float32]


class Plan(NamedTuple):
    """How to train.

    Attributes:
        labels: how many there are.
        dims: width of a row.
        snippets: how many are drawn in all.
        rate: learning rate at the start; it falls linearly to 0.
        mix: shares of snippets that are whole, one, two, three to five, and four to nine words; ends at 1 in sum.
        cut: share of whole texts that are cut to 20 to 120 characters.
        bare: share of snippets of two words or more that lose their accents.
        slips: share of snippets of two words or more with one letter doubled, lost or swapped.
        dropout: share of a snippet's n-grams that are left out, other ones each time.
        seed: of everything random.
    """

    labels: int
    dims: int
    snippets: int
    rate: float = 0.5
    mix: tuple[float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 0.0)
    cut: float = 0.0
    bare: float = 0.0
    slips: float = 0.0
    dropout: float = 0.0
    seed: int = 7


class Model(NamedTuple):
    """A trained model: rows float32 [2**bits, dims], projection [dims, labels], bias [labels]."""

    rows: Floats
    projection: Floats
    bias: Floats


def train(corpus: Corpus, alphabet: Alphabet, how: Hashing, plan: Plan, report: Callable[[str], None] = print) -> Model:
    """Train from nothing. `report` is told the loss ten times or more on the way."""
    rng = np.random.default_rng(plan.seed)
    size = 1 << how.bits
    rows = rng.normal(0, 0.01, (size, plan.dims)).astype(np.float32)
    projection = (rng.normal(size=(plan.dims, plan.labels)) / np.sqrt(plan.dims)).astype(np.float32)
    model = Model(rows, projection, np.zeros(plan.labels, np.float32))
    squares = np.full(size, 1e-2, np.float32)
    projection_squares = np.ones_like(projection)
    odds = np.array([*np.cumsum(plan.mix)[:4], plan.cut, plan.bare, plan.slips, plan.dropout], np.float64)
    steps = max(10, plan.snippets // 2_000_000)
    for step in range(steps):
        drawn = corpus.draw(plan.snippets // steps, rng)
        loss, right = _learn(
            corpus.symbols, corpus.offsets, corpus.labels, corpus.pieces, drawn, odds,
            alphabet.bare, how.numbers, how.bits, *model, squares, projection_squares,
            plan.rate * (1 - step / steps), plan.rate * (1 - (step + 1) / steps), int(rng.integers(1 << 31)),
        )  # fmt: skip
        report(f"step {step + 1}/{steps}: loss {loss:.4f}, right {right:.4f}")
    return model


def _snippet_into(
    symbols: Symbols, start: int, end: int, pieces: int, odds: NDArray[np.float64], bare: Symbols, out: Symbols
) -> int:
    """Write a snippet of the text at symbols[start:end] to `out`, framed by spaces; return its length."""
    start, end = start + 1, end - 1
    share = np.random.random()
    words = 0
    if pieces != WHOLE:
        if share < odds[0]:
            words = 0
        elif share < odds[1]:
            words = 1
        elif share < odds[2]:
            words = 2
        elif share < odds[3]:
            words = np.random.randint(3, 6)
        else:
            words = np.random.randint(4, 10)
    if words == 0:
        if end - start > 40 and np.random.random() < odds[4]:
            end = min(end, start + np.random.randint(20, 121))
    elif pieces == CHARACTERS:
        length = min(end - start, words * 2 + np.random.randint(0, 3))
        start += np.random.randint(0, end - start - length + 1)
        end = start + length
    else:
        count = 0
        for i in range(start, end):
            count += symbols[i] >= FIRST and symbols[i - 1] < FIRST
        if count > words:
            skip = np.random.randint(0, count - words + 1)
            seen = 0
            first, last = start, end
            for i in range(start, end):
                if symbols[i] >= FIRST and symbols[i - 1] < FIRST:
                    if seen == skip:
                        first = i
                    elif seen == skip + words:
                        last = i
                        break
                    seen += 1
            start, end = first, last
    strip = words != 1 and np.random.random() < odds[5]
    slip = -1
    if words != 1 and end > start and np.random.random() < odds[6]:
        slip = np.random.randint(start, end)
    kind = np.random.randint(0, 3) if slip >= 0 else 0
    out[0] = REPEATED
    length = 1
    for i in range(start, end):
        symbol = symbols[i]
        if strip:
            symbol = bare[symbol]
        if symbol < FIRST:
            symbol = REPEATED if out[length - 1] < FIRST else SPACE
        elif i == slip:
            if kind == 0:
                continue
            out[length] = symbol
            length += 1
            if kind == 2 and length > 2 and out[length - 2] >= FIRST:
                out[length - 1] = out[length - 2]
                out[length - 2] = symbol
                continue
        out[length] = symbol
        length += 1
    out[length] = SPACE if out[length - 1] >= FIRST else REPEATED
    return length + 1


_snippet: Any = numba.njit(_snippet_into, cache=True)
_rows: Any = numba.njit(rows_into, cache=True)


@numba.njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _learn(
    symbols: Symbols,
    offsets: NDArray[np.int64],
    labels: NDArray[np.int16],
    pieces: NDArray[np.uint8],
    drawn: NDArray[np.int64],
    odds: NDArray[np.float64],
    bare: Symbols,
    numbers: NDArray[np.int32],
    bits: int,
    weights: Floats,
    projection: Floats,
    bias: Floats,
    squares: Floats,
    projection_squares: Floats,
    rate_start: float,
    rate_end: float,
    seed: int,
) -> tuple[float, float]:
    np.random.seed(seed)
    dims, classes = projection.shape
    text = np.empty(1100, np.uint16)
    rows = np.empty(1100 * numbers.shape[1], np.int32)
    scores = np.empty(classes, np.float32)
    mean = np.empty(dims, np.float32)
    back = np.empty(dims, np.float32)
    loss, right = 0.0, 0
    for step in range(len(drawn)):
        rate = np.float32(rate_start + (rate_end - rate_start) * step / len(drawn))
        chosen = drawn[step]
        label = labels[chosen]
        length = _snippet(symbols, offsets[chosen], offsets[chosen + 1], pieces[chosen], odds, bare, text)
        count = _rows(text[:length], numbers, bits, rows)
        if odds[7] > 0:
            kept = 0
            for i in range(count):
                if np.random.random() >= odds[7]:
                    rows[kept] = rows[i]
                    kept += 1
            count = kept
        if count == 0:
            continue
        norm = np.float32(1 / np.sqrt(count))
        mean[:] = 0
        for i in range(count):
            row = weights[rows[i]]
            for q in range(dims):
                mean[q] += row[q]
        scores[:] = bias
        for q in range(dims):
            mean[q] *= norm
            for k in range(classes):
                scores[k] += mean[q] * projection[q, k]
        best = 0
        for k in range(classes):
            if scores[k] > scores[best]:
                best = k
        top, total = scores[best], np.float32(0)
        for k in range(classes):
            scores[k] = np.exp(scores[k] - top)
            total += scores[k]
        for k in range(classes):
            scores[k] /= total
        loss -= np.log(scores[label] + 1e-12)
        right += best == label
        scores[label] -= np.float32(1)
        power = np.float32(0)
        for q in range(dims):
            gradient = np.float32(0)
            for k in range(classes):
                gradient += projection[q, k] * scores[k]
            back[q] = gradient
            power += gradient * gradient
        for q in range(dims):
            for k in range(classes):
                gradient = mean[q] * scores[k]
                projection_squares[q, k] += gradient * gradient
                projection[q, k] -= np.float32(0.05) * rate * gradient / np.sqrt(projection_squares[q, k])
        for k in range(classes):
            bias[k] -= np.float32(0.01) * rate * scores[k]
        power *= norm * norm
        for i in range(count):
            j = rows[i]
            squares[j] += power
            step_size = rate * norm / np.sqrt(squares[j])
            for q in range(dims):
                weights[j, q] -= step_size * back[q]
    return loss / len(drawn), right / len(drawn)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def scores(
    symbols: Symbols,
    offsets: NDArray[np.int64],
    numbers: NDArray[np.int32],
    bits: int,
    weights: Floats,
    projection: Floats,
    bias: Floats,
) -> Floats:
    """Unnormalised scores [T, labels] of whole texts, in floating point: for looking at a model while it trains."""
    dims, classes = projection.shape
    out = np.zeros((len(offsets) - 1, classes), np.float32)
    rows = np.empty(1100 * numbers.shape[1], np.int32)
    mean = np.empty(dims, np.float32)
    for t in range(len(offsets) - 1):
        count = _rows(symbols[offsets[t] : offsets[t + 1]], numbers, bits, rows)
        mean[:] = 0
        for i in range(count):
            for q in range(dims):
                mean[q] += weights[rows[i], q]
        norm = np.float32(1 / np.sqrt(max(count, 1)))
        for k in range(classes):
            out[t, k] = bias[k]
        for q in range(dims):
            for k in range(classes):
                out[t, k] += mean[q] * norm * projection[q, k]
    return out
