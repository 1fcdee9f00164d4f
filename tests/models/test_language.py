"""The language of texts, with a model that can be reckoned by hand."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.errors import ModelDamaged
from heartbeat.models import load_identifier
from heartbeat.models.api import LanguageGuess, LanguageIdentifier
from heartbeat.models.language import NgramLanguageIdentifier
from heartbeat.models.ngram import NgramModel
from tests.models.tiny_models import settings_with, write_model


@pytest.fixture
async def identifier(tmp_path: Path) -> AsyncIterator[NgramLanguageIdentifier]:
    write_model(tmp_path, name="language", kind="language")
    made = load_identifier(settings_with(tmp_path))
    yield made
    await made.close()


def certainty(logit: int) -> float:
    """Of a label with this logit beside `und` with 1 and two with 0."""
    return math.exp(logit) / (math.exp(logit) + math.exp(1) + 2)


async def test_one_guess_for_each_text_in_order(identifier: NgramLanguageIdentifier) -> None:
    keeps_the_contract: LanguageIdentifier = identifier
    guesses = await keeps_the_contract.identify(["ddd", "", "t", "https://example.org @you", "ee", "  \n"])
    assert [guess.lang for guess in guesses] == ["de", "und", "tr", "und", "en", "und"]
    assert {guess.model for guess in guesses} == {"language/1"} == {identifier.model}
    assert guesses[0].confidence == pytest.approx(certainty(3), abs=1e-6)
    assert guesses[4].confidence == pytest.approx(certainty(2), abs=1e-6)
    assert guesses[1] == guesses[3] == guesses[5] == LanguageGuess("und", 1.0, "language/1")


async def test_what_speaks_no_language_is_und_with_the_model_s_own_doubt(identifier: NgramLanguageIdentifier) -> None:
    (guess,) = await identifier.identify(["🎉🎉"])
    assert guess.lang == "und" and guess.confidence == pytest.approx(math.e / (math.e + 3), abs=1e-6)


async def test_nothing_in_nothing_out(identifier: NgramLanguageIdentifier) -> None:
    assert await identifier.identify([]) == []
    assert [guess.lang for guess in await identifier.identify(["", " "])] == ["und", "und"]


async def test_types_are_plain(identifier: NgramLanguageIdentifier) -> None:
    (guess,) = await identifier.identify(["d"])
    assert type(guess.lang) is str and type(guess.confidence) is float and 0 <= guess.confidence <= 1
    assert guess.confidence == round(guess.confidence, 6)


async def test_lone_surrogates_and_nul_are_texts_too(identifier: NgramLanguageIdentifier) -> None:
    guesses = await identifier.identify(["\ud800dd", "\0", "dd\0\0", "\U0010ffff"])
    assert [guess.lang for guess in guesses] == ["de", "und", "de", "und"]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text("det +🎉", max_size=30), max_size=25))
def test_a_guess_does_not_depend_on_its_neighbours(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    import asyncio

    folder = tmp_path_factory.getbasetemp() / "neighbours"
    entry = write_model(folder, name="language", kind="language")

    async def main() -> None:
        identifier = NgramLanguageIdentifier(NgramModel.load(entry, kind="language"))
        together = await identifier.identify(texts)
        alone = [(await identifier.identify([text]))[0] for text in texts]
        await identifier.close()
        assert together == alone

    asyncio.run(main())


def test_a_damaged_model_stops_the_start(tmp_path: Path) -> None:
    write_model(tmp_path, name="language", kind="language").graph.write_bytes(b"x")
    with pytest.raises(ModelDamaged, match="model language/1 is damaged"):
        load_identifier(settings_with(tmp_path))
