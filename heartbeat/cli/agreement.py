"""Figures of two models that judged the same posts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from heartbeat.cli.judging import Post

LEAST_BY_LANG: Final = 5
"""Languages with fewer posts are counted, but a share of so few says nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one model says of a post: the likeliest label, and the probability of each. No label: left unscored."""

    label: str | None
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """A post, its language, and both models' verdicts."""

    post: Post
    lang: str
    a: Verdict
    b: Verdict

    @property
    def apart(self) -> float:
        """How far the models are apart: the total variation distance of their probabilities, from 0 to 1."""
        labels = self.a.shares.keys() | self.b.shares.keys()
        return sum(abs(self.a.shares.get(label, 0) - self.b.shares.get(label, 0)) for label in labels) / 2


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """How the models agree, overall and by language, and how right they are where gold labels say so.

    Shares are None where there is nothing to take them of. What a model leaves unscored is wrong where there is a gold
    label, and takes no part in agreement.
    """
    both = _both(judged)
    langs = Counter(each.lang for each in judged)
    gold = [each for each in judged if each.post.label is not None]
    return {
        "posts": len(judged),
        "judged_by_a": sum(each.a.label is not None for each in judged),
        "judged_by_b": sum(each.b.label is not None for each in judged),
        "judged_by_both": len(both),
        "agreement": _share(both),
        "by_language": {
            lang: {"posts": count, "agreement": _share(_both([each for each in judged if each.lang == lang]))}
            for lang, count in langs.most_common()
            if count >= LEAST_BY_LANG
        },
        "confusion": _confusion(both),
        "gold": {"posts": len(gold), "a": _rightness(gold, "a"), "b": _rightness(gold, "b")} if gold else None,
    }


def farthest_apart(judged: Sequence[Judged], most: int) -> list[Judged]:
    """The posts of different labels that the models are farthest apart on."""
    differ = [each for each in _both(judged) if each.a.label != each.b.label]
    return sorted(differ, key=lambda each: -each.apart)[:most]


def _both(judged: Sequence[Judged]) -> list[Judged]:
    return [each for each in judged if each.a.label is not None and each.b.label is not None]


def _share(both: Sequence[Judged]) -> float | None:
    return round(sum(each.a.label == each.b.label for each in both) / len(both), 4) if both else None


def _confusion(both: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """How often A says the row's label and B the column's."""
    pairs = Counter((each.a.label, each.b.label) for each in both)
    rows: dict[str, dict[str, int]] = {}
    for (a, b), count in sorted(pairs.items(), key=lambda item: (str(item[0][0]), -item[1])):
        rows.setdefault(str(a), {})[str(b)] = count
    return rows


def _rightness(gold: Sequence[Judged], which: str) -> dict[str, float]:
    """Accuracy, and the mean over the gold labels of each one's recall."""
    right: Counter[str | None] = Counter()
    total: Counter[str | None] = Counter()
    for each in gold:
        verdict: Verdict = getattr(each, which)
        total[each.post.label] += 1
        right[each.post.label] += verdict.label == each.post.label
    recalls = {
        str(label): right[label] / count for label, count in sorted(total.items(), key=lambda item: str(item[0]))
    }
    return {
        "accuracy": round(sum(right.values()) / len(gold), 4),
        "macro_recall": round(sum(recalls.values()) / len(recalls), 4),
        **{f"recall_{label}": round(recall, 4) for label, recall in recalls.items() if len(recalls) <= 4},
    }
