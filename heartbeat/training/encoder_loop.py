"""Trains an encoder, and goes on where it was interrupted.

Everything random is a function of the seed and of the step, or comes from PyTorch's generator, whose state is kept in
the checkpoint: a run that was interrupted ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from heartbeat.training.encoder_data import Encoded, Floats, batches, padded
from heartbeat.training.encoder_net import Encoder

CHECKPOINT: Final = "checkpoint.pt"
CURVE: Final = "curve.jsonl"
Weights = dict[str, Tensor]

_MASK: Final = 103
_FIRST_WORD: Final = 999
"""Tokens from here on are words or pieces of words, in the vocabulary of BERT."""
_WARM_UP: Final = 0.06
_AVERAGED_EVERY: Final = 5
_FRESH_RATE: Final = 2.0
"""The parts that begin at random learn so many times faster."""


class Plan(NamedTuple):
    """How to train.

    Attributes:
        epochs: how many.
        batch: texts in a batch.
        rate: highest learning rate, of the last layer; it rises for 6 % of the steps, then falls linearly to 0.
        layer_decay: a layer's rate, as a share of that of the layer above it.
        weight_decay: of AdamW.
        masked: share of words that are hidden while training.
        average: how much of the averaged weights is kept every five steps.
        every: steps between checkpoints.
        check: steps between measurements.
        seed: of order, dropout and masking.
    """

    epochs: int = 2
    batch: int = 48
    rate: float = 1e-4
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    masked: float = 0.06
    average: float = 0.985
    every: int = 200
    check: int = 400
    seed: int = 7


def train(
    encoder: Encoder,
    encoded: Encoded,
    plan: Plan,
    folder: Path,
    measure: Callable[[Encoder], dict[str, float]],
    report: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Weights:
    """Train from the checkpoint in `folder`, or from the start; returns the averaged weights.

    Args:
        encoder: with the weights to start from; afterwards it has the averaged ones.
        encoded: what to learn from.
        plan: how.
        folder: where the checkpoint and the curve are kept; made if need be.
        measure: figures of an encoder, for the curve.
        report: is told each line of the curve.
        stop_at: end after so many steps, as if interrupted there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    per_epoch = len(batches(encoded, plan.batch, plan.seed, 0))
    steps = plan.epochs * per_epoch
    torch.manual_seed(plan.seed)
    optimizer = torch.optim.AdamW(groups(encoder, plan), lr=plan.rate, fused=True)
    averaged: Weights = {name: part.detach().clone() for name, part in encoder.named_parameters()}
    state: dict[str, Any] = {"step": 0, "losses": []}
    if (folder / CHECKPOINT).exists():
        state = torch.load(folder / CHECKPOINT, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        optimizer.load_state_dict(state["optimizer"])
        averaged = state["averaged"]
        torch.set_rng_state(state["random"])
    losses: list[float] = state["losses"]
    _cut_curve(folder / CURVE, state["step"])
    began = time.monotonic()
    for step, which in _from(state["step"], steps, encoded, plan, per_epoch):
        if step == stop_at:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share_of_rate(step, steps)
        losses.append(_learn(encoder, optimizer, encoded, which, plan.masked))
        done = step + 1
        if done % _AVERAGED_EVERY == 0 or done == steps:
            # Few steps are behind it at first: then it forgets faster.
            kept = min(plan.average, done / (done + 10 * _AVERAGED_EVERY))
            _average(averaged, encoder, kept)
        if done % plan.check == 0 or done == steps:
            line = {"step": done, "of": steps, "loss": round(float(np.mean(losses)), 4)}
            line |= {"lr": float(f"{plan.rate * share_of_rate(step, steps):.3g}")}
            line |= _measured(encoder, averaged, measure)
            line |= {"elapsed_ms": round((time.monotonic() - began) * 1000)}
            losses.clear()
            with (folder / CURVE).open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            report(json.dumps(line))
        if done % plan.every == 0 or done == steps:
            _save(folder / CHECKPOINT, encoder, optimizer, averaged, done, losses)
    encoder.load_state_dict(averaged)
    return averaged


def groups(encoder: Encoder, plan: Plan) -> list[dict[str, Any]]:
    """AdamW's parameter groups: a rate for each layer; biases and norms do not decay."""
    found: dict[tuple[float, float], list[Tensor]] = {}
    for name, part in encoder.named_parameters():
        below = len(encoder.layers)
        if name.startswith("layers."):
            below -= 1 + int(name.split(".")[1])
        share = _FRESH_RATE if name.startswith(("pooler", "classifier")) else plan.layer_decay**below
        decay = 0.0 if part.ndim == 1 else plan.weight_decay
        found.setdefault((share, decay), []).append(part)
    return [
        {"params": parts, "initial_lr": plan.rate * share, "lr": plan.rate * share, "weight_decay": decay}
        for (share, decay), parts in found.items()
    ]


def share_of_rate(step: int, steps: int) -> float:
    """Share of the highest rate that step `step` of `steps` has."""
    warm = max(1.0, _WARM_UP * steps)
    return min((step + 1) / warm, (steps - step) / max(1.0, steps - warm))


def answers(encoder: Encoder, encoded: Encoded, batch: int = 64) -> Floats:
    """Logits float32 [T, labels] of all texts, in order."""
    was = encoder.training
    encoder.eval()
    order = np.argsort(encoded.lengths, kind="stable")
    found = np.empty((len(order), encoder.shape.labels), np.float32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, len(order), batch):
            which = order[start : start + batch]
            ids, mask = padded(encoded, which)
            found[which] = encoder(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()
    encoder.train(was)
    return found


def _from(first: int, steps: int, encoded: Encoded, plan: Plan, per_epoch: int) -> Iterator[tuple[int, Any]]:
    epoch, found = -1, batches(encoded, plan.batch, plan.seed, 0)
    for step in range(first, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            found = batches(encoded, plan.batch, plan.seed, epoch)
        yield step, found[min(step % per_epoch, len(found) - 1)]


def _learn(encoder: Encoder, optimizer: Any, encoded: Encoded, which: Any, masked: float) -> float:
    encoder.train()
    numbers, there = padded(encoded, which)
    ids, mask = torch.from_numpy(numbers), torch.from_numpy(there)
    hidden = (torch.rand(ids.shape) < masked) & (ids >= _FIRST_WORD)
    ids = ids.masked_fill(hidden, _MASK)
    targets, priors, weights = (
        torch.from_numpy(part[which]) for part in (encoded.targets, encoded.priors, encoded.weights)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = encoder(ids, mask).float()
    # The labels' shares are added here and not learned: the encoder's own answer takes all labels for equally likely.
    loss = -(targets * functional.log_softmax(logits + priors, 1)).sum(1)
    loss = (loss * weights).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _average(averaged: Weights, encoder: Encoder, kept: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.values()), [part.detach() for part in encoder.parameters()], 1 - kept)


def _measured(encoder: Encoder, averaged: Weights, measure: Callable[[Encoder], dict[str, float]]) -> dict[str, float]:
    own = {name: part.detach().clone() for name, part in encoder.named_parameters()}
    encoder.load_state_dict(averaged)
    figures = measure(encoder)
    encoder.load_state_dict(own)
    return figures


def _save(path: Path, encoder: Encoder, optimizer: Any, averaged: Weights, step: int, losses: list[float]) -> None:
    """Write a checkpoint beside the old one, and put it in its place when it is whole."""
    beside = path.with_suffix(".new")
    state = {
        "step": step,
        "losses": losses,
        "encoder": encoder.state_dict(),
        "optimizer": optimizer.state_dict(),
        "averaged": averaged,
        "random": torch.get_rng_state(),
    }
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _cut_curve(path: Path, step: int) -> None:
    """Forget the curve after the checkpoint: those steps are done again."""
    if path.exists():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
