"""An encoder's training that was interrupted ends with the weights of one that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heartbeat.training.encoder_data import Encoded, batches, padded

torch: Any = pytest.importorskip("torch")
torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine, and sums differ by their number


def texts(count: int = 90) -> Encoded:
    rng = np.random.default_rng(3)
    lengths = rng.integers(2, 12, count)
    labels = rng.integers(0, 3, count)
    # A text's first word tells its label, so that there is something to learn.
    ids = np.concatenate(
        [[1000 + label, *rng.integers(1003, 1050, n - 1)] for label, n in zip(labels, lengths, strict=True)]
    )
    return Encoded(
        ids.astype(np.int32),
        np.concatenate(([0], np.cumsum(lengths))),
        np.eye(3, dtype=np.float32)[labels],
        np.log(np.full((count, 3), 1 / 3, np.float32)),
        np.ones(count, np.float32),
        np.ones(count, np.int64),
    )


@pytest.fixture
def make() -> Any:
    from heartbeat.training.encoder_net import Encoder, Shape

    def made() -> Encoder:
        torch.manual_seed(1)
        return Encoder(Shape(1050, 16, 2, 2, 32, 16, 3), dropout=0.2)

    return made


def plan(**changes: Any) -> Any:
    from heartbeat.training.encoder_loop import Plan

    return Plan(epochs=3, batch=8, rate=3e-3, masked=0.1, every=5, check=9, seed=4)._replace(**changes)


def learn(encoder: Any, folder: Path, stop_at: int | None = None, **changes: Any) -> Any:
    from heartbeat.training.encoder_loop import train

    return train(encoder, texts(), plan(**changes), folder, lambda _: {"val": 0.5}, lambda _: None, stop_at)


@pytest.mark.parametrize("stops", [[7], [3, 17, 20]])
def test_interrupted_run_ends_with_the_same_weights(make: Any, tmp_path: Path, stops: list[int]) -> None:
    whole = learn(make(), tmp_path / "whole")
    for stop in stops:
        learn(make(), tmp_path / "pieces", stop_at=stop)
        torch.rand(100)  # what happens between two processes has no influence
    pieces = learn(make(), tmp_path / "pieces")
    assert whole.keys() == pieces.keys()
    assert all(torch.equal(part, pieces[name]) for name, part in whole.items())
    curves = [
        [{**json.loads(line), "elapsed_ms": 0} for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("whole", "pieces")
    ]
    assert curves[0] == curves[1]
    assert [line["step"] for line in curves[0]] == [9, 18, 27, 36]


def test_ended_run_is_not_made_again(make: Any, tmp_path: Path) -> None:
    first = learn(make(), tmp_path)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    encoder = make()
    again = learn(encoder, tmp_path)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before
    assert all(torch.equal(part, again[name]) for name, part in first.items())
    assert torch.equal(encoder.classifier.weight, first["classifier.weight"])


def test_half_written_checkpoint_does_no_harm(make: Any, tmp_path: Path) -> None:
    learn(make(), tmp_path, stop_at=12)
    (tmp_path / "checkpoint.new").write_bytes(b"half")
    assert learn(make(), tmp_path)


def test_other_seed_gives_other_weights(make: Any, tmp_path: Path) -> None:
    one, other = learn(make(), tmp_path / "one"), learn(make(), tmp_path / "other", seed=5)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_it_learns(make: Any, tmp_path: Path) -> None:
    from heartbeat.training.encoder_loop import answers

    encoder = make()
    learn(encoder, tmp_path, epochs=30, average=0.5)
    assert (answers(encoder, texts()).argmax(1) == texts().labels).mean() > 0.9


def test_padding_and_neighbours_change_nothing(make: Any) -> None:
    from heartbeat.training.encoder_loop import answers

    encoder, encoded = make(), texts()
    alone, together = answers(encoder, encoded, batch=1), answers(encoder, encoded, batch=64)
    assert np.abs(alone - together).max() < 0.02  # both are computed in bfloat16


def test_epoch_takes_every_text_once_in_another_order() -> None:
    encoded = texts()
    one, other = (np.concatenate(batches(encoded, 8, seed=1, epoch=epoch)) for epoch in (0, 1))
    assert sorted(one) == sorted(other) == list(range(90))
    assert list(one) != list(other)


def test_shares_take_turns() -> None:
    encoded = texts()._replace(shares=np.full(90, 3, np.int64))
    epochs = [np.concatenate(batches(encoded, 8, seed=1, epoch=epoch)) for epoch in range(3)]
    assert [len(epoch) for epoch in epochs] == [30, 30, 30]
    assert sorted(np.concatenate(epochs)) == list(range(90))


def test_padding_is_zero_in_both() -> None:
    encoded = texts()
    ids, mask = padded(encoded, np.arange(5))
    assert ids.shape == mask.shape == (5, encoded.lengths[:5].max())
    assert (mask.sum(1) == encoded.lengths[:5]).all()
    assert (ids[mask == 0] == 0).all() and (ids[mask == 1] >= 1000).all()
