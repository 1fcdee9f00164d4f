"""Transformers on the CPU: as in a notebook, by a pipeline, by ONNX Runtime as it comes, and by us.

The same posts and weights in one run, for an encoder of the shipped size and one of RoBERTa-base's; weights are random,
since speed does not depend on them. `make bench-inference`; needs the export environment, for torch and transformers.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np
import yaml

from benchmarks import posts
from heartbeat.models.card import CARD, GRAPH, TOKENIZER
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.encoder import EncoderModel

ROOT: Final = Path(__file__).parents[1]
BATCH: Final = 32
MAX_TOKENS: Final = 128


class Measured(NamedTuple):
    """Posts a second over all posts; milliseconds for a lone post, median and 95th percentile."""

    posts_per_s: float
    p50_ms: float
    p95_ms: float


def measure(every: Callable[[], object], one: Callable[[str], object], texts: Sequence[str]) -> Measured:
    """Time a way of scoring; what it does first is not counted."""
    one(texts[0])
    began = time.perf_counter()
    every()
    rate = len(texts) / (time.perf_counter() - began)
    lone = []
    for text in texts[:50]:
        began = time.perf_counter()
        one(text)
        lone.append((time.perf_counter() - began) * 1000)
    return Measured(rate, statistics.median(lone), sorted(lone)[int(0.95 * len(lone))])


def sample(count: int) -> list[str]:
    """English posts, the same each time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "posts.jsonl"
        posts.write(file, 20 * count)
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    english = [row["content"] for row in rows if row.get("lang", "en") == "en" and row["content"].strip()]
    return english[:count]


def architectures() -> dict[str, Any]:
    """Classifiers of random weights, by name."""
    import torch
    import transformers

    torch.manual_seed(1)
    small = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=3
    )
    base = transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, num_labels=3, pad_token_id=1
    )
    return {
        "MiniLM-L6, the size that ships": transformers.BertForSequenceClassification(small).eval(),
        "RoBERTa-base": transformers.RobertaForSequenceClassification(base).eval(),
    }


def naive(model: Any, tokenizer: Any, texts: Sequence[str]) -> Measured:
    """A post at a time, in 32-bit floats: as one tries it in a notebook."""
    import torch

    def one(text: str) -> object:
        with torch.no_grad():
            encoded = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            encoded.pop("token_type_ids", None)
            return model(**encoded).logits.softmax(-1).numpy()

    return measure(lambda: [one(text) for text in texts], one, texts)


def pipeline(model: Any, tokenizer: Any, texts: Sequence[str]) -> Measured:
    """The pipeline of transformers, with batches."""
    import transformers

    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    run = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None)
    how: dict[str, Any] = {"truncation": True, "max_length": MAX_TOKENS}
    return measure(lambda: run(list(texts), batch_size=BATCH, **how), lambda text: run(text, **how), texts)


