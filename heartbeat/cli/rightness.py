"""How right a model is where people say what is right: shares that say how little they may mean, and by period."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

By: TypeAlias = Literal["month", "week"]
Trend: TypeAlias = Literal["worse", "better", "no difference shown", "too few to tell"]

LEAST: Final = 30
"""Of fewer posts a share says next to nothing: its interval is some 35 points wide."""
_Z: Final = 1.959963984540054
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def wilson(right: int, count: int) -> tuple[float, float] | None:
    """The 95 % interval of a share by Wilson's score, which also holds for few posts and near 0 and 1.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not count:
        return None
    share, square = right / count, _Z * _Z
    middle = share + square / (2 * count)
    reach = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    whole = 1 + square / count
    return max((middle - reach) / whole, 0.0), min((middle + reach) / whole, 1.0)


def period_of(moment_ms: int, by: By) -> str:
    """The month (2025-11) or ISO week (2025-W48) of a moment, in UTC."""
    day = _EPOCH + timedelta(milliseconds=moment_ms)
    if by == "month":
        return f"{day:%Y-%m}"
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


@dataclass(slots=True)
class Tally:
    """What a model said of posts whose label (or language) is known: how often which of which."""

    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, gold: str, said: str) -> None:
        """Count a post."""
        self.pairs[gold, said] += 1

    @property
    def count(self) -> int:
        """Posts."""
        return self.pairs.total()

    @property
    def right(self) -> int:
        """Those that the model is right on."""
        return sum(count for (gold, said), count in self.pairs.items() if gold == said)

    @property
    def recalls(self) -> dict[str, float]:
        """Of each label's posts, the share that the model calls so."""
        total: Counter[str] = Counter()
        for (gold, _), count in self.pairs.items():
            total[gold] += count
        return {gold: self.pairs[gold, gold] / total[gold] for gold in sorted(total)}

    def figures(self) -> dict[str, Any]:
        """Counts and shares; shares are None where there is nothing to take them of."""
        interval, recalls = wilson(self.right, self.count), self.recalls
        return {
            "judged": self.count,
            "right": self.right,
            "accuracy": round(self.right / self.count, 4) if self.count else None,
            "interval": [round(end, 4) for end in interval] if interval else None,
            "macro_recall": round(sum(recalls.values()) / len(recalls), 4) if recalls else None,
            "enough": self.count >= LEAST,
        }


@dataclass(slots=True)
class Rightness:
    """A model's tallies: overall, by language, and by the period in which people said what is right."""

    by: By
    overall: Tally = field(default_factory=Tally)
    languages: dict[str, Tally] = field(default_factory=dict)
    periods: dict[str, Tally] = field(default_factory=dict)

    def add(self, gold: str, said: str, *, lang: str, at_ms: int) -> None:
        """Count a post."""
        for tally in (
            self.overall,
            self.languages.setdefault(lang, Tally()),
            self.periods.setdefault(period_of(at_ms, self.by), Tally()),
        ):
            tally.add(gold, said)

    @property
    def trend(self) -> Trend:
        """Whether the model is right less often, or more, in the newest period than in all before it.

        Only where both are enough posts and their intervals have nothing in common: a cautious test.
        """
        *earlier, newest = (self.periods[name] for name in sorted(self.periods)) if self.periods else (Tally(),)
        right, count = sum(each.right for each in earlier), sum(each.count for each in earlier)
        before, now = wilson(right, count), wilson(newest.right, newest.count)
        if before is None or now is None or count < LEAST or newest.count < LEAST:
            return "too few to tell"
        if now[1] < before[0]:
            return "worse"
        return "better" if now[0] > before[1] else "no difference shown"

    def figures(self) -> dict[str, Any]:
        """Everything."""
        return {
            **self.overall.figures(),
            "recall": {label: round(recall, 4) for label, recall in self.overall.recalls.items()},
            "trend": self.trend,
            "by_language": {
                lang: tally.figures()
                for lang, tally in sorted(self.languages.items(), key=lambda item: (-item[1].count, item[0]))
            },
            "by_period": [{"period": name, **self.periods[name].figures()} for name in sorted(self.periods)],
        }
