"""Ways of putting an encoder's weights into eight bits, each from the float graph to one that is run instead of it.

- `dynamic`: weights are signed, with a scale for each column; activations are measured in every run, over all texts.
- `static`: as `dynamic`, but with the activations' ranges found beforehand on texts.
- `weights_only`: blocks of weights have their scales, and so have blocks of each token's activations.

The way that ships has a module of its own: `encoder_by_token`.

Without VNNI a product of two 8-bit numbers is added up in 16 bits and may overflow: `reduce_range` makes weights
7 bits wide, so that it cannot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from heartbeat.training.encoder_by_token import Feed
from heartbeat.training.encoder_data import Encoded, padded
from heartbeat.training.encoder_export import IDS, MASK

_PRODUCTS: Final = ["MatMul", "Gemm"]
_WEIGHTS_ONLY: Final = {"MatMulConstBOnly": True}
"""Products of two activations, inside attention, stay as they are."""


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
