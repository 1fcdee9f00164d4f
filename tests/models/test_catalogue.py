"""The catalogue: what is found, and what is said of models that are missing, damaged or wrong."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.errors import ModelDamaged, ModelMissing, ModelUnfit
from heartbeat.models.catalogue import Catalogue, Entry
from tests.models.tiny_models import write_model


def test_the_newest_version_is_found_by_name_and_any_by_name_and_version(tmp_path: Path) -> None:
    for version in ("9", "10", "2", "10-rc1"):
        write_model(tmp_path, name="mood", version=version)
    write_model(tmp_path, name="another")
    catalogue = Catalogue(tmp_path)
    assert catalogue.find("mood").reference == "mood/10"
    assert catalogue.find("mood/9").reference == "mood/9"
    assert [entry.reference for entry in catalogue.list()] == [
        "another/1",
        "mood/10",
        "mood/10-rc1",
        "mood/9",
        "mood/2",
    ]


def test_folders_that_were_set_aside_are_no_versions(tmp_path: Path) -> None:
    write_model(tmp_path, name="mood", version="2")
    for aside in ("2~", "2.bak", "3.OLD", ".3"):
        shutil.copytree(tmp_path / "mood" / "2", tmp_path / "mood" / aside)
    assert [entry.reference for entry in Catalogue(tmp_path).list()] == ["mood/2"]
    with pytest.raises(ModelMissing, match="there is: mood/2"):
        Catalogue(tmp_path).find("mood/2~")


ORDERED = ("0.9", "1.0-alpha", "1.0-beta2", "1.0-beta10", "1.0", "1.0.1", "1.2", "1.10", "2", "2025.1.3", "2025.10.1")


@given(st.permutations(ORDERED))
def test_versions_are_in_the_order_that_people_read_them_in(versions: list[str]) -> None:
    from heartbeat.models.catalogue import _order

    assert tuple(sorted(versions, key=_order)) == ORDERED


def test_a_card_is_read_whole(tmp_path: Path) -> None:
    card = write_model(
        tmp_path,
        name="mood",
        version="2",
        figures={"tweets": {"macro_recall": 0.6}, "posts_per_s": 50000},
        changes=["2: better"],
        training=[
            {"name": "a", "source": "somewhere", "licence": "CC-BY-4.0", "research_only": False, "texts": 12},
            {"name": "b", "source": "elsewhere", "licence": "none given", "research_only": True},
        ],
    ).card
    assert (card.reference, card.kind, card.family, card.max_chars) == ("mood/2", "sentiment", "ngram", 50)
    assert card.labels == ["negative", "neutral", "positive"] and card.languages == ["de", "en"]
    assert card.training[0].texts == 12 and card.research_only
    assert card.figures["tweets"] == {"macro_recall": 0.6}
    assert (card.input.name, card.input.type, card.output.name) == ("codes", "int32", "probs")


def test_a_whole_number_is_a_version_in_yaml_too(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood", version="3")
    path = entry.folder / "model.yaml"
    path.write_text(path.read_text().replace("version: '3'", "version: 3"))
    assert Catalogue(tmp_path).find("mood").card.version == "3"


@pytest.mark.parametrize("reference", ["mood/2", "moody", "", "/", "mood/", "../mood/1", "mood/../mood/1"])
def test_a_model_that_is_not_there_is_missing_and_what_is_there_is_said(tmp_path: Path, reference: str) -> None:
    write_model(tmp_path, name="mood")
    write_model(tmp_path, name="speech", kind="language")
    with pytest.raises(ModelMissing) as caught:
        Catalogue(tmp_path).find(reference)
    assert repr(reference) in str(caught.value) and "mood/1, speech/1" in str(caught.value)


def test_a_folder_without_models_says_so(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not there"):
        with pytest.raises(ModelMissing, match="there is: none at all"):
            Catalogue(folder).find("mood")


def test_a_folder_without_a_card_is_no_model_yet(tmp_path: Path) -> None:
    write_model(tmp_path, name="mood")
    (tmp_path / "mood" / "2").mkdir()
    assert Catalogue(tmp_path).find("mood").version == "1"


def test_whole_files_are_verified(tmp_path: Path) -> None:
    write_model(tmp_path, name="mood").verify()


def test_one_flipped_bit_is_damage(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood")
    content = bytearray(entry.graph.read_bytes())
    place = random.Random(3).randrange(len(content))
    content[place] ^= 1
    entry.graph.write_bytes(content)
    with pytest.raises(ModelDamaged) as caught:
        entry.verify()
    message = str(caught.value)
    assert str(entry.graph) in message and entry.card.files["model.onnx"] in message and "git checkout" in message


def test_a_file_that_is_gone_is_damage(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood")
    entry.graph.unlink()
    with pytest.raises(ModelDamaged, match=r"model\.onnx is missing; get"):
        entry.verify()


def test_a_file_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood")
    entry.graph.unlink()
    entry.graph.mkdir()
    with pytest.raises(ModelDamaged, match=r"cannot be read: .*directory"):
        entry.verify()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["neg", "neu", "pos"]}, "labels: are neg, neu, pos"),
        ({"labels": ["negative", "neutral"]}, "negative, neutral and positive apart"),
        ({"labels": ["negative", "neutral", "neutral"]}, "stands twice"),
        ({"kind": "language"}, "labels: of a language model"),
        ({"kind": "mood"}, "kind: Input should be 'language' or 'sentiment'"),
        ({"family": "crystal-ball"}, "family: Input should be 'ngram'"),
        ({"languages": []}, "languages: "),
        ({"languages": ["de", False]}, r"languages\[1\]: "),
        ({"languages": ["deutsch"]}, r"languages\[0\]: "),
        ({"max_chars": 0}, "max_chars: "),
        ({"max_chars": None}, "max_chars: Field required"),
        ({"max_chars": "many"}, "max_chars: "),
        ({"files": {}}, "model.onnx is not among them"),
        ({"files": {"model.onnx": "1234"}}, "files.model.onnx: "),
        ({"files": {"model.onnx": "0" * 64, "../secret": "0" * 64}}, "does not stay in the model's folder"),
        ({"files": {"model.onnx": "0" * 64, "/etc/passwd": "0" * 64}}, "does not stay in the model's folder"),
        ({"files": {"model.onnx": "0" * 64, "a\0b": "0" * 64}}, "does not stay in the model's folder"),
        ({"training": []}, "training: "),
        ({"training": [{"name": "x", "source": "y", "licence": "z"}]}, r"training\[0\].research_only: Field required"),
        ({"labls": []}, "labls: Extra inputs"),
        ({"name": "other"}, "name: is 'other', but the folder says 'mood'"),
        ({"version": 1.1}, "version: is the number 1.1, as YAML reads it; write it in quotes"),
        ({"version": "2"}, "version: is '2', but the folder says '1'"),
    ],
)
def test_a_card_that_is_wrong_names_file_key_and_reason(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_model(tmp_path, name="mood")
    with pytest.raises(ModelUnfit, match=rf"model mood/1 cannot be used: .*model\.yaml.*{said}"):
        _rewrite(tmp_path, change).card  # noqa: B018  reading it is what fails


def test_a_wrong_card_names_its_line(tmp_path: Path) -> None:
    entry = write_model(tmp_path, name="mood", max_chars=-1)
    line = 1 + (entry.folder / "model.yaml").read_text().splitlines().index("max_chars: -1")
    with pytest.raises(ModelUnfit, match=rf"model\.yaml:{line}: max_chars: "):
        entry.card  # noqa: B018


@pytest.mark.parametrize("text", ["", "- a list", "labels: [", "\tx: 1", "name: a\nname: b"])
def test_a_card_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    entry = write_model(tmp_path, name="mood")
    (entry.folder / "model.yaml").write_text(text)
    with pytest.raises(ModelUnfit, match="model mood/1 cannot be used"):
        entry.card  # noqa: B018


def test_a_wrong_card_does_not_hide_other_models(tmp_path: Path) -> None:
    write_model(tmp_path, name="mood", max_chars=-1)
    write_model(tmp_path, name="other")
    assert Catalogue(tmp_path).find("other").card.name == "other"
    assert len(Catalogue(tmp_path).list()) == 2


def _rewrite(models_dir: Path, change: dict[str, Any]) -> Entry:
    """The model `mood/1` with keys of its card changed, in its old folder."""
    import yaml

    path = models_dir / "mood" / "1" / "model.yaml"
    values = {**yaml.safe_load(path.read_text()), **change}
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
    return Catalogue(models_dir).find("mood/1")


def test_the_documentation_shows_a_card_that_is_right(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "model-yaml.md").read_text()
    example = "\n".join(itertools.takewhile(lambda line: line != "```", text.partition("```yaml\n")[2].splitlines()))
    folder = tmp_path / "sentiment-fast" / "1"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(example)
    card = Catalogue(tmp_path).find("sentiment-fast").card
    of_encoders = {"max_tokens", "wording"}
    assert set(type(card).model_fields) - of_encoders == card.model_fields_set, "the example leaves a key out"