def padded(floats: Path, tokenizer: Any, texts: Sequence[str]) -> Measured:
    """ONNX Runtime with its own defaults, 32-bit floats, batches padded to their longest."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(floats), providers=["CPUExecutionProvider"])

    def run(some: Sequence[str]) -> object:
        encoded = tokenizer(list(some), truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="np")
        return session.run(None, {name: encoded[name].astype(np.int64) for name in ("input_ids", "attention_mask")})

    parts = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    return measure(lambda: [run(part) for part in parts], lambda text: run([text]), texts)


def ours(folder: Path, int8: Path, lanes: int, texts: Sequence[str]) -> tuple[Measured, float]:
    """The run time itself, on a folder of the catalogue; also gives tokens a post."""
    place = folder / "bench" / "1"
    place.mkdir(parents=True)
    shutil.copyfile(int8, place / GRAPH)
    shutil.copyfile(shipped_tokenizer(), place / TOKENIZER)
    card = {
        "name": "bench",
        "version": "1",
        "kind": "sentiment",
        "family": "encoder",
        "labels": ["negative", "neutral", "positive"],
        "languages": ["en"],
        "max_chars": 4000,
        "max_tokens": MAX_TOKENS,
        "files": {file: hashlib.sha256((place / file).read_bytes()).hexdigest() for file in (GRAPH, TOKENIZER)},
        "training": [{"name": "none", "source": "random", "licence": "CC0-1.0", "research_only": False}],
    }
    (place / CARD).write_text(yaml.safe_dump(card), encoding="utf-8")
    model = EncoderModel.load(Catalogue(folder).find("bench"), lanes=lanes)
    tokens = statistics.mean(len(model._tokenizer.encode(text).ids) for text in texts)
    with asyncio.Runner() as runner:
        prepared = model.prepare(texts)
        found = measure(
            lambda: runner.run(model.judge(prepared)), lambda text: runner.run(model.judge([text])), prepared
        )
        runner.run(model.close())
    return found, tokens


def shipped_tokenizer() -> Path:
    """The tokenizer of the model that ships: real words give real lengths."""
    return Catalogue(ROOT / "onnx_models").find("sentiment").tokenizer


def peak(lanes: int, int8: bool) -> float:
    """Multiplications and additions a second of this machine's own matrix products in ONNX Runtime."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    size = 1024
    kind, numbers = (TensorProto.INT8, np.int8) if int8 else (TensorProto.FLOAT, np.float32)
    out = TensorProto.INT32 if int8 else TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((size, size), numbers), "w")
    left = helper.make_tensor_value_info("x", TensorProto.UINT8 if int8 else kind, [size, size])
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if int8 else "MatMul", ["x", "w"], ["y"])],
        "peak", [left], [helper.make_tensor_value_info("y", out, [size, size])], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = lanes
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"x": np.ones((size, size), np.uint8 if int8 else np.float32)}
    best = 0.0
    for _ in range(12):
        began = time.perf_counter()
        session.run(None, given)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def main() -> None:
    """Measure everything and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1, help="posts side by side")
    given = parser.parse_args()
    from transformers import PreTrainedTokenizerFast

    from heartbeat.models.export import graph, quantise

    texts = sample(given.posts)
    int8_peak, float_peak = peak(given.lanes, True), peak(given.lanes, False)
    print(f"{len(texts)} posts, {given.lanes} threads; matrix products here: int8 {int8_peak / 1e9:,.0f}, ", end="")
    print(f"fp32 {float_peak / 1e9:,.0f} thousand million operations a second\n")
    for name, model in architectures().items():
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(shipped_tokenizer()), pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
        )
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            floats = graph.exported(SimpleNamespace(model=model), folder / "export")  # type: ignore[arg-type]
            import onnx

            onnx.save(floats, folder / "float.onnx")
            (folder / "work").mkdir()
            quantise.written(floats, "dynamic", [], folder / "work", folder / "int8.onnx")
            rows = {
                "a post at a time, transformers and torch": naive(model, tokenizer, texts),
                f"pipeline of transformers, batches of {BATCH}": pipeline(model, tokenizer, texts),
                f"ONNX Runtime fp32, padded, batches of {BATCH}": padded(folder / "float.onnx", tokenizer, texts),
            }
            rows["Heartbeat: int8, posts side by side"], tokens = ours(
                folder / "models", folder / "int8.onnx", given.lanes, texts
            )
        slowest = next(iter(rows.values())).posts_per_s
        print(f"| {name}, {tokens:.0f} tokens a post | posts/s | against the first | lone post p50, p95 ms |")
        print("|---|---|---|---|")
        for how, found in rows.items():
            ratio = found.posts_per_s / slowest
            print(f"| {how} | {found.posts_per_s:,.0f} | {ratio:.1f} | {found.p50_ms:.1f}, {found.p95_ms:.1f} |")
        inner = sum(each.numel() for part, each in model.named_parameters() if "embeddings" not in part)
        work = 2 * inner * tokens
        first, last = list(rows.values())[0], list(rows.values())[-1]
        print(f"\nof this machine's peak: torch {first.posts_per_s * work / float_peak:.0%} of fp32, ", end="")
        print(f"ours {last.posts_per_s * work / int8_peak:.0%} of int8\n", flush=True)


if __name__ == "__main__":
    main()
