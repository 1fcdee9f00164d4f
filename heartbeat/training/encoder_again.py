"""Reads a released encoder back into float weights, so that training can go on from it.

What ships has 7-bit weights; in floats they are the same numbers, on a grid. Training moves them off it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
import yaml
from onnx import numpy_helper

from heartbeat.errors import ConfigError
from heartbeat.training.encoder_data import Floats
from heartbeat.training.encoder_loop import Weights

_PARTS: Final = (("query", "key", "value"), ("out",), ("inner",), ("outer",))
"""A layer's products in the order of the graph; those that have their input in common are one."""
_CLASSIFIER: Final = "encoder.classifier."


def weights(folder: Path) -> Weights:
    """What `Encoder.load_state_dict` takes, from a version's folder; calibration is undone.

    Raises:
        ConfigError: the folder holds no model that `encoder_release.release` wrote.
    """
    try:
        card = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
        model = onnx.load(folder / "model.onnx")
        temperature = float(card["figures"]["temperature"])
        parts = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        found = {"words.weight": parts["rows"].astype(np.float32) * parts["scales"]}
        found |= dict(_products(model, parts))
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{folder} cannot be trained on: {error!r}; name a version that make train-sentiment wrote", key="again"
        ) from error
    for name, values in parts.items():
        if name.startswith("encoder."):
            scale = temperature if name.startswith(_CLASSIFIER) else 1.0
            found[name.removeprefix("encoder.")] = values * np.float32(scale)
    return {name: torch.from_numpy(np.array(values, np.float32)) for name, values in found.items()}


def _products(model: onnx.ModelProto, parts: dict[str, Any]) -> Iterator[tuple[str, Floats]]:
    # once each, though some are taken twice
    products = list(dict.fromkeys(node.input[1] for node in model.graph.node if node.op_type == "MatMulInteger"))
    for place, name in enumerate(products):
        layer, kind = divmod(place, len(_PARTS))
        source = name.removesuffix(".int8.weights")
        whole = parts[name].astype(np.float32) * parts[f"{source}.int8.scales"]
        if source.endswith(".evened"):
            whole *= parts[f"{source.removesuffix('.evened')}.even"][:, None]
        names = _PARTS[kind]
        for part, values in zip(names, np.split(whole, len(names), axis=1), strict=True):
            yield f"layers.{layer}.{part}.weight", np.ascontiguousarray(values.T)
