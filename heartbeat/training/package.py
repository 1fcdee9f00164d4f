"""Writes a trained model's folder: the graph and its card. Reads one back to measure it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import yaml

from heartbeat.models.card import CARD, GRAPH, Card
from heartbeat.models.text import MAX_CHARS, to_codes
from heartbeat.training import data
from heartbeat.training.corpus import Texts
from heartbeat.training.measures import Probabilities

_BATCH: Final = 256


class Classifier:
    """A graph that answers for texts: the one that ships, run as it will be run."""

    def __init__(self, model: onnx.ModelProto | Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        serialised = str(model) if isinstance(model, Path) else model.SerializeToString()
        self._session: Any = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])

    def __call__(self, prepared: Sequence[str]) -> Probabilities:
        """Probabilities [N, K] of prepared texts, in order."""
        order = sorted(range(len(prepared)), key=lambda i: len(prepared[i]))
        parts: list[Probabilities] = []
        for start in range(0, len(order), _BATCH):
            texts = [prepared[i] for i in order[start : start + _BATCH]]
            parts.append(self._session.run(None, {"codes": to_codes(texts)})[0])
        answers = np.concatenate(parts)
        back = np.empty_like(answers)
        back[order] = answers
        return back


def write(models: Path, graph: onnx.ModelProto, card: dict[str, Any]) -> Path:
    """Write `models/NAME/VERSION/`. The card is given without `files` and `max_chars`, which are filled in here.

    Raises:
        ValueError: the card is not what the catalogue takes.
    """
    content = graph.SerializeToString(deterministic=True)
    full = {**card, "max_chars": MAX_CHARS, "files": {GRAPH: hashlib.sha256(content).hexdigest()}}
    Card.model_validate(full)
    folder = models / str(card["name"]) / str(card["version"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(content)
    text = yaml.safe_dump(full, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    (folder / CARD).write_text(text, encoding="utf-8")
    return folder


def texts_used(groups: Sequence[Texts]) -> dict[str, int]:
    """How many texts of each source there are in groups."""
    counts: dict[str, int] = {}
    for group in groups:
        counts[group.source] = counts.get(group.source, 0) + len(group.texts)
    return counts


def sources(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The card's list of training data, from how many texts of each source were used; made-up texts have no terms."""
    return [
        {
            "name": name,
            "source": data.terms_of(name).source,
            "licence": data.terms_of(name).licence,
            "research_only": data.terms_of(name).research_only,
            "texts": count,
        }
        for name, count in sorted(counts.items())
        if name != data.MADE_UP
    ]
