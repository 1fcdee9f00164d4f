"""Trains, measures and writes `sentiment-fast`: `python -m heartbeat.training.sentiment_fast --version 1.1.0`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from heartbeat.errors import ConfigError
from heartbeat.training import alphabet, corpus, data, features, graph, measures, package, sentiment_texts
from heartbeat.training.quantise import quantise
from heartbeat.training.sentiment_texts import LABELS, NEUTRAL, Example
from heartbeat.training.trainer import Plan, train

NAME: Final = "sentiment-fast"
_DESCRIPTION: Final = "Negative, neutral or positive by character n-grams: the model for speed and for many languages."
_PER_SET: Final = 300
_MIXED_FROM: Final = 0.40
"""See `training.mixed`: with less, every eighth subtitle with one mood would be called mixed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m heartbeat.training.sentiment_fast", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the training data")
    parser.add_argument("--models", type=Path, default=Path("onnx_models"))
    parser.add_argument("--version", required=True)
    parser.add_argument("--licences", choices=("all", "permissive"), default="all")
    parser.add_argument("--snippets", type=int, default=3_000_000)
    parser.add_argument("--bits", type=int, default=20, help="2**bits rows")
    parser.add_argument("--orders", type=int, default=6, help="longest n-gram")
    parser.add_argument("--dropout", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--change", action="append", default=[], help="what is new in this version")
    options = parser.parse_args(arguments)

    folder = data.data_folder(options.data)
    groups = sentiment_texts.groups(folder, permissive=options.licences == "permissive")
    signs = alphabet.signs()
    how = features.hashing(signs, options.orders, options.bits)
    plan = Plan(len(LABELS), len(LABELS), options.snippets, rate=0.4, dropout=options.dropout, seed=options.seed)
    model = train(corpus.build(groups, signs), signs, how, plan, lambda line: print(line, flush=True))
    weights = quantise(model, NEUTRAL)
    sets = measuring_sets(folder)
    temperature = fit_temperature(package.Classifier(graph.build(signs, how, weights)), sets)
    exported = graph.build(signs, how, weights, temperature)
    figures = measure(package.Classifier(exported), sets)
    print("\n".join(f"{name:34} {value}" for name, value in figures.items()))
    card: dict[str, Any] = {
        "name": NAME,
        "version": options.version,
        "kind": "sentiment",
        "family": "ngram",
        "description": _DESCRIPTION,
        "licence": "Apache-2.0; trained on texts under the terms below",
        "labels": list(LABELS),
        "languages": sentiment_texts.languages(folder),
        "input": {"name": "codes", "type": "int32", "shape": ["N", "L"]},
        "output": {"name": "probs", "type": "float32", "shape": ["N", len(LABELS)]},
        "mixed_from": _MIXED_FROM,
        "training": package.sources(package.texts_used(groups)),
        "figures": figures,
        "changes": options.change,
    }
    print("written:", package.write(options.models, exported, card))


def measuring_sets(folder: Path) -> dict[str, list[Example]]:
    """Texts that were not trained on: tweets, Reddit comments, subtitles, and statements that ought to be neutral."""
    xed = [example for example in sentiment_texts.examples(folder, "xed") if data.held_out(example.text)]
    neutral: list[Example] = []
    for lang in sentiment_texts.languages(folder):
        for source, texts in sentiment_texts.statements(folder, lang).items():
            kept = [text for text in texts if data.held_out(text)][:_PER_SET]
            neutral += [Example(source, lang, NEUTRAL, text) for text in kept]
    return {
        "tweets": sentiment_texts.examples(folder, "tweeteval-val"),
        "comments": sentiment_texts.examples(folder, "goemotions-dev"),
        "subtitles": xed,
        "statements": neutral,
    }


def fit_temperature(classify: package.Classifier, sets: Mapping[str, Sequence[Example]]) -> float:
    """One temperature over all sets."""
    rows = [example for examples in sets.values() for example in examples]
    return measures.best_temperature(classify([row.text for row in rows]), _labels(rows))


def measure(classify: package.Classifier, sets: Mapping[str, Sequence[Example]]) -> dict[str, Any]:
    """Macro recall of every set, of subtitles by language (two or three labels), share of statements seen neutral."""
    figures: dict[str, Any] = {}
    by_language: dict[str, dict[str, float]] = {}
    everything: list[tuple[measures.Probabilities, measures.Labels]] = []
    for name, rows in sets.items():
        answers, labels = classify([row.text for row in rows]), _labels(rows)
        predicted = answers.argmax(1)
        everything.append((answers, labels))
        langs = np.array([row.lang for row in rows])
        for lang in sorted(set(langs.tolist())):
            chosen = langs == lang
            recall = measures.macro_recall(labels[chosen], predicted[chosen], len(LABELS))
            by_language.setdefault(lang, {})[name] = round(recall, 3)
        recalls = [values[name] for values in by_language.values() if name in values]
        figures[name] = round(float(np.mean(recalls)), 4)
        if name == "statements":
            figures["statements, weakest language"] = min(recalls)
    answers = np.concatenate([part for part, _ in everything])
    labels = np.concatenate([part for _, part in everything])
    figures["calibration error"] = round(measures.calibration_error(answers, labels), 4)
    tweets, tweet_labels = everything[0]
    figures["calibration error, tweets"] = round(measures.calibration_error(tweets, tweet_labels), 4)
    figures["by language"] = by_language
    return figures


def _labels(rows: Sequence[Example]) -> measures.Labels:
    return np.array([row.label for row in rows], np.int64)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        raise SystemExit(f"Error: {error}") from None
