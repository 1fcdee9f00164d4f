"""Makes what ships of a trained encoder: calibrates it, puts it into eight bits, measures it and writes its folder."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import yaml

from heartbeat.training import (
    encoder_by_token,
    encoder_data,
    encoder_export,
    encoder_int8,
    encoder_measure,
    encoder_start,
    package,
)
from heartbeat.training.encoder_data import MAX_TOKENS, Encoded, Sets, Texts
from heartbeat.training.encoder_export import IDS, OUTPUT, Calibration
from heartbeat.training.encoder_measure import Scored, Scorer
from heartbeat.training.encoder_net import Encoder
from heartbeat.training.sentiment_texts import LABELS

NAME: Final = "sentiment"
FLOAT: Final = "float.onnx"
"""The graph before its weights are put into eight bits; stays in the work folder, to compare with."""
TOWARDS: Final = 0.0
"""How far the labels' shares among tweets are believed: the share of negative posts is another one in every stream."""

_DESCRIPTION: Final = "Negative, neutral or positive by a small transformer: the model for English posts."
_MAX_CHARS: Final = 1000
_GROUP: Final = 8
_MIXED_FROM: Final = 0.22
"""See `training.mixed`."""
_TWICE: Final = frozenset({3, 7, 11})
"""Products that are taken twice, counted four a layer: the outer feed-forward parts of the first three layers. Rounding
what GELU gives them changes more labels than all else together."""
_SEEN: Final = 1000
"""Texts that show which channels of activations are large, and which go together: 25,000 tokens."""


def release(
    encoder: Encoder, sets: Sets, tokenizer: Any, models: Path, work: Path, version: str, how: dict[str, Any]
) -> Path:
    """Write `models/sentiment/VERSION/`.

    Args:
        encoder: trained; it is not changed.
        sets: what it was trained on, and what it is measured on.
        tokenizer: as it was trained with.
        models: the catalogue's folder.
        work: where the float graph is left.
        version: as the folder will be called.
        how: what goes into the card beside what is known here: `changes`.
    """
    measured = {
        "tweets": encoder_data.encode([sets.validation], tokenizer),
        "tweets held out": encoder_data.encode([sets.held_out], tokenizer),
        "comments": encoder_data.encode([sets.comments], tokenizer),
    }
    plain = Scorer(_graph(encoder, Calibration(1.0, np.zeros(len(LABELS), np.float32))))
    floats = {name: plain.grouped(encoded, 32) for name, encoded in measured.items()}
    logits = {name: np.log(np.maximum(scored.probabilities, 1e-9)) for name, scored in floats.items()}
    kept = "tweets held out"
    calibration = encoder_export.calibrate(logits[kept], measured[kept].labels, TOWARDS)
    floats = {name: floats[name]._replace(probabilities=calibration.probabilities(logits[name])) for name in floats}
    whole = _graph(encoder, calibration)
    onnx.save(whole, work / FLOAT)
    seen = encoder_data.encode([sets.train[0]], tokenizer)
    small = encoder_by_token.by_token(whole, encoder_int8.feeds(seen, _SEEN), twice=_TWICE)
    found = measure(small, floats, measured)
    found["temperature"] = round(calibration.temperature, 3)
    folder = models / NAME / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(small.SerializeToString(deterministic=True))
    write_tokenizer(encoder_start.folder() / "tokenizer.json", folder / "tokenizer.json")
    card = {
        "name": NAME,
        "version": version,
        "kind": "sentiment",
        "family": "encoder",
        "description": _DESCRIPTION,
        "licence": f"Apache-2.0; from {encoder_start.START} ({encoder_start.LICENCE}), trained on texts under the "
        "terms below",
        "labels": list(LABELS),
        "languages": ["en"],
        "input": {"name": IDS, "type": "int64", "shape": ["N", "L"]},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["N", len(LABELS)]},
        "max_chars": _MAX_CHARS,
        "max_tokens": MAX_TOKENS,
        "wording": "tweets-words",
        "recall": {"en": found["tweets held out"]["macro recall"]},
        "mixed_from": _MIXED_FROM,
        "training": package.sources(_counts([*sets.train, *sets.unlabelled])),
        "figures": found,
        **how,
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")
        },
    }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    return folder


def measure(small: onnx.ModelProto, floats: dict[str, Scored], measured: dict[str, Encoded]) -> dict[str, Any]:
    """Figures of the graph that ships for each set of texts, and how near it is to what the float one answered."""
    found: dict[str, Any] = {}
    alone, grouped = {}, {}
    scorer = Scorer(small)
    for name, encoded in measured.items():
        alone[name] = scorer.alone(encoded)
        found[name] = encoder_measure.figures(alone[name], encoded.labels)
        before = encoder_measure.figures(floats[name], encoded.labels)
        found[name]["macro recall before quantising"] = before["macro recall"]
        if name.startswith("tweets"):
            grouped[name] = scorer.grouped(encoded, _GROUP)
    found["same label as before quantising"] = _agreement(alone, floats, list(grouped))
    found[f"same label alone and in groups of {_GROUP}"] = _agreement(alone, grouped, list(grouped))
    return found


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer without the padding and the cutting that it was saved with."""
    values = json.loads(source.read_text(encoding="utf-8"))
    values["padding"] = values["truncation"] = None
    target.write_text(json.dumps(values, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _graph(encoder: Encoder, calibration: Calibration) -> onnx.ModelProto:
    return encoder_export.graph(copy.deepcopy(encoder), calibration)


def _agreement(one: dict[str, Scored], other: dict[str, Scored], names: Sequence[str]) -> float:
    labels, others = (np.concatenate([part[name].labels for name in names]) for part in (one, other))
    return round(float((labels == others).mean()), 4)


def _counts(groups: Sequence[Texts]) -> dict[str, int]:
    return {group.source: len(group.texts) for group in groups}
