"""Which texts are trained on: sources, terms, scripts, and what is kept back or thrown out."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from heartbeat.errors import ConfigError
from heartbeat.models.card import Source
from heartbeat.training import (
    alphabet,
    cleaning,
    corpus,
    data,
    features,
    language_sets,
    language_texts,
    package,
    sentiment_texts,
    serbian,
    trainer,
)
from heartbeat.training.corpus import WORDS, Texts
from heartbeat.training.trainer import Plan


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for lang in data.LANGUAGES:
        lines = [f"cv\t{lang} sentence {i} @who https://x.example/y" for i in range(20)]
        write(tmp_path / f"language/train/{lang}.tsv.xz", [*lines, f"dsl\t{lang} news", f"cv\t{lang} sentence 1"])
    write(tmp_path / "language/words/en.tsv.xz", ["the\t900", "house\t90", "i\t50"])
    write(tmp_path / "language/words/da.tsv.xz", ["the\t9", "huset\t900"])
    write(tmp_path / "language/other.tsv.xz", [f"lv\tteikums {i}" for i in range(50)])
    moods = [f"{i % 3}\tmood {i}" for i in range(90)]
    for name in ("semeval2013-2016_train", "goemotions_train", "goemotions_dev", "tweeteval_val"):
        write(tmp_path / f"sentiment/{name}.tsv.xz", moods)
    write(
        tmp_path / "sentiment/xed_train.tsv.xz", [f"{'no' if i % 2 else 'de'}\t{i % 3}\tlinje {i}" for i in range(90)]
    )
    return tmp_path


def test_texts_are_prepared_and_stand_once(folder: Path) -> None:
    found = data.texts_by_source(folder, "de")
    assert found["cv"][:2] == ["de sentence 0", "de sentence 1"]
    assert len(found["cv"]) == 20


def test_every_language_and_unknown_are_trained_on(folder: Path) -> None:
    groups = language_texts.groups(folder)
    assert {group.label for group in groups} == set(range(len(language_texts.LABELS)))
    serbian_label = language_texts.LABELS.index("sr")  # its texts are written anew in either script
    used = [
        text
        for group in groups
        if group.source not in ("words", "noise", "own") and group.label != serbian_label
        for text in group.texts
    ]
    assert used and not any(data.held_out(text) for text in used)


def test_the_declaration_is_learned_in_every_language_and_as_much_of_each_unknown_one(folder: Path) -> None:
    declared = {
        "de": [f"Satz {i} der Erklärung" for i in range(40)],
        "war": [f"pulong {i} han pag-asoy" for i in range(40)],
        "und/ceb": [f"pulong {i} sa pamahayag" for i in range(40)],
        "und/tha": [f"ข้อ{i}ของปฏิญญา" for i in range(80)],
    }
    found = [g for g in language_texts.groups(folder, declared=declared) if g.source == "udhr"]
    by_text = {group.texts[0].split()[0][:3]: group for group in found}
    assert {language_texts.LABELS[group.label] for group in found} == {"de", "war", "und"}
    assert by_text["pul"].label != by_text["Sat"].label
    unknown = [group for group in found if language_texts.LABELS[group.label] == "und"]
    assert unknown[0].weight == unknown[1].weight
    assert {group.pieces for group in unknown} == {corpus.WORDS, corpus.CHARACTERS}  # Thai has no spaces
    kept = [text for group in found for text in group.texts]
    back = [text for _, text in language_sets.sets(folder, declared)["declaration-unknown"]]
    assert back and not set(kept) & set(back)
    assert set(declared["und/ceb"]) <= set(kept) | set(back)


def test_a_word_is_drawn_for_the_language_that_says_it(folder: Path) -> None:
    def weight(lang: str, word: str) -> float:
        (group,) = (
            group
            for group in language_texts.groups(folder)
            if group.source == "words" and language_texts.LABELS[group.label] == lang
        )
        assert group.shares is not None
        return float(group.weight * group.shares[list(group.texts).index(word)] / group.shares.sum())

    assert weight("en", "the") > 20 * weight("da", "the")
    assert weight("en", "house") > weight("en", "the") / 10


def test_permissive_training_leaves_out_research_data(folder: Path) -> None:
    for groups in (language_texts.groups(folder, permissive=True), sentiment_texts.groups(folder, permissive=True)):
        sources = {group.source for group in groups} - {data.MADE_UP}
        assert sources
        assert not any(data.terms_of(source).research_only for source in sources)


def test_every_source_has_terms_that_the_card_takes(folder: Path) -> None:
    listed = package.sources(package.texts_used([*language_texts.groups(folder), *sentiment_texts.groups(folder)]))
    assert {"cv", "dsl", "words", "other", "semeval", "goemotions", "xed"} <= {source["name"] for source in listed}
    for source in listed:
        Source.model_validate(source)
    assert data.terms_of("ms-anything").research_only
    with pytest.raises(KeyError):
        data.terms_of("nobody knows")


def test_moods_have_neutral_statements_in_every_language(folder: Path) -> None:
    assert sentiment_texts.languages(folder) == ["de", "nb"]
    neutral = [g for g in sentiment_texts.groups(folder) if g.source == "cv"]
    assert {group.label for group in neutral} == {sentiment_texts.NEUTRAL}
    assert {group.texts[0].split()[0] for group in neutral} == {"de", "nb"}


def test_folder_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match=data.DATA_VARIABLE):
        data.data_folder(None)


def test_serbian_goes_from_one_script_to_the_other_and_back() -> None:
    cyrillic = "Њега љуби џез, Ђорђе чека жуто шибље. ЊЕГА"
    latin = serbian.to_latin(cyrillic)
    assert latin.startswith("Njega ljubi džez, Đorđe čeka žuto šiblje.")
    assert serbian.to_cyrillic("Njega ljubi džez, NJEGA") == "Његa љуби џез, ЊЕГА".replace("a", "а")
    assert serbian.is_cyrillic(cyrillic) and not serbian.is_cyrillic(latin)


def test_misfiled_texts_are_thrown_out_of_untrusted_sources_alone(two_languages: list[Texts]) -> None:
    letters = alphabet.letters()
    how = features.hashing(letters, 3, 12)
    trusted = [group._replace(source="cv") for group in two_languages] * 2
    wrong = ["кетиса роса тисаке", "mibo luba"]
    groups = [*trusted, Texts(0, "manual", wrong, WORDS, 1.0), Texts(0, "dsl", wrong, WORDS, 1.0)]
    first = trainer.train(corpus.build(trusted, letters), letters, how, Plan(2, 4, 4000), lambda _: None)
    kept, thrown = cleaning.clean(groups, first, letters, how)
    assert thrown == 1
    assert list(kept[-2].texts) == ["mibo luba"]
    assert list(kept[-1].texts) == wrong


def test_languages_with_few_trusted_texts_learn_from_all_of_theirs(two_languages: list[Texts]) -> None:
    plenty = Texts(0, "cv", ["a"] * 2000, WORDS, 1.0)
    manual = [Texts(label, "manual", ["b"] * 10, WORDS, 1.0) for label in (0, 1)]
    assert cleaning.trusted([plenty, *manual]) == [plenty, manual[1]]
