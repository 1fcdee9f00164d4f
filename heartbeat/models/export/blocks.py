"""Weights in 8 bits, with a scale for each block of them; activations get theirs for each block of each token.

ONNX Runtime's own operator (`MatMulNBits`) does it. No value is far from the others of its block's scale, so next to
nothing is lost, and a token's numbers do not depend on other tokens, let alone on other posts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 32
_MIDDLE: Final = 128
"""Steps are stored unsigned: this one stands for zero."""
_IN_INTEGERS: Final = 4
"""The operator's `accuracy_level`: activations become 8-bit integers too."""


def rounded(weights: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Steps uint8 [N, blocks, block] and their sizes float32 [N, blocks] for weights float32 [K, N].

    Where K is no multiple of a block, what is missing of the last one is zeros.
    """
    inner, outer = weights.shape
    blocks = -(-inner // _BLOCK)
    padded = np.zeros((outer, blocks * _BLOCK), np.float32)
    padded[:, :inner] = weights.T
    parts = padded.reshape(outer, blocks, _BLOCK)
    scale = np.abs(parts).max(axis=2) / 127
    scale[scale == 0] = 1.0
    steps = np.rint(parts / scale[:, :, None]) + _MIDDLE
    return steps.astype(np.uint8), scale.astype(np.float32)


def shrink(model: Any) -> None:
    """Replace, in an `onnx.ModelProto`, products with weights by such of blocks."""
    import onnx

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    replaced: set[str] = set()
    for position, node in enumerate(graph.node):
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        name = node.input[1]
        inner, outer = weights[name].dims
        if name not in replaced:
            steps, scale = rounded(onnx.numpy_helper.to_array(weights[name]))
            graph.initializer.extend(
                [
                    onnx.numpy_helper.from_array(steps, f"{name}_blocks"),
                    onnx.numpy_helper.from_array(scale, f"{name}_scale"),
                ]
            )
            replaced.add(name)
        made = onnx.helper.make_node(
            "MatMulNBits",
            [node.input[0], f"{name}_blocks", f"{name}_scale"],
            list(node.output),
            name=node.name,
            domain="com.microsoft",
            K=inner,
            N=outer,
            bits=8,
            block_size=_BLOCK,
            accuracy_level=_IN_INTEGERS,
        )
        graph.node[position].CopyFrom(made)
    used = {name for node in graph.node for name in node.input}
    for name in replaced - used:
        graph.initializer.remove(weights[name])
    if replaced and not any(known.domain == "com.microsoft" for known in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
