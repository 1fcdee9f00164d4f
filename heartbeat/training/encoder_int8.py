"""Ways of putting an encoder's weights into eight bits, each from the float graph to one that is run instead of it.

- `dynamic`: weights are signed, with a scale for each column; activations are measured in every run, over all texts.
- `by_token`: as `dynamic`, but every token's activations have a scale of their own, so that neither neighbours nor
  padding have an influence, and one token with a large number does not blur the others.
- `static`: as `dynamic`, but with the activations' ranges found beforehand on texts.
- `weights_only`: blocks of weights have their scales, and so have blocks of each token's activations.

Without VNNI a product of two 8-bit numbers is added up in 16 bits and may overflow: `reduce_range` makes weights
7 bits wide, so that it cannot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from heartbeat.training.encoder_data import Encoded, padded
from heartbeat.training.encoder_export import IDS, MASK

_HIGHEST: Final = 63
"""Largest weight of 7 bits. Two products of 255 and 63 just fit into 16 bits, where machines without VNNI add them."""
_PRODUCTS: Final = ["MatMul", "Gemm"]
_WEIGHTS_ONLY: Final = {"MatMulConstBOnly": True}
"""Products of two activations, inside attention, stay as they are."""
Feed = dict[str, NDArray[Any]]


def dynamic(model: onnx.ModelProto, *, reduce_range: bool = True) -> onnx.ModelProto:
    """Signed weights with a scale for each column, activations measured in each run."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = _places(model, folder)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=_PRODUCTS,
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            extra_options=_WEIGHTS_ONLY,
        )
        return onnx.load(target)


def by_token(model: onnx.ModelProto, texts: Sequence[Feed] = (), *, evenness: float = 0.55) -> onnx.ModelProto:
    """Signed 7-bit weights with a scale for each column; 8-bit activations with a scale for each token.

    Products that have their input in common become one: its result is split. Standard operators only.

    Args:
        model: with float weights.
        texts: what activations look like. A few channels have numbers ten times as large as the others'; they are
            divided by what these texts show, and the weights multiplied by it. None: nothing is evened out.
        evenness: 0 leaves it all to the weights, 1 to the activations.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shared: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            shared.setdefault(node.input[0], []).append(node)
    largest = _largest(model, list(shared), texts) if texts else {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        products = shared.get(node.input[0], []) if node.input else []
        if not any(node is product for product in products):
            nodes.append(node)
        elif node is products[0]:
            weights = [numpy_helper.to_array(constants[product.input[1]]) for product in products]
            source = node.input[0]
            if source in largest:
                whole = np.abs(np.concatenate(weights, 1)).max(1)
                even = np.maximum(largest[source], 1e-3) ** evenness / np.maximum(whole, 1e-3) ** (1 - evenness)
                weights = [part * even[:, None] for part in weights]
                graph.initializer.append(numpy_helper.from_array((1 / even).astype(np.float32), f"{source}.even"))
                nodes.append(helper.make_node("Mul", [source, f"{source}.even"], [f"{source}.evened"]))
                source = f"{source}.evened"
            nodes += _by_token(source, weights, [product.output[0] for product in products], graph)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in {
            "int8.last": np.array([-1], np.int64),
            "int8.levels": np.array(127, np.float32),
            "int8.least": np.array(1e-6, np.float32),
            "int8.middle": np.array(128, np.float32),
            "int8.zero": np.array(128, np.uint8),
        }.items()
    )
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(made)
    return made


def _largest(model: onnx.ModelProto, names: Sequence[str], texts: Sequence[Feed]) -> dict[str, NDArray[np.float32]]:
    """The largest size of each channel, float32 [width], of some activations over texts."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, NDArray[np.float32]] = {}
    for text in texts:
        for name, values in zip(names, session.run(list(names), text), strict=True):
            sizes = np.abs(values).max((0, 1))
            found[name] = np.maximum(found.get(name, sizes), sizes)
    return found


