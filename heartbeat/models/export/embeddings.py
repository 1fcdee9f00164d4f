"""Word vectors in 8 bits: they are the larger part of most models, and nothing is computed with them.

Each word's vector has a scale of its own. (ONNX Runtime's quantiser gives the whole table one, so that a few large
values coarsen all words.)
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 512
"""Rows: smaller tables, such as that of positions in short models, are not worth a node more."""


def rounded(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Steps int8 [V, W] and their size float32 [V, 1] for vectors float32 [V, W]; off by half a step at most."""
    scale = np.abs(table).max(axis=1, keepdims=True) / 127
    scale[scale == 0] = 1.0
    return np.rint(table / scale).astype(np.int8), scale.astype(np.float32)


def shrink(model: Any) -> None:
    """Replace, in an `onnx.ModelProto`, tables that are only looked up in by 8-bit ones."""
    import onnx

    graph = model.graph
    tables = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and tensor.dims[0] >= _LEAST and tensor.data_type == onnx.TensorProto.FLOAT
    }
    for name, tensor in tables.items():
        users = [node for node in graph.node if name in node.input]
        if not users or any(node.op_type != "Gather" or node.input[0] != name or _axis(node) for node in users):
            continue
        steps, scale = rounded(onnx.numpy_helper.to_array(tensor))
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            [onnx.numpy_helper.from_array(steps, f"{name}_int8"), onnx.numpy_helper.from_array(scale, f"{name}_scale")]
        )
        for node in users:
            _replace(graph, node, name, onnx)


def _axis(node: Any) -> int:
    return next((int(given.i) for given in node.attribute if given.name == "axis"), 0)


def _replace(graph: Any, node: Any, name: str, onnx: Any) -> None:
    position = list(graph.node).index(node)
    ids, output = node.input[1], node.output[0]
    graph.node.remove(node)
    new: tuple[tuple[str, list[str], str, dict[str, int]], ...] = (
        ("Gather", [f"{name}_int8", ids], f"{output}_int8", {"axis": 0}),
        ("Cast", [f"{output}_int8"], f"{output}_steps", {"to": onnx.TensorProto.FLOAT}),
        ("Gather", [f"{name}_scale", ids], f"{output}_scale", {"axis": 0}),
        ("Mul", [f"{output}_steps", f"{output}_scale"], output, {}),
    )
    for offset, (operation, inputs, result, attributes) in enumerate(new):
        made = onnx.helper.make_node(operation, inputs, [result], name=f"{result}_made", **attributes)
        graph.node.insert(position + offset, made)
