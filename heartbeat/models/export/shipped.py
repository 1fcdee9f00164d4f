"""The new model as its files alone are read and run: by `tokenizers`, `numpy` and ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.export.graph import INPUTS, OUTPUT


def portable(tokenizer_json: str) -> str:
    """A tokenizer without padding and cutting of its own: the run time does both, by what `model.yaml` says."""
    content = json.loads(tokenizer_json)
    content["padding"] = content["truncation"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


class Shipped:
    """A graph and a tokenizer.

    Args:
        graph: the ONNX file.
        tokenizer: the tokenizer's file.
        max_tokens, pad_id: as in `model.yaml`.
    """

    def __init__(self, graph: Path, tokenizer: Path, *, max_tokens: int, pad_id: int) -> None:
        import onnxruntime
        import tokenizers

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(max_tokens)
        self._pad_id = pad_id

    def ids(self, text: str) -> list[int]:
        """A prepared text's tokens, special ones included, cut to `max_tokens`."""
        return list(self._tokenizer.encode(text).ids)

    def probabilities(self, texts: Sequence[str], *, group: int = 1) -> NDArray[np.float32]:
        """float32 [N, K] for prepared texts, `group` at a time, padded to the longest of each group."""
        tokens = [self.ids(text) for text in texts]
        return np.concatenate([self._run(tokens[at : at + group]) for at in range(0, len(tokens), group)])

    def _run(self, group: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        width = max(map(len, group))
        ids = np.full((len(group), width), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(group):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        answer: NDArray[np.float32] = self._session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return answer
