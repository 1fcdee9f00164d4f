"""A small BERT in plain PyTorch: what is trained, and what is exported.

Written out here, and not taken from a library, so that the graph holds two inputs and nothing that is not needed: the
embedding of token type 0, the only one that occurs, is part of the positions' embeddings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_NAMES: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attended": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "fed": "output.LayerNorm",
}
"""Parts of a layer, and how checkpoints of BERT call them."""


class Shape(NamedTuple):
    """Sizes of an encoder.

    Attributes:
        vocabulary: how many tokens there are.
        width: of a token's vector.
        layers: how many.
        heads: of each layer; divides `width`.
        inner: width inside a layer's feed-forward part.
        positions: longest text in tokens.
        labels: how many.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    labels: int


class Layer(nn.Module):  # type: ignore[misc]
    """One encoder layer: attention, then a feed-forward part, each added to its input and normalised."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, dropout
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.attended = nn.LayerNorm(shape.width, eps=1e-12)
        self.inner = nn.Linear(shape.width, shape.inner)
        self.outer = nn.Linear(shape.inner, shape.width)
        self.fed = nn.LayerNorm(shape.width, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Tokens float [N, L, W] and attention bias [N, 1, 1, L] (0, or very negative at padding) to [N, L, W]."""
        n, length, width = x.shape
        query, key, value = (
            part(x).view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5 + bias
        seen = (functional.dropout(scores.softmax(-1), self.dropout, self.training).to(value.dtype)) @ value
        seen = self.out(seen.transpose(1, 2).reshape(n, length, width))
        x = self.attended(x + functional.dropout(seen, self.dropout, self.training))
        fed = self.outer(functional.gelu(self.inner(x)))
        return self.fed(x + functional.dropout(fed, self.dropout, self.training))


class Encoder(nn.Module):  # type: ignore[misc]
    """Token numbers to logits.

    Args:
        shape: sizes.
        dropout: share of activations left out while training.
    """

    def __init__(self, shape: Shape, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        self.embedded = nn.LayerNorm(shape.width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.layers))
        self.pooler = nn.Linear(2 * shape.width, shape.width)
        self.classifier = nn.Linear(shape.width, shape.labels)

    def embed(self, ids: Tensor) -> Tensor:
        """The words' vectors [N, L, W] of ids int64 [N, L]; the export puts 8-bit ones in this place."""
        return self.words(ids)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors float [N, L, W] of ids and mask, both int64 [N, L]; mask is 0 at padding."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.embedded(self.embed(ids) + self.positions(places))
        x = functional.dropout(x, self.dropout, self.training)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits float [N, labels] of ids and mask, both int64 [N, L]."""
        x = self.encode(ids, mask)
        weights = mask[:, :, None].to(x.dtype)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        both = torch.cat((x[:, 0], mean), 1)
        pooled = torch.tanh(self.pooler(functional.dropout(both, self.dropout, self.training)))
        return self.classifier(functional.dropout(pooled, self.dropout, self.training))


def load(folder: Path, labels: int, dropout: float = 0.1) -> Encoder:
    """An encoder with the weights of a BERT model's folder (`config.json`, `model.safetensors`) and a new classifier.

    Raises:
        OSError: a file is missing.
        ValueError: it is no BERT with learned positions and GELU.
        KeyError: weights are missing.
    """
    from safetensors.torch import load_file

    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ValueError(f"{folder} holds no BERT model with GELU")
    encoder = Encoder(
        Shape(
            config["vocab_size"],
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["intermediate_size"],
            config["max_position_embeddings"],
            labels,
        ),
        dropout,
    )
    there: dict[str, Tensor] = load_file(folder / "model.safetensors")
    weights = {
        "words.weight": there["embeddings.word_embeddings.weight"],
        "positions.weight": there["embeddings.position_embeddings.weight"]
        + there["embeddings.token_type_embeddings.weight"][0],
        "embedded.weight": there["embeddings.LayerNorm.weight"],
        "embedded.bias": there["embeddings.LayerNorm.bias"],
    }
    for number in range(config["num_hidden_layers"]):
        for ours, theirs in _NAMES.items():
            for part in ("weight", "bias"):
                weights[f"layers.{number}.{ours}.{part}"] = there[f"encoder.layer.{number}.{theirs}.{part}"]
    missing = encoder.load_state_dict(weights, strict=False).missing_keys
    if unexpected := [name for name in missing if not name.startswith(("pooler.", "classifier."))]:
        raise KeyError(f"{folder} lacks weights for {', '.join(unexpected)}")
    for fresh in (encoder.pooler, encoder.classifier):
        nn.init.normal_(fresh.weight, std=0.02)
        nn.init.zeros_(fresh.bias)
    return encoder
