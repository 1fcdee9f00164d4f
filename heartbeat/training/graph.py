"""The ONNX graph of an n-gram model: code points in, probabilities out, nothing left to the host.

    codes [N, L] ─ fold ─ mark repeated spaces ─ numbers per place ─ shift and add up: hashes [N, orders, W]
        ─ int8 rows, summed under a mask by MatMulInteger ─ / sqrt(count) ─ projection ─ softmax ─ probs [N, K]

Few nodes (a text alone costs node overhead, not arithmetic), int8 rows (a batch costs memory traffic). Every text's
row of the computation is its own: integers are summed exactly, so neither neighbours nor padding change a result.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from heartbeat.training.alphabet import REPEATED, SPACE, Alphabet
from heartbeat.training.features import Hashing

OPSET: Final = 18

# Above the bits of the hash an n-gram's sum counts what forbids it: 1 for a space in first place (enough to forbid
# the n-gram of that space alone), 2 for a repeated space in any later place (enough to forbid any).
_FLAG: Final = 1 << 26


class Weights(NamedTuple):
    """A trained model, quantised.

    Attributes:
        rows: int8 [2**bits, D].
        scale: float32 [D], what one step of each column of `rows` is worth.
        projection: float32 [D, K].
        bias: float32 [K].
        silent: the label (index) of a text without a single n-gram: it gets probability 1.
    """

    rows: NDArray[np.int8]
    scale: NDArray[np.float32]
    projection: NDArray[np.float32]
    bias: NDArray[np.float32]
    silent: int


def build(alphabet: Alphabet, how: Hashing, weights: Weights, temperature: float = 1.0) -> onnx.ModelProto:
    """The model as an ONNX graph: `codes` int32 [N, L] to `probs` float32 [N, K].

    Raises:
        ValueError: the hash is too wide for its numbers to be added up in 32 bits.
    """
    if how.orders << how.bits > _FLAG or 2 * how.orders * _FLAG >= 1 << 31:
        raise ValueError(f"{how.orders} orders of {how.bits} bits do not fit into 32")
    graph = _Graph()
    node, const = graph.node, graph.const

    limit = node("Min", "codes", const(np.int32(len(alphabet.table) - 1)))
    padded = node("Pad", limit, const([0, 2, 0, 2]))
    symbols = node("Gather", const(alphabet.table), padded)
    first, last, ones = const([0]), const([-1]), const([1])
    here = node("Slice", symbols, ones, const([np.iinfo(np.int64).max]), ones)
    before = node("Slice", symbols, first, last, ones)
    # Letters are 2 and more, so only a space (0) after a space gives max(0, 1 - 0) = 1, the repeated one.
    marked = node("Max", here, node("Sub", const(np.int32(1)), before))

    numbers = how.numbers.copy()
    numbers[[SPACE, REPEATED], 0] += _FLAG
    numbers[REPEATED, 1:] += 2 * _FLAG
    placed = node("Transpose", node("Gather", const(numbers), marked), perm=[0, 2, 1])
    # [N, orders, W] read again with rows one longer: row k moves k places to the left, so that column i holds what
    # symbols i, i+1, … contribute to the n-gram that starts at i, and a running sum over rows ends each order.
    flat = node("Pad", node("Reshape", placed, const([0, -1])), const([0, 0, 0, how.orders]))
    shifted = node("Reshape", flat, const([0, how.orders, -1]))
    sums = node("CumSum", shifted, const(np.int64(1)))

    allowed = np.full((how.orders, 1), 2 * _FLAG, np.int32)
    allowed[0] = _FLAG
    mask = node("Cast", node("Less", sums, const(allowed)), to=TensorProto.UINT8)
    mask = node("Reshape", mask, const([0, 1, -1]))
    index = node("Reshape", node("BitwiseAnd", sums, const(np.int32((1 << how.bits) - 1))), const([0, -1]))

    # A last column of ones makes the sum count its own n-grams.
    counted = np.concatenate((weights.rows, np.ones((len(weights.rows), 1), np.int8)), axis=1)
    total = node("MatMulInteger", mask, node("Gather", const(counted), index))
    total = node("Cast", total, to=TensorProto.FLOAT)
    evidence, count = graph.split(total, weights.rows.shape[1])
    # 1 / sqrt(count); a million where the count is 0, which drives the silent label to certainty and is nothing else.
    inverse = node("Pow", node("Max", count, const(np.float32(1e-12))), const(np.float32(-0.5)))
    silence = np.zeros(len(weights.bias), np.float32)
    silence[weights.silent] = 1e-3
    projection = (weights.scale[:, None] * weights.projection / temperature).astype(np.float32)
    scores = node("MatMul", node("Mul", evidence, inverse), const(projection))
    scores = node("Add", scores, node("Mul", inverse, const(silence)))
    scores = node("Add", scores, const((weights.bias / temperature).astype(np.float32)))
    node("Softmax", node("Squeeze", scores, ones), output="probs", axis=1)
    return graph.model(len(weights.bias))


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def const(self, value: ArrayLike) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def split(self, value: str, size: int) -> tuple[str, str]:
        self._nodes.append(helper.make_node("Split", [value, self.const([size, 1])], ["left", "right"], axis=2))
        return "left", "right"

    def model(self, labels: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "ngrams",
            [helper.make_tensor_value_info("codes", TensorProto.INT32, ["N", "L"])],
            [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", labels])],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="heartbeat")
        model.ir_version = 9
        onnx.checker.check_model(model)
        return model
