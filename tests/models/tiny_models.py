"""Models of a few hundred bytes that keep the contract of the shipped ones and can be reckoned by hand.

A text's logits are a bias and the sum, over its characters, of that character's row: integers, so that nothing is
rounded before the softmax.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.settings import Settings

LANGUAGE_LABELS = ("de", "en", "tr", "und")
SENTIMENT_LABELS = ("negative", "neutral", "positive")
LANGUAGE_WEIGHTS = {"d": (1, 0, 0, 0), "e": (0, 1, 0, 0), "t": (0, 0, 1, 0)}
LANGUAGE_BIAS = (0, 0, 0, 1)
SENTIMENT_WEIGHTS = {"-": (1, 0, 0), "=": (0, 1, 0), "+": (0, 0, 1)}


def graph_bytes(
    weights: Mapping[str, Sequence[int]],
    bias: Sequence[float],
    *,
    input_name: str = "codes",
    output_name: str = "probs",
    input_type: int = TensorProto.INT32,
    softmax: bool = True,
) -> bytes:
    columns = len(bias)
    rows = np.zeros((128, columns), np.int32)
    for char, row in weights.items():
        rows[ord(char)] = row
    constants = {
        "rows": rows,
        "bias": np.asarray(bias, np.float32),
        "last": np.asarray(127, np.int32),
        "axis": np.asarray([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", [input_name], ["ids"], to=TensorProto.INT32),
        helper.make_node("Min", ["ids", "last"], ["clipped"]),
        helper.make_node("Gather", ["rows", "clipped"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["sums"], keepdims=0),
        helper.make_node("Cast", ["sums"], ["logits"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["logits", "bias"], ["biased"]),
        helper.make_node("Softmax" if softmax else "Identity", ["biased"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, input_type, ["N", "L"])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["N", columns])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def write_model(
    models_dir: Path,
    *,
    name: str,
    version: str = "1",
    kind: str = "sentiment",
    graph: bytes | None = None,
    **card: Any,
) -> Entry:
    """Write a model's folder; `card` replaces keys of model.yaml, None takes a key away."""
    language = kind == "language"
    if graph is None:
        graph = graph_bytes(LANGUAGE_WEIGHTS, LANGUAGE_BIAS) if language else graph_bytes(SENTIMENT_WEIGHTS, (0, 0, 0))
    folder = models_dir / name / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    values: dict[str, Any] = {
        "name": name,
        "version": version,
        "kind": kind,
        "family": "ngram",
        "labels": list(LANGUAGE_LABELS if language else SENTIMENT_LABELS),
        "languages": ["de", "en", "tr"] if language else ["de", "en"],
        "max_chars": 50,
        "files": {"model.onnx": hashlib.sha256(graph).hexdigest()},
        "training": [{"name": "none", "source": "made by hand", "licence": "CC0-1.0", "research_only": False}],
        **card,
    }
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "model.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return Catalogue(models_dir).find(f"{name}/{version}")


def encoder_bytes(positions: int | None = None) -> bytes:
    """A graph that counts tokens: those numbered 4, 5 and 6 (`bad`, `so`, `good`) speak for its three labels.

    Args:
        positions: the most tokens that it takes; None: any number.
    """
    rows = np.zeros((16, 3), np.int32)
    rows[4:7] = np.eye(3, dtype=np.int32)
    constants = {"rows": rows, "axis": np.asarray([1], np.int64), "last": np.asarray([2], np.int64)}
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["each"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["mask"], to=TensorProto.INT32),
        helper.make_node("Mul", ["each", "mask"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "axis"], ["sums"], keepdims=0),
        helper.make_node("Cast", ["sums"], ["logits"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    if positions is not None:
        constants["table"] = np.ones((1, positions), np.int64)
        constants |= {"nought": np.asarray(0, np.int64), "one": np.asarray(1, np.int64)}
        nodes[1:2] = [
            helper.make_node("Shape", ["attention_mask"], ["length"], start=1),
            helper.make_node("Squeeze", ["length"], ["many"]),
            helper.make_node("Range", ["nought", "many", "one"], ["places"]),
            helper.make_node("Gather", ["table", "places"], ["placed"], axis=1),
            helper.make_node("Mul", ["attention_mask", "placed"], ["masked"]),
            helper.make_node("Unsqueeze", ["masked", "last"], ["column"]),
        ]
    inputs = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        nodes,
        "tiny-encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "L"]) for name in inputs],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "bad", "so", "good", "@user", "http", "day", "#", "?", "!", "a", "b", "c")


def tokenizer_json() -> str:
    """A tokenizer that knows `WORDS`, and pads and cuts by itself, as many that are published do."""
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=12)
    tokenizer.enable_truncation(5)
    return str(tokenizer.to_str())


def write_encoder(
    models_dir: Path, *, name: str = "encoder", tokenizer: str | None = None, positions: int | None = None, **card: Any
) -> Entry:
    """An encoder's folder; reads at most 8 tokens of 60 characters. `positions`: see `encoder_bytes`."""
    graph, words = encoder_bytes(positions), (tokenizer_json() if tokenizer is None else tokenizer)
    folder = models_dir / name / "1"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(words)
    files = {"model.onnx": graph, "tokenizer.json": words.encode()}
    values: dict[str, Any] = {
        "family": "encoder",
        "languages": ["en"],
        "max_chars": 60,
        "max_tokens": 8,
        "wording": "tweets",
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        **card,
    }
    return write_model(models_dir, name=name, graph=graph, **values)


def settings_with(models_dir: Path, **values: Any) -> Settings:
    """The defaults, but for the models' folder, the n-gram model as the usual one, and what is given."""
    return Settings(**{"models_dir": models_dir, "sentiment_model": "sentiment-fast", **values})
