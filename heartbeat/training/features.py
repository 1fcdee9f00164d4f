"""Hashed character n-grams: which rows of the weight table a text adds up.

White space of two characters or more cuts a text into parts; a part gets a space before and behind it. Its n-grams
are all runs of 1 to `orders` symbols but the lone space. An n-gram's row is the sum, over its places, of a random
number for (symbol, place), modulo the size of the table: a look-up and an addition for each symbol, which is what
makes it fast inside an ONNX graph.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heartbeat.training.alphabet import FIRST, REPEATED, SPACE, Alphabet, Symbols

_HASH_SEED: Final = 20177

Rows = NDArray[np.int32]


class Hashing(NamedTuple):
    """How n-grams become rows.

    Attributes:
        numbers: int32 [symbols, orders], each below 2**bits.
        bits: the table has 2**bits rows.
    """

    numbers: NDArray[np.int32]
    bits: int

    @property
    def orders(self) -> int:
        """The longest n-gram."""
        return int(self.numbers.shape[1])


def hashing(alphabet: Alphabet, orders: int, bits: int) -> Hashing:
    """The numbers for an alphabet; the same ones every time."""
    numbers = np.random.default_rng(_HASH_SEED).integers(0, 1 << bits, (alphabet.size, orders), dtype=np.int32)
    numbers[REPEATED] = numbers[SPACE]
    return Hashing(numbers, bits)


def rows_into(symbols: Symbols, numbers: NDArray[np.int32], bits: int, rows: Rows) -> int:
    """Write a text's rows to `rows` and return how many there are. `symbols` begins with a space and ends with one.

    Plain loops, for the trainer to compile.
    """
    mask = (1 << bits) - 1
    found = 0
    orders = numbers.shape[1]
    for start in range(len(symbols) - 1):
        total = numbers[symbols[start], 0]
        if symbols[start] >= FIRST:
            rows[found] = total & mask
            found += 1
        for place in range(1, min(orders, len(symbols) - start)):
            symbol = symbols[start + place]
            if symbol == REPEATED:
                break
            total += numbers[symbol, place]
            rows[found] = total & mask
            found += 1
    return found


def rows_of(text_symbols: Symbols, how: Hashing) -> Rows:
    """The rows of one text's symbols (without the spaces around it), in no particular order, repeats kept."""
    framed = np.concatenate((np.array([REPEATED], np.uint16), text_symbols, np.array([SPACE], np.uint16)))
    after_space = np.flatnonzero((framed[1:] <= REPEATED) & (framed[:-1] <= REPEATED)) + 1
    framed[after_space] = REPEATED
    rows = np.empty(len(framed) * how.orders, np.int32)
    return rows[: rows_into(framed, how.numbers, how.bits, rows)]
