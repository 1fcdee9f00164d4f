"""Word vectors and weights in 8 bits."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from heartbeat.models.export import blocks, embeddings
from heartbeat.models.export.shipped import portable

WORDS, WIDTH = 600, 16


def table() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rng = np.random.default_rng(3)
    # rows of very unlike size, as real vocabularies have them, and one of zeros
    rows = rng.normal(size=(WORDS, WIDTH)) * 10.0 ** rng.uniform(-3, 1, (WORDS, 1))
    rows[7] = 0
    return rows.astype(np.float32)


def model(*, axis: int = 0, tied: bool = False) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["words", "ids"], ["found"], axis=axis)]
    if tied:
        nodes.append(helper.make_node("Transpose", ["words"], ["turned"]))
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["A", "B"])]
        + ([helper.make_tensor_value_info("turned", TensorProto.FLOAT, ["A", "B"])] if tied else []),
        [numpy_helper.from_array(table(), "words")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_a_quarter_of_the_size_and_half_a_step_off_at_most() -> None:
    made = model()
    before = made.ByteSize()
    embeddings.shrink(made)
    onnx.checker.check_model(made)
    assert made.ByteSize() < before / 2
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"ids": np.arange(WORDS)})
    off = np.abs(found - table()).max(axis=1)
    assert np.all(off <= np.abs(table()).max(axis=1) / 254 * 1.001)
    assert np.all(found[7] == 0)


@pytest.mark.parametrize("made", [model(axis=1), model(tied=True)], ids=["another axis", "used elsewhere"])
def test_what_is_not_only_looked_up_in_stays(made: onnx.ModelProto) -> None:
    before = made.SerializeToString()
    embeddings.shrink(made)
    assert made.SerializeToString() == before


@pytest.mark.parametrize("inner", [32, 40, 384])
def test_products_in_blocks_keep_small_numbers_beside_large_ones(inner: int) -> None:
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(inner, 24)).astype(np.float32)
    given = rng.normal(size=(2, 5, inner)).astype(np.float32)
    given[:, 0] *= 500  # one token far above the others, as encoders have them
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "L", inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "L", 24])],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    blocks.shrink(made)
    assert [tensor.name for tensor in made.graph.initializer] == ["w_blocks", "w_scale"]
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": given})
    expected = given @ weights
    size = np.abs(expected).mean(axis=(0, 2))
    assert np.all(np.abs(found - expected).mean(axis=(0, 2)) < 0.02 * size)
    for row in range(2):
        np.testing.assert_array_equal(session.run(None, {"x": given[row : row + 1]})[0][0], found[row])


def test_a_tokenizer_loses_its_own_padding_and_cutting() -> None:
    assert portable('{"padding": {"a": 1}, "truncation": {"b": 2}, "model": "ü"}') == (
        '{"padding":null,"truncation":null,"model":"ü"}'
    )
