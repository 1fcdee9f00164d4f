"""Lists of words that are mixed with another language's are told apart again."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.training import frequencies


def zipf(words: list[str]) -> dict[str, float]:
    total = sum(1 / (rank + 10) for rank in range(len(words)))
    return {word: 1 / (rank + 10) / total for rank, word in enumerate(words)}


SHARED = [f"both{i}" for i in range(600)]
ONE = zipf([word for i in range(3000) for word in (f"one{i}", *SHARED[i : i + 1])])
OTHER = zipf([word for i in range(3000) for word in (*SHARED[i : i + 1], f"other{i}")])


def mixture(share: float) -> dict[str, float]:
    return {w: (1 - share) * ONE.get(w, 0) + share * OTHER.get(w, 0) for w in ONE.keys() | OTHER.keys()}


@given(st.floats(0.02, 0.45))
@settings(max_examples=30, deadline=None)
def test_the_share_of_another_language_is_found(share: float) -> None:
    assert frequencies.share_of(OTHER, mixture(share)) == pytest.approx(share, rel=0.01)


def test_languages_that_share_words_are_not_taken_for_mixed() -> None:
    assert frequencies.share_of(OTHER, ONE) == 0
    assert frequencies.share_of(OTHER, {}) == 0
    assert frequencies.share_of({"a": 0.5, "b": 0.5}, {"a": 1.0}) == 0  # too few words to say


@given(st.floats(0.02, 0.45))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_the_other_language_alone_goes_and_the_rest_stays(tmp_path: Path, share: float) -> None:
    words = tmp_path / "language" / "words"
    words.mkdir(parents=True, exist_ok=True)
    for lang, said in {"sr": mixture(share), "hr": OTHER}.items():
        rows = [f"{word}\t{round(frequency * 10**9)}" for word, frequency in said.items()]
        (words / f"{lang}.tsv.xz").write_bytes(lzma.compress("\n".join(rows).encode(), preset=0))
    found = frequencies.by_language(tmp_path)
    assert not any(word.startswith("other") for word in found["sr"])
    assert sum(word.startswith("one") for word in found["sr"]) == 3000
    assert found["hr"] == pytest.approx(OTHER, rel=1e-3)
    assert found["de"] == {}
