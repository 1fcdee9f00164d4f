"""Eight-bit products answer nearly what float ones do, and each token for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from heartbeat.training.encoder_by_token import by_token, rounded

WIDTH, INNER = 24, 40


def floats(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def model() -> onnx.ModelProto:
    """Two products of one input, whose sum is squashed and goes into a third."""
    weights = {"one": floats(1, WIDTH, INNER), "two": floats(2, WIDTH, INNER), "three": floats(3, INNER, WIDTH)}
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["left"]),
        helper.make_node("MatMul", ["x", "two"], ["right"]),
        helper.make_node("Sigmoid", ["right"], ["gate"]),
        helper.make_node("Mul", ["left", "gate"], ["inner"]),
        helper.make_node("MatMul", ["inner", "three"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "L", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "L", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def activations(seed: int, texts: int = 3, tokens: int = 7) -> NDArray[np.float32]:
    """A few channels are large, all lean to one side, and they go together."""
    mixing = floats(9, WIDTH, WIDTH)
    x = floats(seed, texts, tokens, WIDTH) @ mixing + 2
    x[..., 5] *= 12
    return np.asarray(x, np.float32)


def run(made: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session: Any = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def error(made: onnx.ModelProto) -> float:
    x = activations(77, 20)
    right = run(model(), x)
    return float(np.linalg.norm(run(made, x) - right) / np.linalg.norm(right))


SEEN = [{"x": activations(seed)} for seed in range(20, 60)]


def test_answers_are_near_the_floats() -> None:
    assert error(by_token(model(), SEEN)) < 0.015


def test_what_is_evened_and_made_up_for_is_nearer() -> None:
    plain, evened, both = by_token(model()), by_token(model(), SEEN, made_up=False), by_token(model(), SEEN)
    assert error(both) < 0.8 * error(evened) < 0.8 * error(plain)


def test_float_graph_stays_as_it_is() -> None:
    whole = model()
    before = whole.SerializeToString()
    by_token(whole, SEEN)
    assert whole.SerializeToString() == before


def test_products_of_one_input_become_one() -> None:
    made = by_token(model(), SEEN)
    kinds = [node.op_type for node in made.graph.node]
    assert kinds.count("MatMulInteger") == 2 and "MatMul" not in kinds
    assert not {"one", "two", "three"} & {tensor.name for tensor in made.graph.initializer}


@pytest.mark.parametrize("texts", [[], SEEN], ids=["as it is", "evened"])
def test_no_token_has_an_influence_on_another(texts: list[Any]) -> None:
    made = by_token(model(), texts)
    x = activations(5)
    together = run(made, x)
    x[1, 3] *= 1000
    x[2] = 0
    others = run(made, x)
    assert np.array_equal(np.delete(together[1], 3, 0), np.delete(others[1], 3, 0))
    assert np.array_equal(together[0], others[0])
    for text in range(2):
        for token in range(7):
            assert np.array_equal(run(made, x[text : text + 1, token : token + 1])[0, 0], others[text, token])


def test_token_of_equal_numbers_is_no_trouble() -> None:
    made = by_token(model(), SEEN)
    x = np.stack([np.zeros((2, WIDTH)), np.full((2, WIDTH), -3.0)]).astype(np.float32)
    right, found = run(model(), x), run(made, x)
    assert np.isfinite(found).all()
    assert np.abs(found - right).max() < 0.05 * np.abs(right).max() + 1e-3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 9), st.booleans(), st.floats(-6, 6))
def test_integers_keep_to_seven_bits(seed: int, inner: int, outer: int, nearest: bool, size: float) -> None:
    weights = floats(seed, inner, outer) * np.float32(10**size)
    tokens = floats(seed + 1, 30, inner) @ floats(seed + 2, inner, inner)
    integers, scales = rounded(weights, None if nearest else (tokens.T @ tokens).astype(np.float64))
    assert np.abs(integers).max() <= 63
    assert np.isfinite(scales).all() and (scales > 0).all()
    # Two products that are added up in 16 bits fit.
    assert 2 * 255 * int(np.abs(integers).max()) <= 2**15 - 1
    if nearest:
        assert (np.abs(integers * scales - weights) <= 0.5001 * scales).all()


def test_channels_that_are_never_seen_are_rounded_to_the_nearest() -> None:
    weights = floats(4, 12, 5)
    gram = np.zeros((12, 12))
    gram[:6, :6] = np.eye(6)
    integers, scales = rounded(weights, gram)
    assert (np.abs(integers * scales - weights) <= 0.5001 * scales).all()


def test_weights_of_zero_stay_zero() -> None:
    integers, scales = rounded(np.zeros((8, 3), np.float32), np.eye(8))
    assert not integers.any() and np.isfinite(scales).all()
    no_tokens, _ = rounded(floats(1, 8, 3), np.zeros((8, 8)))
    assert np.abs(no_tokens).max() == 63


def test_what_is_taken_twice_loses_next_to_nothing_of_its_input() -> None:
    weights_alone = by_token(model(), SEEN, twice={0, 1})
    assert error(weights_alone) < error(by_token(model(), SEEN, twice={0})) < error(by_token(model(), SEEN))
    kinds = [node.op_type for node in weights_alone.graph.node]
    assert kinds.count("MatMulInteger") == 4
