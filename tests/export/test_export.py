"""Whole exports with the real toolchain, of small models with random weights, held against transformers.

What was exported is read here with the run time's own `tokenizers` and ONNX Runtime, which are other versions than the
export environment's.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from heartbeat.feeds import demo
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.encoder import EncoderModel
from heartbeat.models.export.odd import ODD_TEXTS
from heartbeat.models.export.wording import prepare
from tests.export.conftest import Toolchain

POSTS = [line.content for line in demo.script() if line.lang == "en"]
LABELS = {
    "roberta": ["negative", "neutral", "positive"],
    "xlm-roberta": ["positive", "negative", "neutral"],
    "bert": ["neutral", "positive", "negative"],
    "distilbert": ["positive", "negative"],
}
EXPORTS = [
    ("roberta", "weights"),
    ("roberta", "dynamic"),
    ("roberta", "static"),
    ("roberta", "none"),
    ("xlm-roberta", "weights"),
    ("bert", "dynamic"),
    ("distilbert", "static"),
]


@dataclass(frozen=True)
class Exported:
    """One that succeeded: its place in the catalogue, its original, and what transformers says of `texts`."""

    entry: Entry
    original: Path
    texts: list[str]
    answer: dict[str, Any]


@pytest.fixture(scope="module", params=EXPORTS, ids="-".join)
def exported(
    request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    architecture, quantize = request.param
    models_dir = tmp_path_factory.mktemp("models")
    original = toolchain.originals / architecture
    mapping = ["--labels", ",".join(LABELS[architecture])] if architecture == "bert" else []
    # random weights are less sure of themselves than trained ones: what a step of rounding may turn over is more
    done = toolchain.export(
        original, "--quantize", quantize, "--models-dir", models_dir, "--name", "tiny", "--agreement", "0.9", *mapping
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{models_dir / 'tiny' / '1'}\n"
    assert "heartbeat models use tiny" in done.stderr
    assert [path.name for path in models_dir.iterdir()] == ["tiny"]
    entry = Catalogue(models_dir).find("tiny")
    card = entry.card
    texts = [prepare(text, "tweets", card.max_chars) for text in (*POSTS, *ODD_TEXTS)]
    assert card.max_tokens is not None
    return Exported(entry, original, texts, toolchain.ask_original(original, texts, card.max_tokens))


def test_the_folder_is_what_the_catalogue_wants(exported: Exported) -> None:
    entry = exported.entry
    entry.verify()
    card = entry.card
    assert {file.name for file in entry.folder.iterdir()} == {"model.onnx", "model.yaml", "tokenizer.json"}
    assert card.labels == LABELS[exported.original.name]
    assert (card.languages, card.licence, card.wording) == (["en"], "cc-by-4.0", "tweets")
    assert card.max_tokens == (96 if exported.original.name == "bert" else 128)
    sizes: Any = card.figures["bytes"]
    assert sizes["model.onnx"] == entry.graph.stat().st_size
    agreement: Any = card.figures["agreement"]
    assert agreement["posts"] >= 50
    assert agreement["same_label"] >= 0.9
    assert str(exported.original.parent) not in (entry.folder / "model.yaml").read_text(encoding="utf-8")


def test_the_graph_keeps_the_contract(exported: Exported) -> None:
    session = onnxruntime.InferenceSession(str(exported.entry.graph), providers=["CPUExecutionProvider"])
    assert {(given.name, given.type, len(given.shape)) for given in session.get_inputs()} == {
        ("input_ids", "tensor(int64)", 2),
        ("attention_mask", "tensor(int64)", 2),
    }
    assert [(given.name, given.type) for given in session.get_outputs()] == [("probabilities", "tensor(float)")]


def test_tokens_are_those_of_transformers_whatever_the_text(exported: Exported) -> None:
    content = json.loads(exported.entry.tokenizer.read_text(encoding="utf-8"))
    assert content["padding"] is content["truncation"] is None
    tokenizer = Tokenizer.from_file(str(exported.entry.tokenizer))
    tokenizer.enable_truncation(exported.entry.card.max_tokens or 0)
    for text, expected in zip(exported.texts, exported.answer["ids"], strict=True):
        assert tokenizer.encode(text).ids == expected, ascii(text[:60])
    assert max(map(len, exported.answer["ids"])) == exported.entry.card.max_tokens


async def test_heartbeat_says_what_the_original_says(exported: Exported) -> None:
    model = EncoderModel.load(exported.entry)
    try:
        rows = (await model.judge(exported.texts)).rows
        one_by_one = np.concatenate([(await model.judge([text])).rows for text in exported.texts])
    finally:
        await model.close()
    expected = np.asarray(exported.answer["probabilities"], np.float32)
    np.testing.assert_array_equal(rows, one_by_one)  # neighbours change nothing
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    same = (rows.argmax(axis=1) == expected.argmax(axis=1))[: len(POSTS)].mean()
    if "32-bit floats" in exported.entry.card.description:
        np.testing.assert_allclose(rows, expected, atol=1e-4)
        assert same == 1
    else:
        assert same >= 0.9
        assert np.abs(rows - expected)[: len(POSTS)].mean() < 0.05


@pytest.fixture
def copy(toolchain: Toolchain, tmp_path: Path) -> Path:
    """The small RoBERTa, to be spoilt."""
    return Path(shutil.copytree(toolchain.originals / "roberta", tmp_path / "copy"))


def refused(toolchain: Toolchain, tmp_path: Path, *arguments: object, **environment: str) -> str:
    """The message of an export that is refused; nothing is written."""
    models_dir = tmp_path / "models"
    done = toolchain.export(*arguments, "--models-dir", models_dir, **environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not models_dir.exists() or list(models_dir.iterdir()) == []
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("Error: ")
    return told


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_no_network(toolchain: Toolchain, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}):
        told = refused(toolchain, tmp_path, "owner/some-model", HF_HOME=cache, **environment)
        assert "MODEL=owner/some-model: the Hugging Face hub cannot be reached" in told
        assert "name their folder" in told


def test_wrong_label_count(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    change(copy / "config.json", id2label={str(n): f"{n + 1} stars" for n in range(5)}, label2id={})
    told = refused(toolchain, tmp_path, copy)
    assert "the model has 5 labels (1 stars, 2 stars, 3 stars, 4 stars, 5 stars), but Heartbeat takes" in told
    change(copy / "config.json", id2label={"0": "negative", "1": "positive"})
    assert "its weights cannot be loaded" in refused(toolchain, tmp_path, copy)


def test_missing_tokenizer(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    (copy / "merges.txt").unlink()
    told = refused(toolchain, tmp_path, copy)
    assert "copy has no tokenizer (tokenizer.json or vocab.txt or vocab.json with merges.txt" in told


def test_only_a_slow_tokenizer(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    change(copy / "tokenizer_config.json", tokenizer_class="BertweetTokenizer")
    (copy / "vocab.txt").write_text("hello 5\nworld 4\n", encoding="utf-8")
    (copy / "bpe.codes").write_text("h e 5\n", encoding="utf-8")
    told = refused(toolchain, tmp_path, copy)
    assert "has a slow tokenizer only (BertweetTokenizer" in told


def test_no_trained_classifier(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    change(copy / "config.json", architectures=["RobertaForMaskedLM"])
    assert "copy is no sequence classifier (its config.json says RobertaForMaskedLM)" in refused(
        toolchain, tmp_path, copy
    )


def test_another_architecture(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    change(copy / "config.json", model_type="gpt2", architectures=["GPT2ForSequenceClassification"])
    assert "is a gpt2 model; what can be exported is bert, distilbert, roberta and xlm-roberta" in refused(
        toolchain, tmp_path, copy
    )


def test_damaged_weights(toolchain: Toolchain, copy: Path, tmp_path: Path) -> None:
    weights = copy / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "copy: its weights cannot be loaded" in refused(toolchain, tmp_path, copy)


def test_too_little_agreement(toolchain: Toolchain, tmp_path: Path) -> None:
    told = refused(
        toolchain,
        tmp_path,
        toolchain.originals / "roberta",
        *("--quantize", "dynamic", "--agreement", "1", "--posts", posts_file(tmp_path)),
    )
    assert "posts another label than the original" in told
    assert "say QUANTIZE=weights or QUANTIZE=none" in told


def posts_file(tmp_path: Path) -> Path:
    """Many short posts, some of which a random model is in two minds about."""
    words = sorted({word for post in POSTS for word in post.split()})
    file = tmp_path / "posts.txt"
    file.write_text("\n".join(f"{a} {b}" for a in words[:200] for b in words[::200][:5]), encoding="utf-8")
    return file


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(how: signal.Signals, toolchain: Toolchain, tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    command = toolchain.command(
        "-m", "heartbeat.models.export", toolchain.originals / "roberta", "--models-dir", models_dir
    )
    # whoever runs these tests in the background has the shell make their children deaf to SIGINT
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=toolchain.environment(), stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("asking the original"):
                break
        process.send_signal(how)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    assert Catalogue(models_dir).list() == []
    if how is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert rest.strip() == "Stopped; nothing was written."
        assert list(models_dir.iterdir()) == []


def test_the_run_time_needs_none_of_the_toolchain() -> None:
    """These tests run where neither is installed, or they would prove less than they say."""
    for name in ("torch", "transformers", "optimum"):
        assert importlib.util.find_spec(name) is None
