"""Which sentiment each of a classifier's outputs stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from heartbeat.models.export.errors import ExportFailed

NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"

_SETS: Final = {2: frozenset({NEGATIVE, POSITIVE}), 3: frozenset({NEGATIVE, NEUTRAL, POSITIVE})}
_NAMES: Final = {
    NEGATIVE: NEGATIVE,
    "neg": NEGATIVE,
    NEUTRAL: NEUTRAL,
    "neu": NEUTRAL,
    "neutr": NEUTRAL,
    POSITIVE: POSITIVE,
    "pos": POSITIVE,
}
_NUMBERED: Final = re.compile(r"label[_ -]?\d+|\d+", re.IGNORECASE)


def in_order(names: Mapping[int, str], given: Sequence[str] = ()) -> list[str]:
    """The output's columns as `negative`, `neutral` (with three) and `positive`, in their order.

    Args:
        names: the model's `id2label`: column to name.
        given: what the user says the columns mean; needed where the names are LABEL_0 and the like.

    Raises:
        ExportFailed: another number of labels, names that say nothing and nothing given, or both and they contradict.
    """
    if sorted(names) != list(range(len(names))):
        raise ExportFailed(f"the model's config.json numbers its labels {sorted(names)}; they have to be 0, 1, 2 …")
    own = [str(names[column]) for column in range(len(names))]
    listed = ", ".join(own)
    if len(own) not in _SETS:
        raise ExportFailed(
            f"the model has {len(own)} label{'s' if len(own) != 1 else ''} ({listed}), but Heartbeat takes classifiers "
            "with 2 (negative, positive) or 3 (negative, neutral, positive); choose another model"
        )
    meant = [_NAMES.get(name.strip().lower()) for name in own]
    if given:
        return _agreed(own, meant, given)
    if frozenset(meant) == _SETS[len(own)]:
        return [name for name in meant if name is not None]
    why = (
        "say nothing" if all(_NUMBERED.fullmatch(name.strip()) for name in own) else "are not the ones Heartbeat knows"
    )
    example = "negative,positive" if len(own) == 2 else "negative,neutral,positive"
    raise ExportFailed(
        f"the model calls its labels {listed}, which {why}; say what they mean, in this order, with LABELS= (its page "
        f"should tell), for instance LABELS={example}"
    )


def _agreed(own: Sequence[str], meant: Sequence[str | None], given: Sequence[str]) -> list[str]:
    said = [_NAMES.get(name.strip().lower(), name.strip().lower()) for name in given]
    expected = _SETS[len(own)]
    if len(said) != len(own) or frozenset(said) != expected:
        raise ExportFailed(
            f"LABELS={','.join(given)}: the model has {len(own)} outputs ({', '.join(own)}), so that has to be "
            f"{', '.join(sorted(expected))}, each once, in the order of its outputs"
        )
    for name, reading, saying in zip(own, meant, said, strict=True):
        if reading is not None and reading != saying:
            raise ExportFailed(
                f"LABELS={','.join(given)}: calls {saying} what the model itself calls {name}; leave LABELS= out, or "
                "correct id2label in a copy of the model if it is wrong"
            )
    return said
