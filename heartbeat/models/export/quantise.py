"""From 32-bit floats to 8-bit integers: a quarter of the size, and faster.

- `weights`: see `blocks`.
- `dynamic`, `static`: weights are signed, with a scale for each output channel, and use 7 of their 8 bits: processors
  without VNNI add pairs of products in 16 bits, and full-range weights would overflow there. Activations share one
  scale, measured in each run or beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.export import blocks, embeddings
from heartbeat.models.export.errors import ExportFailed, first_line
from heartbeat.models.export.graph import arrays
from heartbeat.models.export.request import Quantize

_LARGEST: Final = 2**31 - 1
"""Bytes: what a single ONNX file may hold."""


def written(model: Any, quantize: Quantize, texts: Sequence[Sequence[int]], work: Path, target: Path) -> None:
    """Write a graph, quantised as asked, in one file.

    Args:
        model: `onnx.ModelProto` in 32-bit floats; it is changed in place unless `quantize` is `none`.
        quantize: how.
        texts: the tokens of posts to calibrate `static` on.
        work: a folder for files on the way.
        target: the file to write.

    Raises:
        ExportFailed: it does not fit into one file, or the quantiser gives up.
    """
    import onnx

    if quantize != "none":
        embeddings.shrink(model)
    if quantize == "weights":
        blocks.shrink(model)
    if (size := model.ByteSize()) > _LARGEST:
        raise ExportFailed(
            f"the graph has {size / 1e9:.1f} GB, and an ONNX file holds 2 GB: "
            + ("say QUANTIZE=weights, or choose a smaller model" if quantize == "none" else "choose a smaller model")
        )
    if quantize in ("none", "weights"):
        onnx.save(model, target)
        return
    floats = work / "floats.onnx"
    onnx.save(model, floats)
    said = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a preparation that changes nothing here
    try:
        _quantise(floats, quantize, texts, target)
    except Exception as error:  # the quantiser raises whatever its parts raise
        raise ExportFailed(f"the graph cannot be quantised: {type(error).__name__}: {first_line(error)}") from error
    finally:
        logging.disable(said)


def _quantise(floats: Path, quantize: Quantize, texts: Sequence[Sequence[int]], target: Path) -> None:
    from onnxruntime import quantization

    common = {
        "op_types_to_quantize": ["MatMul"],
        "per_channel": True,
        "reduce_range": True,
        "weight_type": quantization.QuantType.QInt8,
    }
    # of attention's products, both sides are activations: these stay floats
    options: dict[str, Any] = {"MatMulConstBOnly": True}
    if quantize == "dynamic":
        quantization.quantize_dynamic(floats, target, extra_options=options, **common)
        return
    quantization.quantize_static(
        floats,
        target,
        _reader(texts),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        extra_options=options,
        **common,
    )


def _reader(texts: Sequence[Sequence[int]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Posts one by one, as they are run."""

        def __init__(self) -> None:
            self._left: Iterator[Sequence[int]] = iter(texts)

        def get_next(self) -> dict[str, NDArray[np.int64]] | None:
            """The next post, or None behind the last."""
            ids = next(self._left, None)
            return None if ids is None else arrays(ids)

    return Reader()
