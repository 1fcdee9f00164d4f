"""What an encoder learns from: which texts, under which terms, and nothing that it is measured with."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from heartbeat.training import data, encoder_data
from heartbeat.training.encoder_data import Texts


class Line(NamedTuple):
    ids: list[int]


class Letters:
    """A tokenizer for which every letter is a token."""

    def encode_batch(self, texts: list[str]) -> list[Line]:
        return [Line([ord(letter) for letter in text]) for text in texts]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "sentiment/semeval2013-2016_train.tsv.xz", [f"{i % 3}\t@a{i} tweet {i}" for i in range(240)])
    write(tmp_path / "sentiment/tweeteval_val.tsv.xz", [f"{i % 3}\t@user tweet {i}" for i in range(230, 260)])
    for name in ("train", "dev"):
        write(tmp_path / f"sentiment/goemotions_{name}.tsv.xz", [f"{i % 3}\t{name} comment {i}" for i in range(60)])
    english = [f"tweets2\t@b tweet {i}" for i in range(220, 280)] + ["cv\tA sentence."]
    write(tmp_path / "language/train/en.tsv.xz", english)
    return tmp_path


def test_nothing_is_both_trained_on_and_measured_with(folder: Path) -> None:
    sets = encoder_data.sets(folder)
    measured = {*sets.held_out.texts, *sets.validation.texts}
    learned = [text for texts in (*sets.train, *sets.unlabelled) for text in texts.texts]
    assert sets.held_out.texts and not measured & set(learned)
    assert all(data.held_out(text, encoder_data.HELD_OUT_IN) for text in sets.held_out.texts)
    assert len(learned) == len(set(learned))
    assert {text for texts in sets.unlabelled for text in texts.texts} == {f"@user tweet {i}" for i in range(260, 280)}


def test_permissive_training_leaves_out_research_data(folder: Path) -> None:
    sets = encoder_data.sets(folder, permissive=True)
    assert [texts.source for texts in sets.train] == ["goemotions"]
    assert sets.unlabelled == []
    assert sets.held_out.texts and sets.validation.texts


def test_targets_and_priors_are_the_labels(folder: Path) -> None:
    groups = [
        Texts("semeval", ["ab", "c", "d", "e"], np.array([0, 1, 1, 2])),
        Texts("goemotions", ["fgh"], np.array([2])),
    ]
    encoded = encoder_data.encode(groups, Letters(), smoothing=0.03)
    assert encoded.lengths.tolist() == [2, 1, 1, 1, 3]
    assert encoded.labels.tolist() == [0, 1, 1, 2, 2]
    assert np.allclose(encoded.targets[0], [0.98, 0.01, 0.01])
    assert np.allclose(np.exp(encoded.priors).sum(1), 1)
    assert encoded.priors[0].argmax() == 1 and encoded.priors[4].argmax() == 2
    assert encoded.weights.tolist() == [1, 1, 1, 1, 0.5]
    alone = encoder_data.encode(groups[1:], Letters())
    assert alone.weights.tolist() == alone.shares.tolist() == [1]


def test_joined_are_one_after_the_other() -> None:
    parts: list[Any] = [
        encoder_data.encode([Texts("semeval", texts, np.zeros(len(texts), np.int64))], Letters())
        for texts in (["ab", "c"], ["d", "efg"])
    ]
    both = encoder_data.joined(*parts)
    ids, mask = encoder_data.padded(both, np.array([3, 0]))
    assert ids.tolist() == [[ord(letter) for letter in "efg"], [ord("a"), ord("b"), 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