def _by_token(source: str, weights: Sequence[NDArray[Any]], targets: Sequence[str], graph: Any) -> list[onnx.NodeProto]:
    """The nodes that stand for products of `source` with each of `weights`, float32 [in, out]."""
    whole = np.concatenate(weights, 1)
    scales = (np.abs(whole).max(0) / _HIGHEST).astype(np.float32)
    rounded = np.round(whole / np.maximum(scales, 1e-12)).astype(np.int8)
    name = f"{source}.int8"
    graph.initializer.append(numpy_helper.from_array(rounded, f"{name}.weights"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
    steps = [
        ("Abs", [source], "sizes"),
        ("ReduceMax", [f"{name}.sizes", "int8.last"], "largest"),
        ("Max", [f"{name}.largest", "int8.least"], "range"),
        ("Div", [f"{name}.range", "int8.levels"], "scale"),
        ("Div", [source, f"{name}.scale"], "levels"),
        ("Round", [f"{name}.levels"], "rounded"),
        ("Add", [f"{name}.rounded", "int8.middle"], "shifted"),
        ("Cast", [f"{name}.shifted"], "bytes"),
        ("MatMulInteger", [f"{name}.bytes", f"{name}.weights", "int8.zero"], "sums"),
        ("Cast", [f"{name}.sums"], "floats"),
        ("Mul", [f"{name}.floats", f"{name}.scale"], "scaled"),
    ]
    types = {"bytes": onnx.TensorProto.UINT8, "floats": onnx.TensorProto.FLOAT}
    nodes = [
        helper.make_node(kind, inputs, [f"{name}.{output}"], **({"to": types[output]} if kind == "Cast" else {}))
        for kind, inputs, output in steps
    ]
    if len(targets) == 1:
        return [*nodes, helper.make_node("Mul", [f"{name}.scaled", f"{name}.scales"], list(targets))]
    nodes.append(helper.make_node("Mul", [f"{name}.scaled", f"{name}.scales"], [f"{name}.product"]))
    sizes = np.array([part.shape[1] for part in weights], np.int64)
    graph.initializer.append(numpy_helper.from_array(sizes, f"{name}.sizes_of_parts"))
    return [*nodes, helper.make_node("Split", [f"{name}.product", f"{name}.sizes_of_parts"], list(targets), axis=-1)]


def static(
    model: onnx.ModelProto,
    texts: Sequence[Feed],
    *,
    method: CalibrationMethod = CalibrationMethod.MinMax,
    reduce_range: bool = True,
) -> onnx.ModelProto:
    """Signed weights with a scale for each column, and ranges of activations that these texts have."""

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Feed] = iter(texts)

        def get_next(self) -> Feed | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = _places(model, folder)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_PRODUCTS,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options=_WEIGHTS_ONLY,
        )
        return onnx.load(target)


def weights_only(model: onnx.ModelProto, *, block: int = 128, accuracy_level: int = 4) -> onnx.ModelProto:
    """Weights in blocks of `block` numbers.

    Args:
        model: with float weights.
        block: numbers that share a scale; a power of two.
        accuracy_level: 4 computes in 8 bits, with a scale for each block of a token; 1 in float.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(
        block_size=block,
        is_symmetric=True,
        accuracy_level=accuracy_level,
        op_types_to_quantize=("MatMul",),
        quant_axes=(("MatMul", 0),),
        bits=8,
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantiser = MatMulNBitsQuantizer(copy, algo_config=config)
    quantiser.process()
    return quantiser.model.model


def _places(model: onnx.ModelProto, folder: str) -> tuple[Path, Path]:
    source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
    onnx.save(model, source)
    return source, target


def feeds(encoded: Encoded, count: int) -> list[Feed]:
    """Inputs of up to `count` lone texts, taken evenly from all."""
    chosen = np.linspace(0, len(encoded.labels) - 1, min(count, len(encoded.labels))).astype(np.int64)
    pairs = (padded(encoded, np.array([text])) for text in chosen)
    return [{IDS: ids, MASK: mask} for ids, mask in pairs]
