"""Trains, measures and writes the `sentiment` model: `python -m heartbeat.training.encoder_train --version 1.2.0`.

Two runs learn from the labels, in different order. With `--student` a third starts from the mean of their weights and
learns from the labels and from what the two say together. Whichever answers best on tweets kept back is exported: one
of the runs, or the mean of the first two. Each run goes on where it was interrupted; runs may be made beforehand, side
by side, with `--only`.

With `--again FOLDER` one run starts from a released version instead, as a student of what that answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from heartbeat.training import (
    data,
    encoder_again,
    encoder_data,
    encoder_loop,
    encoder_net,
    encoder_release,
    encoder_start,
    measures,
)
from heartbeat.training.encoder_data import Encoded, Floats
from heartbeat.training.encoder_loop import Plan, Weights
from heartbeat.training.encoder_net import Encoder
from heartbeat.training.sentiment_texts import LABELS

RUNS: Final = ("first", "second", "student")
_TAUGHT: Final = 0.6
"""Share of the student's targets that the two first runs give; the labels give the rest."""

_MARGIN: Final = 0.003
"""A run has to be better than the mean of two by this: less is chance, and means hold up better on other texts."""


class Work(NamedTuple):
    """What all runs share.

    Attributes:
        folder: where runs are kept.
        encoded: what to learn from.
        unlabelled: what the student learns from as well; None: nothing.
        measured: sets to measure with, by name.
        plan: how to train.
        start: makes an encoder with the weights to start from, always the same.
    """

    folder: Path
    encoded: Encoded
    unlabelled: Encoded | None
    measured: dict[str, Encoded]
    plan: Plan
    start: Callable[[], Encoder]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m heartbeat.training.encoder_train", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the training data")
    parser.add_argument("--models", type=Path, default=Path("onnx_models"))
    parser.add_argument("--version", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and curves")
    parser.add_argument("--licences", choices=("all", "permissive"), default="all")
    parser.add_argument("--only", choices=RUNS, help="make this run, and export nothing; the student wants --student")
    parser.add_argument("--student", action="store_true", help="make the third run, too")
    parser.add_argument("--again", type=Path, help="folder of a released version to start from, and to learn from")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-4, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--change", action="append", default=[], help="what is new in this version")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    sets = encoder_data.sets(data.data_folder(options.data), permissive=options.licences == "permissive")
    if not (options.student or options.again):
        sets = sets._replace(unlabelled=[])
    tokenizer = encoder_start.tokenizer(encoder_start.folder() / "tokenizer.json")
    measured = {"val": sets.validation, "held_out": sets.held_out, "comments": sets.comments}

    def start() -> Encoder:
        torch.manual_seed(options.seed)
        return encoder_net.load(encoder_start.folder(), len(LABELS))

    work = Work(
        options.work,
        encoder_data.encode(sets.train, tokenizer, smoothing=0.05),
        encoder_data.encode(sets.unlabelled, tokenizer) if sets.unlabelled else None,
        {name: encoder_data.encode([texts], tokenizer) for name, texts in measured.items()},
        Plan(epochs=options.epochs, rate=options.rate, seed=options.seed),
        start,
    )
    if options.only:
        run(work, options.only)
        return
    encoder = start()
    if options.again:
        encoder.load_state_dict(again(work, encoder_again.weights(options.again)))
    else:
        encoder.load_state_dict(best(work, RUNS if options.student else RUNS[:2]))
    place = encoder_release.release(
        encoder, sets, tokenizer, options.models, options.work, options.version, {"changes": options.change}
    )
    print("written:", place)


def run(work: Work, name: str) -> Weights:
    """The averaged weights of a run; it is made, or gone on with, if it has not ended yet."""
    if name == "student":
        return _student(work, name, [run(work, teacher) for teacher in RUNS[:2]])
    plan = work.plan._replace(seed=work.plan.seed + RUNS.index(name))
    return _train(work, name, work.start(), work.encoded, plan)


def again(work: Work, released: Weights) -> Weights:
    """What answers best of a run that starts from a released version's weights, and the mean of it and these.

    The run learns from the version's answers as well as from labels.
    """
    made = _student(work, "again", [released])
    return _best(work, {"released": released, "again": made}, "mean of released and again", {"released"})


def _student(work: Work, name: str, teachers: Sequence[Weights]) -> Weights:
    plan = work.plan._replace(rate=work.plan.rate / 2, seed=work.plan.seed + len(teachers) + 1)
    return _train(work, name, _with(work, soup(teachers)), taught(work, teachers), plan)


def _train(work: Work, name: str, encoder: Encoder, encoded: Encoded, plan: Plan) -> Weights:
    place = work.folder / name

    def figures(encoder: Encoder) -> dict[str, float]:
        return {f"{name} macro recall": round(recall(encoder, part), 4) for name, part in work.measured.items()}

    return encoder_loop.train(encoder, encoded, plan, place, figures, lambda line: print(name, line, flush=True))


def best(work: Work, names: Sequence[str]) -> Weights:
    """The weights that answer best on the mean of both sets of tweets: of a run, or of the mean of the first two."""
    candidates = {name: run(work, name) for name in names}
    return _best(work, candidates, "mean of first and second")


def _best(work: Work, candidates: dict[str, Weights], mean: str, left_out: Collection[str] = ()) -> Weights:
    """Of candidates, less those left out, and the mean of the first two; the mean is given a little."""
    candidates = candidates | {mean: soup(list(candidates.values())[:2])}
    scores: dict[str, float] = {}
    for name, weights in candidates.items():
        encoder = _with(work, weights)
        tweets = [recall(encoder, work.measured[part]) for part in ("val", "held_out")]
        scores[name] = float(np.mean(tweets))
        print(f"{name}: val {tweets[0]:.4f}, held out {tweets[1]:.4f}", flush=True)
    scores[mean] += _MARGIN
    chosen = max(scores.keys() - set(left_out), key=lambda name: scores[name])
    print("chosen:", chosen, flush=True)
    return candidates[chosen]


def recall(encoder: Encoder, encoded: Encoded) -> float:
    """Macro-averaged recall, by the encoder's own answer."""
    return measures.macro_recall(encoded.labels, encoder_loop.answers(encoder, encoded).argmax(1), len(LABELS))


def soup(runs: Sequence[Weights]) -> Weights:
    """The mean of runs' weights; they began with the same."""
    return {name: torch.stack([weights[name] for weights in runs]).mean(0) for name in runs[0]}


def taught(work: Work, teachers: Sequence[Weights]) -> Encoded:
    """What to learn from, with targets that are partly what the teachers say together, or wholly without a label."""
    said = _say(work, work.encoded, teachers)
    labelled = work.encoded._replace(targets=(1 - _TAUGHT) * work.encoded.targets + _TAUGHT * said)
    if work.unlabelled is None:
        return labelled
    # They are tweets: labels have the shares that they have among the tweets with labels, which stand first.
    extra = work.unlabelled._replace(priors=np.broadcast_to(labelled.priors[0], work.unlabelled.priors.shape))
    return encoder_data.joined(labelled, extra._replace(targets=_say(work, extra, teachers)))


def _say(work: Work, encoded: Encoded, teachers: Sequence[Weights]) -> Floats:
    logits = [encoder_loop.answers(_with(work, weights), encoded) for weights in teachers]
    shares = np.exp(np.mean(logits, axis=0) + encoded.priors)
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float32)


def _with(work: Work, weights: Weights) -> Encoder:
    encoder = work.start()
    encoder.load_state_dict(weights)
    return encoder


if __name__ == "__main__":
    main()
