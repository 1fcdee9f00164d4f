"""Eight bits as they ship: weights with a scale for each column, activations with a range of their own for each token.

A token's activations x become bytes b with x = low + b * scale, so that a product with weights w * s is
s * (scale * (b @ w) + low * sum(w)): one product of integers, and two numbers a token and column. Neither neighbours
nor padding have an influence, and one token with a large number does not blur the others.

Products of a few sensitive inputs are taken twice: once with the bytes, and once with what the bytes leave out, in
bytes of its own. That is 16 bits in all, for twice the time.

Weights are rounded one input after another; what rounding an input's weights takes away is made up for by those of the
inputs after it, as far as activations of real texts go together (GPTQ; Frantar et al., 2022, arXiv:2210.17323).

Standard operators only. Without VNNI a product of two 8-bit numbers is added up in 16 bits and may overflow: weights
are 7 bits wide, so that it cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_HIGHEST: Final = 63
"""Largest weight of 7 bits. Two products of 255 and 63 just fit into 16 bits, where machines without VNNI add them."""
_LEAST: Final = 1e-3
"""Channels that are smaller than this are not evened out any further."""
_DAMPING: Final = 0.01
"""Share of the mean square of activations that is added to each, so that rounding can be solved for all of them."""
_AT_ONCE: Final = 50
"""Texts whose activations are held at once: some 8 MB for each product of an inner width of 1,536."""
_LEVELS: Final = {
    "int8.last": np.array([-1], np.int64),
    "int8.levels": np.array(255, np.float32),
    "int8.least": np.array(1e-6, np.float32),
    "int8.rest_levels": np.array(254, np.float32),
    "int8.middle": np.array(128, np.float32),
    "int8.zero": np.array(128, np.uint8),
}
Feed = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


class Seen(NamedTuple):
    """What a product's input looked like over texts.

    Attributes:
        largest: float32 [K], the largest size of each channel.
        gram: float64 [K, K], the sum over tokens of x^T x.
    """

    largest: Floats
    gram: NDArray[np.float64]


def by_token(
    model: onnx.ModelProto,
    texts: Sequence[Feed] = (),
    *,
    evenness: float = 0.45,
    made_up: bool = True,
    twice: Collection[int] = (),
) -> onnx.ModelProto:
    """Signed 7-bit weights with a scale for each column; 8-bit activations with a range for each token.

    Products that have their input in common become one: its result is split.

    Args:
        model: with float weights.
        texts: what activations look like. A few channels have numbers ten times as large as the others'; they are
            divided by what these texts show, and the weights multiplied by it. None: nothing is evened out or made up.
        evenness: 0 leaves it all to the weights, 1 to the activations.
        twice: products, counted in the order of the graph, of which 16 bits of the input are taken.
        made_up: whether other weights make up for what rounding takes away; else each is rounded to the nearest.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shared: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            shared.setdefault(node.input[0], []).append(node)
    seen = _seen(model, list(shared), texts) if texts else {}
    nodes: list[onnx.NodeProto] = []
    places = {source: place for place, source in enumerate(shared)}
    for node in graph.node:
        products = shared.get(node.input[0], []) if node.input else []
        if not any(node is product for product in products):
            nodes.append(node)
        elif node is products[0]:
            weights = [numpy_helper.to_array(constants[product.input[1]]) for product in products]
            source, whole, gram = node.input[0], np.concatenate(weights, 1), None
            if source in seen:
                gram = seen[source].gram if made_up else None
                even = _even(seen[source].largest, whole, evenness)
                graph.initializer.append(numpy_helper.from_array((1 / even).astype(np.float32), f"{source}.even"))
                nodes.append(helper.make_node("Mul", [source, f"{source}.even"], [f"{source}.evened"]))
                whole = whole * even[:, None]
                gram = None if gram is None else gram / np.outer(even, even)
                source = f"{source}.evened"
            integers, scales = rounded(whole, gram)
            sizes = [part.shape[1] for part in weights]
            exact = places[node.input[0]] in twice
            targets = [product.output[0] for product in products]
            nodes += _product(source, integers, scales, targets, sizes, graph, twice=exact)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in _LEVELS.items())
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(made)
    return made


def rounded(weights: Floats, gram: NDArray[np.float64] | None = None) -> tuple[NDArray[np.int8], Floats]:
    """Integers int8 [K, N] from -63 to 63 and their scales float32 [N], for weights float32 [K, N].

    Args:
        weights: of a product.
        gram: float64 [K, K], of the activations that they are multiplied with; None: each is rounded to the nearest.
    """
    scales = np.maximum(np.abs(weights).max(0) / _HIGHEST, 1e-12)
    left = weights.astype(np.float64) / scales
    if gram is None or not gram.any():
        return np.round(left).astype(np.int8), scales.astype(np.float32)
    # The inputs with the largest activations go first: most of the others are still there to make up for them.
    order = np.argsort(-np.diag(gram), kind="stable")
    damped = gram[np.ix_(order, order)] + _DAMPING * np.diag(gram).mean() * np.eye(len(gram))
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = left[order]
    for place in range(len(left)):
        whole = np.clip(np.round(left[place]), -_HIGHEST, _HIGHEST)
        taken = (left[place] - whole) / spread[place, place]
        left[place] = whole
        left[place + 1 :] -= np.outer(spread[place, place + 1 :], taken)
    integers = np.empty(weights.shape, np.int8)
    integers[order] = left.astype(np.int8)
    return integers, scales.astype(np.float32)


