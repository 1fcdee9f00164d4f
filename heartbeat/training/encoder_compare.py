"""Compares ways of putting an encoder's weights into eight bits, for one float graph.

`python -m heartbeat.training.encoder_compare --graph WORK/float.onnx` prints, for each way: the file's size, how often
it gives the float graph's label, how often a group gives the label that a text alone gets, macro recall, and posts a
second alone and in groups of eight, with one thread and with two. Speeds are ratios to the float graph's in the same
run, too: machines and what else they do differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import onnx
from onnxruntime.quantization import CalibrationMethod

from heartbeat.training import data, encoder_by_token, encoder_data, encoder_int8, encoder_measure, encoder_start
from heartbeat.training.encoder_data import Encoded
from heartbeat.training.encoder_measure import Scorer

_CALIBRATED_ON: Final = 400
_TIMED: Final = 400
_GROUP: Final = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m heartbeat.training.encoder_compare", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the training data")
    parser.add_argument("--graph", type=Path, required=True, help="the float graph, as training leaves it")
    parser.add_argument("--texts", type=int, default=6000, help="how many tweets, at most")
    parser.add_argument("--only", action="append", default=[], help="a way to compare; may be given again")
    parser.add_argument("--write", type=Path, help="folder to leave each way's graph in")
    options = parser.parse_args(arguments)

    sets = encoder_data.sets(data.data_folder(options.data))
    tokenizer = encoder_start.tokenizer(encoder_start.folder() / "tokenizer.json")
    measured = encoder_data.encode([sets.validation, sets.held_out], tokenizer)
    measured = first(measured, options.texts)
    calibration = encoder_data.encode([sets.train[0]], tokenizer)
    model = onnx.load(options.graph)
    reference = Scorer(model).alone(measured)
    print(
        f"{'way':34} {'MB':>5} {'as float':>8} {'as alone':>8} {'recall':>7}   posts/s: 1 and 8 a run, 1 and 2 threads"
    )
    for name, make in ways(model, calibration).items():
        if options.only and name not in options.only:
            continue
        made = make()
        if options.write:
            options.write.mkdir(parents=True, exist_ok=True)
            onnx.save(made, options.write / f"{name.replace(' ', '-')}.onnx")
        alone, grouped = Scorer(made).alone(measured), Scorer(made).grouped(measured, _GROUP)
        recall = encoder_measure.figures(alone, measured.labels)["macro recall"]
        speeds = " ".join(f"{speed:6.0f}" for speed in timed(made, first(measured, _TIMED)))
        print(
            f"{name:34} {made.ByteSize() / 1e6:5.1f} {encoder_measure.agreement(alone, reference):8.4f} "
            f"{encoder_measure.agreement(grouped, alone):8.4f} {recall:7.4f}   {speeds}",
            flush=True,
        )


def ways(model: onnx.ModelProto, calibration: Encoded) -> dict[str, Callable[[], onnx.ModelProto]]:
    """Ways by name, the float graph first; `calibration` is what static ranges are found on."""
    feeds = encoder_int8.feeds(calibration, _CALIBRATED_ON)
    return {
        "float": lambda: model,
        "dynamic reduced": lambda: encoder_int8.dynamic(model, reduce_range=True),
        "dynamic full": lambda: encoder_int8.dynamic(model, reduce_range=False),
        "by token": lambda: encoder_by_token.by_token(model),
        "by token evened": lambda: encoder_by_token.by_token(model, feeds, made_up=False),
        "by token evened and made up": lambda: encoder_by_token.by_token(model, feeds),
        "static reduced": lambda: encoder_int8.static(model, feeds, reduce_range=True),
        "static full": lambda: encoder_int8.static(model, feeds, reduce_range=False),
        "static reduced percentile": lambda: encoder_int8.static(
            model, feeds, method=CalibrationMethod.Percentile, reduce_range=True
        ),
        "weights only 128": lambda: encoder_int8.weights_only(model, block=128),
        "weights only 128 in float": lambda: encoder_int8.weights_only(model, block=128, accuracy_level=1),
    }


def timed(model: onnx.ModelProto, texts: Encoded) -> list[float]:
    """Texts a second: alone and in groups with one thread, then with two; the better of two turns each."""
    found = []
    for threads in (1, 2):
        scorer = Scorer(model, threads)
        found.append(max(scorer.alone(texts).per_second for _ in range(2)))
        found.append(max(scorer.grouped(texts, _GROUP).per_second for _ in range(2)))
    return found


def first(encoded: Encoded, count: int) -> Encoded:
    """The first `count` texts."""
    count = min(count, len(encoded.labels))
    parts = {name: getattr(encoded, name)[:count] for name in encoded._fields}
    offsets = encoded.offsets[: count + 1]
    return Encoded(**{**parts, "offsets": offsets, "ids": encoded.ids[: offsets[-1]]})


if __name__ == "__main__":
    main()
