"""From floating point to the int8 rows of the graph."""

from __future__ import annotations

from typing import Final

import numpy as np

from heartbeat.training.graph import Weights
from heartbeat.training.trainer import Model

_KEPT: Final = 0.9995
"""Share of a column's values that are kept as they are; the few beyond are cut, which gives the rest finer steps."""


def quantise(model: Model, silent: int) -> Weights:
    """Round each column of the rows to 255 steps. Rows that no training text touched become zero.

    Args:
        model: as trained.
        silent: label (index) of texts without any n-gram.
    """
    rows = model.rows
    scale = np.maximum(np.quantile(np.abs(rows), _KEPT, axis=0) / 127, 1e-8).astype(np.float32)
    steps = np.clip(np.round(rows / scale), -127, 127).astype(np.int8)
    return Weights(steps, scale, model.projection, model.bias, silent)
