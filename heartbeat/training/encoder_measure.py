"""Runs an encoder's graph as it is run when it has been shipped, and says how well and how fast it answers."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime

from heartbeat.training import measures
from heartbeat.training.encoder_data import Encoded, Floats, Numbers, padded
from heartbeat.training.encoder_export import IDS, MASK
from heartbeat.training.sentiment_texts import LABELS


class Scored(NamedTuple):
    """What a graph answered, and how long it took.

    Attributes:
        probabilities: float32 [T, 3], in the texts' order.
        took_ms: all texts together, tokenising left out.
    """

    probabilities: Floats
    took_ms: int

    @property
    def labels(self) -> Numbers:
        """The most likely label of each text, int64 [T]."""
        return np.asarray(self.probabilities.argmax(1))

    @property
    def per_second(self) -> float:
        """Texts a second."""
        return 1000 * len(self.probabilities) / max(1, self.took_ms)


class Scorer:
    """A graph in memory.

    Args:
        model: the graph.
        threads: for one run.
    """

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def alone(self, encoded: Encoded) -> Scored:
        """Every text in a run of its own: no padding, no neighbours."""
        return self._score(encoded, [np.array([text]) for text in range(len(encoded.labels))])

    def grouped(self, encoded: Encoded, size: int = 8) -> Scored:
        """Texts in groups of like length."""
        order = np.argsort(encoded.lengths, kind="stable")
        return self._score(encoded, [order[start : start + size] for start in range(0, len(order), size)])

    def _score(self, encoded: Encoded, groups: list[Numbers]) -> Scored:
        inputs = [padded(encoded, which) for which in groups]
        answers = np.empty((len(encoded.labels), len(LABELS)), np.float32)
        began = time.perf_counter()
        for which, (ids, mask) in zip(groups, inputs, strict=True):
            answers[which] = self._session.run(None, {IDS: ids, MASK: mask})[0]
        return Scored(answers, round((time.perf_counter() - began) * 1000))


def agreement(one: Scored, other: Scored) -> float:
    """Share of texts that both give the same label."""
    return float((one.labels == other.labels).mean())


def figures(scored: Scored, labels: Numbers) -> dict[str, float]:
    """Macro recall, accuracy and expected calibration error."""
    return {
        "macro recall": round(measures.macro_recall(labels, scored.labels, len(LABELS)), 4),
        "accuracy": round(float((scored.labels == labels).mean()), 4),
        "calibration error": round(measures.calibration_error(scored.probabilities, labels), 4),
    }
