"""Which output means what."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.models.export.errors import ExportFailed
from heartbeat.models.export.labels import in_order

THREE = ("negative", "neutral", "positive")
SPELLINGS = {
    "negative": ("negative", "Negative", "NEGATIVE", "neg", "NEG", " negative "),
    "neutral": ("neutral", "Neutral", "NEU", "neu"),
    "positive": ("positive", "POSITIVE", "pos", "Pos"),
}


@settings(deadline=None)
@given(st.permutations(THREE), st.booleans(), st.data())
def test_names_in_any_order_and_spelling(order: list[str], two: bool, data: st.DataObject) -> None:
    order = [name for name in order if name != "neutral"] if two else order
    spelt = {column: data.draw(st.sampled_from(SPELLINGS[name])) for column, name in enumerate(order)}
    assert in_order(spelt) == order
    assert in_order(spelt, order) == order


@settings(deadline=None)
@given(st.permutations(THREE), st.sampled_from(["LABEL_{}", "label {}", "{}"]))
def test_numbered_labels_need_a_mapping(order: list[str], pattern: str) -> None:
    names = {column: pattern.format(column) for column in range(3)}
    assert in_order(names, order) == order
    with pytest.raises(ExportFailed, match="say nothing; say what they mean, in this order, with LABELS="):
        in_order(names)


def test_a_mapping_gives_strange_names_a_meaning() -> None:
    names = {0: "Bearish", 1: "Bullish"}
    assert in_order(names, ["negative", "positive"]) == ["negative", "positive"]
    with pytest.raises(ExportFailed, match="Bearish, Bullish, which are not the ones Heartbeat knows"):
        in_order(names)


def test_a_mapping_that_contradicts_the_model_is_refused() -> None:
    with pytest.raises(ExportFailed, match="calls positive what the model itself calls NEGATIVE"):
        in_order({0: "NEGATIVE", 1: "POSITIVE"}, ["positive", "negative"])


@pytest.mark.parametrize("count", [1, 4, 5, 28])
def test_another_number_of_labels_is_refused(count: int) -> None:
    with pytest.raises(ExportFailed, match=rf"the model has {count} labels? \(.*takes classifiers with 2 .* or 3"):
        in_order({column: f"LABEL_{column}" for column in range(count)}, THREE)


@pytest.mark.parametrize(
    "given_labels", [["negative", "positive"], ["negative"] * 3, ["bad", "neutral", "good"], [*THREE, "mixed"]]
)
def test_a_mapping_that_does_not_fit_is_refused(given_labels: list[str]) -> None:
    with pytest.raises(ExportFailed, match="has to be negative, neutral, positive, each once"):
        in_order({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, given_labels)


def test_gaps_in_the_numbering_are_refused() -> None:
    with pytest.raises(ExportFailed, match="0, 1, 2"):
        in_order({0: "negative", 2: "positive"})


def test_two_labels_with_neutral_are_not_two_sides() -> None:
    with pytest.raises(ExportFailed, match="LABELS="):
        in_order({0: "neutral", 1: "positive"})