def _even(largest: Floats, weights: Floats, evenness: float) -> Floats:
    sizes = np.maximum(np.abs(weights).max(1), _LEAST)
    return np.asarray(np.maximum(largest, _LEAST) ** evenness / sizes ** (1 - evenness), np.float32)


def _seen(model: onnx.ModelProto, names: Sequence[str], texts: Sequence[Feed]) -> dict[str, Seen]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, Seen] = {}
    for start in range(0, len(texts), _AT_ONCE):
        runs = [session.run(list(names), text) for text in texts[start : start + _AT_ONCE]]
        for name, parts in zip(names, zip(*runs, strict=True), strict=True):
            tokens = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
            largest, gram = np.abs(tokens).max(0), (tokens.T @ tokens).astype(np.float64)
            before = found.get(name)
            found[name] = (
                Seen(np.maximum(before.largest, largest), before.gram + gram) if before else Seen(largest, gram)
            )
    return found


def _product(
    source: str,
    integers: NDArray[np.int8],
    scales: Floats,
    targets: Sequence[str],
    sizes: Sequence[int],
    graph: Any,
    *,
    twice: bool,
) -> list[onnx.NodeProto]:
    """The nodes that stand for products of `source` with weights that lie side by side, `sizes` columns each."""
    name = f"{source}.int8"
    for tail, values in {
        "weights": integers,
        "scales": scales,
        "sums_of_weights": integers.sum(0, dtype=np.int32).astype(np.float32),
    }.items():
        graph.initializer.append(numpy_helper.from_array(values, f"{name}.{tail}"))
    steps = [
        ("ReduceMax", [source, "int8.last"], "high"),
        ("ReduceMin", [source, "int8.last"], "low"),
        ("Sub", [f"{name}.high", f"{name}.low"], "range"),
        ("Max", [f"{name}.range", "int8.least"], "some_range"),
        ("Div", [f"{name}.some_range", "int8.levels"], "scale"),
        ("Sub", [source, f"{name}.low"], "above"),
        ("Div", [f"{name}.above", f"{name}.scale"], "levels"),
        ("Round", [f"{name}.levels"], "rounded"),
        ("Cast", [f"{name}.rounded"], "bytes"),
        ("MatMulInteger", [f"{name}.bytes", f"{name}.weights"], "sums"),
        ("Cast", [f"{name}.sums"], "whole"),
    ]
    if twice:
        steps += [
            ("Sub", [f"{name}.levels", f"{name}.rounded"], "left_out"),
            ("Mul", [f"{name}.left_out", "int8.rest_levels"], "rest_levels"),
            ("Round", [f"{name}.rest_levels"], "rest_rounded"),
            ("Add", [f"{name}.rest_rounded", "int8.middle"], "rest_shifted"),
            ("Cast", [f"{name}.rest_shifted"], "rest_bytes"),
            ("MatMulInteger", [f"{name}.rest_bytes", f"{name}.weights", "int8.zero"], "rest_sums"),
            ("Cast", [f"{name}.rest_sums"], "rest_floats"),
            ("Div", [f"{name}.rest_floats", "int8.rest_levels"], "rest"),
            ("Add", [f"{name}.whole", f"{name}.rest"], "floats"),
        ]
    steps += [
        ("Mul", [f"{name}.{'floats' if twice else 'whole'}", f"{name}.scale"], "scaled"),
        ("Mul", [f"{name}.low", f"{name}.sums_of_weights"], "lows"),
        ("Add", [f"{name}.scaled", f"{name}.lows"], "columns"),
    ]
    whole, real = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    types = {"bytes": whole, "whole": real, "rest_bytes": whole, "rest_floats": real}
    nodes = [
        helper.make_node(kind, inputs, [f"{name}.{output}"], **({"to": types[output]} if kind == "Cast" else {}))
        for kind, inputs, output in steps
    ]
    if len(targets) == 1:
        return [*nodes, helper.make_node("Mul", [f"{name}.columns", f"{name}.scales"], list(targets))]
    nodes.append(helper.make_node("Mul", [f"{name}.columns", f"{name}.scales"], [f"{name}.product"]))
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), f"{name}.sizes_of_parts"))
    return [*nodes, helper.make_node("Split", [f"{name}.product", f"{name}.sizes_of_parts"], list(targets), axis=-1)]
