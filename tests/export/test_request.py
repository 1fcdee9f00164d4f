"""What is refused before anything is fetched, and posts to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.models.encoder import whole
from heartbeat.models.export import posts
from heartbeat.models.export.errors import ExportFailed
from heartbeat.models.export.odd import ODD_TEXTS
from heartbeat.models.export.request import Request, checked
from heartbeat.models.export.source import find
from heartbeat.models.export.wording import prepare
from tests.models.tiny_models import write_model


def request(models_dir: Path, model: str = "owner/some-model", **values: Any) -> Request:
    return Request(model, models_dir, **values)


def test_the_name_is_the_models_own(tmp_path: Path) -> None:
    assert checked(request(tmp_path)).reference == "some-model/1"
    assert checked(request(tmp_path, name="mine", version="2.0")).reference == "mine/2.0"
    (tmp_path / "_my model!").mkdir()
    assert checked(request(tmp_path, str(tmp_path / "_my model!"))).name == "my-model-"


@pytest.mark.parametrize("model", ["a b", "owner/model/more", "../up", "/no/such/folder", "http://x/y"])
def test_what_is_neither_folder_nor_name(model: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="MODEL=.*no such folder"):
        checked(request(tmp_path, model))


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="MODEL= is missing"):
        checked(request(tmp_path, ""))


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "white space"])
def test_names_stay_in_the_catalogue(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="NAME="):
        checked(request(tmp_path, name=name))
    with pytest.raises(ExportFailed, match="VERSION="):
        checked(request(tmp_path, version=name))


@pytest.mark.parametrize("language", ["english", "EN", "e", "en-US", "multilingual"])
def test_languages_are_codes(language: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="no ISO 639-1 code"):
        checked(request(tmp_path, languages=("en", language)))


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path, name="some-model")
    with pytest.raises(ExportFailed, match="there is a model some-model/1 .*VERSION=, or say FORCE=1"):
        checked(request(tmp_path))
    checked(request(tmp_path, force=True))
    checked(request(tmp_path, version="2"))


def test_the_demo_has_posts_in_english() -> None:
    texts = posts.load(None, ["en"])
    assert len(texts) > 100
    assert len(posts.load(None, ["en", "de"])) > len(texts)


def test_posts_of_other_languages_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "posts.jsonl"
    langs = ["en", "de", None]
    lines = [json.dumps({"text": f"post {n}", "lang": langs[n % 3]}) for n in range(90)]
    file.write_text("\n\n".join(lines), encoding="utf-8")
    assert len(posts.load(file, ["en"])) == 60
    file.write_text("\n".join(json.dumps({"content": "x", "lang": "de"}) for _ in range(90)), encoding="utf-8")
    with pytest.raises(ExportFailed, match=r"posts.jsonl: only 0 posts in en; at least 20"):
        posts.load(file, ["en"])


def test_a_post_a_line_whatever_signs_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "posts.txt"
    file.write_text("\ufeff" + "\r\n".join(f"{n}\u2028a\fb\x1cc" for n in range(30)), encoding="utf-8", newline="")
    assert posts.load(file, ["en"]) == [f"{n}\u2028a\fb\x1cc" for n in range(30)]


def test_many_posts_are_taken_evenly(tmp_path: Path) -> None:
    file = tmp_path / "posts.txt"
    file.write_text("\n".join(map(str, range(3500))), encoding="utf-8")
    texts = posts.load(file, ["en"])
    assert len(texts) == posts.MOST
    assert texts[0] == "0"
    assert texts[-1] == "3496"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"text": "a"}\n{"text": ', "line 2: is not JSON"),
        (b'{"text": "a"}\n{"body": "b"}', "line 2: has no text under content or text"),
        (b'"a"', "line 1: has no text"),
        (b'{"text": "a"}\n\xff\n', "line 2: is not UTF-8"),
    ],
)
def test_posts_that_cannot_be_read(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "posts.jsonl"
    file.write_bytes(content)
    with pytest.raises(ExportFailed, match=told):
        posts.load(file, ["en"])
    with pytest.raises(ExportFailed, match="cannot be read: No such file"):
        posts.load(tmp_path / "none.txt", ["en"])


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_something(missing: str, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    for file in {"config.json", "model.safetensors"} - {missing}:
        (original / file).write_text("{}", encoding="utf-8")
    (original / "tf_model.h5").write_bytes(b"")
    with pytest.raises(ExportFailed, match="no config.json" if missing == "config.json" else "no PyTorch weights"):
        find(request(tmp_path, str(original)))


@pytest.mark.parametrize(
    ("readme", "languages", "licence"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# Title\n", ("en",), "mit"),
        ("---\nlanguage:\n- en\n- multilingual\n- de\nlicense:\n- mit\n---\n", ("en", "de"), ""),
        ("---\nlanguage: [\n---\n", (), ""),
        ("# no head\n", (), ""),
        (None, (), ""),
    ],
)
def test_a_description_tells_languages_and_licence(
    readme: str | None, languages: tuple[str, ...], licence: str, tmp_path: Path
) -> None:
    original = tmp_path / "original"
    original.mkdir()
    for file in ("config.json", "model.safetensors"):
        (original / file).write_text("{}", encoding="utf-8")
    if readme is not None:
        (original / "README.md").write_text(readme, encoding="utf-8")
    found = find(request(tmp_path, str(original)))
    assert (found.languages, found.licence) == (languages, licence)
    assert str(tmp_path) not in found.address


@settings(deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=())) | st.sampled_from(ODD_TEXTS), st.integers(1, 50))
def test_any_text_can_be_prepared(text: str, most: int) -> None:
    prepared = prepare(text, "tweets", most)
    assert len(prepared) <= most
    prepared.encode()  # no surrogate is left
    assert prepare(text, "plain", 10**6) == whole(text)
