"""What the new model says of itself: its `model.yaml`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from heartbeat.models.card import CARD, GRAPH, TOKENIZER, Card
from heartbeat.models.export.agreement import Agreement
from heartbeat.models.export.errors import ExportFailed
from heartbeat.models.export.graph import INPUTS, OUTPUT
from heartbeat.models.export.original import Original
from heartbeat.models.export.request import Request
from heartbeat.models.export.source import Source

_TOOLS: Final = ("torch", "transformers", "tokenizers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


def terms(request: Request, source: Source) -> tuple[list[str], str]:
    """The model's languages and licence: as asked for, or else as its own description says.

    Raises:
        ExportFailed: neither says.
    """
    languages = request.languages or source.languages
    if not languages:
        raise ExportFailed(
            f"{source.name} does not say which languages it is for; posts in others are left unscored, so say it with "
            "LANGUAGES=, for instance LANGUAGES=en"
        )
    licence = request.licence or source.licence
    if not licence:
        raise ExportFailed(
            f"{source.name} does not say its licence; look it up and say it with LICENCE=, for instance "
            "LICENCE=cc-by-4.0, or LICENCE=unknown"
        )
    return list(dict.fromkeys(languages)), licence


def figures(
    agreement: Agreement,
    in_groups: Agreement,
    floats: Agreement,
    *,
    posts_from: str,
    tokens_compared: int,
    sizes: Mapping[str, int],
) -> dict[str, Any]:
    """What was measured, for the card."""
    return {
        "agreement": {
            "posts": agreement.posts,
            "posts_from": posts_from,
            "same_label": round(agreement.share, 4),
            "largest_difference": round(agreement.largest, 4),
            "mean_difference": round(agreement.mean, 5),
            "before_quantising": float(f"{floats.largest:.1e}"),
            "same_label_in_groups": round(in_groups.share, 4),
            "same_tokens": f"all of {tokens_compared} texts",
        },
        "bytes": dict(sizes),
        "made_with": {tool: metadata.version(tool) for tool in _TOOLS},
    }


def values(
    request: Request,
    source: Source,
    original: Original,
    languages: Sequence[str],
    licence: str,
) -> dict[str, Any]:
    """The card's keys but for `files` and `figures`."""
    return {
        "name": request.name,
        "version": request.version,
        "kind": "sentiment",
        "family": "encoder",
        "description": f"{source.name} ({original.type}), {_QUANTISED[request.quantize]}.",
        "licence": licence,
        "labels": original.labels,
        "languages": list(languages),
        "input": {"name": INPUTS[0], "type": "int64", "shape": ["N", "L"]},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["N", "K"]},
        "max_chars": request.max_chars,
        "max_tokens": original.max_tokens,
        "wording": request.wording,
        "training": [
            {
                "name": source.name,
                "source": source.address,
                "licence": licence,
                "research_only": request.research_only,
            }
        ],
        "changes": [f"{request.version}: exported from {source.name} with `make export-model`"],
    }


def write(folder: Path, values: Mapping[str, Any]) -> Card:
    """Write `model.yaml` beside the model's other files, which are there already, with their checksums.

    Raises:
        ExportFailed: the card is not what the catalogue takes.
    """
    whole = {**values, "files": {name: checksum(folder / name) for name in (GRAPH, TOKENIZER)}}
    try:
        card = Card.model_validate(whole)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ExportFailed(f"the catalogue would not take this model: {key}: {first['msg']}") from None
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    (folder / CARD).write_text(text, encoding="utf-8")
    return card


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


_QUANTISED: Final = {
    "weights": "weights in 8 bits, scaled in small blocks",
    "dynamic": "weights in 8 bits, activations scaled post by post",
    "static": "weights and activations in 8 bits, scaled as calibrated",
    "none": "in 32-bit floats",
}
