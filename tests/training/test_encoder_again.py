"""Training goes on from what has been released: the weights that are read back answer as the released graph does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from heartbeat.errors import ConfigError
from heartbeat.training.encoder_by_token import by_token

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
torch.set_num_threads(1)

TEMPERATURE = 1.3


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a release writes it, of a small encoder of random weights."""
    from heartbeat.training.encoder_export import IDS, MASK, Calibration, graph
    from heartbeat.training.encoder_net import Encoder, Shape

    folder = tmp_path_factory.mktemp("released")
    torch.manual_seed(3)
    encoder = Encoder(Shape(1050, 16, 3, 2, 32, 16, 3))
    for part in encoder.parameters():
        torch.nn.init.normal_(part, std=0.3)
    whole = graph(encoder, Calibration(TEMPERATURE, np.zeros(3, np.float32)))
    ids = np.random.default_rng(1).integers(0, 1050, (30, 1, 9))
    small = by_token(whole, [{IDS: text, MASK: np.ones_like(text)} for text in ids])
    (folder / "model.onnx").write_bytes(small.SerializeToString())
    (folder / "model.yaml").write_text(yaml.safe_dump({"figures": {"temperature": TEMPERATURE}}))
    return folder


def test_weights_answer_as_the_released_graph_does(released: Path) -> None:
    from heartbeat.training import encoder_again
    from heartbeat.training.encoder_export import IDS, MASK
    from heartbeat.training.encoder_net import Encoder, Shape

    encoder = Encoder(Shape(1050, 16, 3, 2, 32, 16, 3)).eval()
    encoder.load_state_dict(encoder_again.weights(released))
    ids = np.random.default_rng(2).integers(0, 1050, (20, 9))
    mask = np.ones_like(ids)
    session: Any = onnxruntime.InferenceSession(released / "model.onnx", providers=["CPUExecutionProvider"])
    shipped = session.run(None, {IDS: ids, MASK: mask})[0]
    with torch.no_grad():
        logits = encoder(torch.from_numpy(ids), torch.from_numpy(mask))
    again = (logits / TEMPERATURE).softmax(-1).numpy()
    assert shipped.std(0).max() > 0.05
    assert np.abs(again - shipped).max() < 0.02


def test_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    from heartbeat.training import encoder_again

    with pytest.raises(ConfigError, match="make train-sentiment"):
        encoder_again.weights(tmp_path)
