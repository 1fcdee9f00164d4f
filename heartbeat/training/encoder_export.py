"""Turns a trained encoder into the ONNX graph that ships: probabilities from tokens, words' vectors in eight bits."""

from __future__ import annotations

import io
import logging
from typing import Final, NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from heartbeat.training.encoder_data import Floats, Numbers
from heartbeat.training.encoder_net import Encoder

IDS: Final = "input_ids"
MASK: Final = "attention_mask"
OUTPUT: Final = "probabilities"
_OPSET: Final = 18


class Calibration(NamedTuple):
    """What is done to logits before they become probabilities: softmax(logits / temperature + shift).

    Attributes:
        temperature: greater than 1 makes a model less sure.
        shift: float32 [labels], added for labels that are rarer or more frequent than the model takes them for.
    """

    temperature: float
    shift: Floats

    def probabilities(self, logits: Floats) -> Floats:
        """Probabilities float32 [T, labels] of logits of the same shape."""
        scaled = logits / self.temperature + self.shift
        shares = np.exp(scaled - scaled.max(1, keepdims=True))
        return np.asarray(shares / shares.sum(1, keepdims=True), np.float32)


def calibrate(logits: Floats, labels: Numbers, towards: float = 0.0) -> Calibration:
    """The temperature that makes labelled texts' labels most likely.

    Args:
        logits: float32 [T, labels], of a model that takes all labels for equally likely.
        labels: int64 [T].
        towards: how far the labels' shares in these texts are taken into account: 0 not at all, 1 wholly. The
            temperature is found with all of it, as these texts are like that; what is answered later goes less far.
    """
    shares = np.bincount(labels, minlength=logits.shape[1]) / len(labels)
    prior = np.log(shares).astype(np.float32)
    best, least = 1.0, np.inf
    for temperature in np.geomspace(0.4, 3.0, 121):
        answers = Calibration(float(temperature), prior).probabilities(logits)
        loss = -float(np.log(np.maximum(answers[np.arange(len(labels)), labels], 1e-30)).mean())
        if loss < least:
            best, least = float(temperature), loss
    return Calibration(best, (towards * (prior - prior.mean())).astype(np.float32))


class Exported(nn.Module):  # type: ignore[misc]
    """An encoder as it is exported: words' vectors in eight bits with a scale for each word, then probabilities."""

    def __init__(self, encoder: Encoder, calibration: Calibration) -> None:
        super().__init__()
        words = encoder.words.weight.detach()
        scales = words.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
        self.register_buffer("rows", (words / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)
        self.encoder = encoder
        encoder.embed = self._embed  # type: ignore[method-assign]
        with torch.no_grad():
            encoder.classifier.weight /= calibration.temperature
            encoder.classifier.bias /= calibration.temperature
            encoder.classifier.bias += torch.from_numpy(calibration.shift)

    def _embed(self, ids: Tensor) -> Tensor:
        rows, scales = functional.embedding(ids, self.rows), functional.embedding(ids, self.scales)
        return rows.to(torch.float32) * scales

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Probabilities float32 [N, labels] of token numbers and mask, both int64 [N, L]."""
        return self.encoder(input_ids, attention_mask).softmax(-1)


def graph(encoder: Encoder, calibration: Calibration) -> onnx.ModelProto:
    """The ONNX graph, with float weights but for the words' vectors. The encoder is changed and not to be used again.

    Inputs `input_ids` and `attention_mask`, int64 [N, L]; output `probabilities`, float32 [N, labels].
    """
    module = Exported(encoder, calibration).eval()
    ids = torch.full((2, 9), 1000, dtype=torch.int64)
    axes = {0: torch.export.Dim("N", min=1, max=4096), 1: torch.export.Dim("L", min=1, max=encoder.shape.positions)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad():
        program = torch.onnx.export(
            module,
            (ids, torch.ones_like(ids)),
            dynamo=True,
            input_names=[IDS, MASK],
            output_names=[OUTPUT],
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
            opset_version=_OPSET,
            verbose=False,
        )
    whole = io.BytesIO()
    program.save(whole)
    model = onnx.load_from_string(whole.getvalue())
    # Names and traces of the machine that exported do not belong into what ships.
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model
