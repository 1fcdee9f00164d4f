"""Loading graphs and running them: what fits, what does not, and where the work happens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from heartbeat.errors import ModelDamaged, ModelUnfit, Retry
from heartbeat.models.ngram import NgramModel
from heartbeat.models.runtime import Graph
from tests.models.tiny_models import SENTIMENT_WEIGHTS, graph_bytes, write_model


def softmax(*logits: float) -> list[float]:
    powers = np.exp(np.asarray(logits) - max(logits))
    return list(powers / powers.sum())


async def test_a_graph_answers_each_array_in_order(tmp_path: Path) -> None:
    graph = Graph(write_model(tmp_path, name="mood"))
    plus, minus = np.array([[43, 43], [61, 0]], np.int32), np.array([[45]], np.int32)
    first, second = await graph.over(graph.run, [plus, minus])
    assert first == pytest.approx(np.array([softmax(0, 0, 2), softmax(0, 1, 0)]), abs=1e-6)
    assert second == pytest.approx(np.array([softmax(1, 0, 0)]), abs=1e-6)
    graph.close()


async def test_runs_happen_in_one_thread_that_is_not_the_loop_s(tmp_path: Path) -> None:
    graph = Graph(write_model(tmp_path, name="mood"))
    threads: list[str] = []

    def noted(array: NDArray[Any]) -> NDArray[np.float32]:
        threads.append(threading.current_thread().name)
        return graph.run(array)

    await asyncio.gather(*(graph.over(noted, [np.array([[43]], np.int32)]) for _ in range(5)))
    graph.close()
    assert len(threads) == 5 and set(threads) == {"model-mood_0"}
    assert "model-mood_0" not in {thread.name for thread in threading.enumerate()}, "closing ends the thread"


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (b"rubbish", "does not load"),
        (b"", "does not load"),
        (graph_bytes(SENTIMENT_WEIGHTS, (0, 0, 0), input_name="text"), "its inputs should be codes: int32 with 2"),
        (
            graph_bytes(SENTIMENT_WEIGHTS, (0, 0, 0), input_type=TensorProto.INT64),
            "codes: int32 with 2 dimensions, and nothing else; the graph has codes: int64 with 2",
        ),
        (graph_bytes(SENTIMENT_WEIGHTS, (0, 0, 0), output_name="scores"), "its output should be probs: float32"),
        (graph_bytes({"-": (1, 0)}, (0, 0)), "with an array of 7 by 2, but its card has 3 labels"),
        (graph_bytes(SENTIMENT_WEIGHTS, (0, 0, 0), softmax=False), "no probabilities that add up to 1"),
        (graph_bytes(SENTIMENT_WEIGHTS, (0, float("nan"), 0)), "no probabilities that add up to 1"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(tmp_path: Path, graph: bytes, said: str) -> None:
    entry = write_model(tmp_path, name="mood", graph=graph)
    with pytest.raises(ModelUnfit, match=f"model mood/1 cannot be used: .*{said}"):
        NgramModel.load(entry, kind="sentiment")


def test_a_graph_that_fails_on_some_text_is_refused(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood")
    # Without its `Min` node the graph looks up characters behind the end of its table.
    import onnx

    model = onnx.load(str(entry.graph))
    clip = next(node for node in model.graph.node if node.op_type == "Min")
    model.graph.node.remove(clip)
    next(node for node in model.graph.node if node.op_type == "Gather").input[1] = clip.input[0]
    entry = write_model(tmp_path, name="mood", graph=model.SerializeToString())
    with pytest.raises(ModelUnfit, match="it fails on a trial text"):
        NgramModel.load(entry, kind="sentiment")


def test_a_model_is_refused_for_what_it_was_not_made_for(tmp_path: Path) -> None:
    with pytest.raises(ModelUnfit, match="it is a language model of the family ngram; name a sentiment model"):
        NgramModel.load(write_model(tmp_path, name="speech", kind="language"), kind="sentiment")
    with pytest.raises(ModelUnfit, match="it is a sentiment model of the family ngram; name a language model"):
        NgramModel.load(write_model(tmp_path, name="mood"), kind="language")


def test_a_damaged_file_is_noticed_before_it_is_loaded(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood", files={"model.onnx": "0" * 64})
    with pytest.raises(ModelDamaged, match="model mood/1 is damaged"):
        NgramModel.load(entry, kind="sentiment")


async def test_texts_are_cut_where_the_card_says(tmp_path: Path) -> None:
    model = NgramModel.load(write_model(tmp_path, name="mood", max_chars=3), kind="sentiment")
    rows, cut = await model.judge(model.prepare(["+++-----", "+++", "-"]))
    assert rows == pytest.approx(np.array([softmax(0, 0, 3), softmax(0, 0, 3), softmax(1, 0, 0)]), abs=1e-6)
    assert cut == [True, False, False]
    await model.close()


async def test_a_closed_model_refuses_in_a_way_that_blames_no_message(tmp_path: Path) -> None:
    model = NgramModel.load(write_model(tmp_path, name="mood"), kind="sentiment")
    await model.close()
    with pytest.raises(Retry):
        await model.probabilities(["x"])


def test_what_needs_no_model_does_not_import_the_runtime() -> None:
    program = (
        "import sys, heartbeat.models, heartbeat.models.api, heartbeat.models.catalogue, heartbeat.cli.predict;"
        "sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
