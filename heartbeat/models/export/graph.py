"""The original as an ONNX graph that keeps Heartbeat's contract.

Two inputs, `input_ids` and `attention_mask`, int64 [N, L]; one output, `probabilities`, float32 [N, K] after softmax.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.export.errors import ExportFailed, first_line
from heartbeat.models.export.original import Original

INPUTS: Final = ("input_ids", "attention_mask")
OUTPUT: Final = "probabilities"
_LOGITS: Final = "logits"
_TYPES: Final = "token_type_ids"
_OPSET: Final = 18
"""What the exporter of torch writes without converting, and ONNX Runtime 1.20 reads."""


def exported(original: Original, folder: Path) -> Any:
    """The original's graph, an `onnx.ModelProto` in 32-bit floats.

    Args:
        original: what to export.
        folder: an empty one, for what the exporter writes on its way.

    Raises:
        ExportFailed: the exporter gives up, or writes a graph with other inputs or outputs.
    """
    import onnx

    folder.mkdir()
    with _quiet():
        from optimum.exporters.onnx import onnx_export_from_model

        try:
            onnx_export_from_model(
                model=original.model,
                output=folder,
                opset=_OPSET,
                task="text-classification",
                do_validation=False,  # done here, on real posts, and on the model as it is shipped
                no_dynamic_axes=False,
                device="cpu",
            )
        except Exception as error:  # torch and optimum raise whatever their parts raise
            raise ExportFailed(
                f"the model cannot be made a graph: {type(error).__name__}: {first_line(error)}"
            ) from error
    model = onnx.load(folder / "model.onnx")
    _fold_types(model.graph, onnx)
    _hold_against_contract(model.graph)
    _add_softmax(model.graph, onnx)
    _name_dimensions(model.graph)
    return model


def arrays(ids: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """The graph's inputs, int64 [1, L], for one text's tokens."""
    row = np.asarray([ids], np.int64)
    return {INPUTS[0]: row, INPUTS[1]: np.ones_like(row)}


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep what torch and optimum tell of their own work from the user, who can do nothing about it."""
    said = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(said)


def _fold_types(graph: Any, onnx: Any) -> None:
    """BERT's `token_type_ids` are zeros for a text that stands alone: made inside."""
    position = next((i for i, given in enumerate(graph.input) if given.name == _TYPES), None)
    if position is None:
        return
    del graph.input[position]
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.int64))
    graph.node.insert(0, onnx.helper.make_node("Shape", [INPUTS[0]], ["heartbeat_shape"], name="heartbeat_shape"))
    graph.node.insert(
        1, onnx.helper.make_node("ConstantOfShape", ["heartbeat_shape"], [_TYPES], name="heartbeat_types", value=zero)
    )


def _hold_against_contract(graph: Any) -> None:
    inputs, outputs = sorted(given.name for given in graph.input), [given.name for given in graph.output]
    if inputs != sorted(INPUTS) or outputs != [_LOGITS]:
        raise ExportFailed(
            f"the exporter wrote a graph with inputs {', '.join(inputs)} and outputs {', '.join(outputs)}, where "
            f"{', '.join(INPUTS)} and {_LOGITS} are expected; use the versions of deploy/requirements-export.lock"
        )


def _add_softmax(graph: Any, onnx: Any) -> None:
    graph.node.append(onnx.helper.make_node("Softmax", [_LOGITS], [OUTPUT], name="heartbeat_probabilities", axis=-1))
    output = onnx.ValueInfoProto()
    output.CopyFrom(graph.output[0])
    output.name = OUTPUT
    del graph.output[:]
    graph.output.append(output)


def _name_dimensions(graph: Any) -> None:
    for given in graph.input:
        for size, name in zip(given.type.tensor_type.shape.dim, ("N", "L"), strict=True):
            size.dim_param = name
    graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
