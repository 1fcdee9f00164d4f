"""Settings: the file, the environment over it, and errors that name the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from heartbeat.errors import ConfigError
from heartbeat.settings import PREFIX, Settings, load

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)


def write(folder: Path, text: str) -> Path:
    (folder / "heartbeat.yaml").write_text(text)
    return folder


def test_the_environment_overrules_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "web_port: 7000\npartitions: 12\n")
    assert (load(tmp_path).web_port, load(tmp_path).partitions) == (7000, 12)
    monkeypatch.setenv("HEARTBEAT_WEB_PORT", "7001")
    assert (load(tmp_path).web_port, load(tmp_path).partitions) == (7001, 12)


def test_without_a_file_the_defaults_stand(tmp_path: Path) -> None:
    assert load(tmp_path).web_port == 6066


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load(tmp_path).web_port = 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web_port: many\n", "heartbeat.yaml:1: web_port: "),
        ("grace_s: 5\nweb_prot: 1\n", "heartbeat.yaml:2: web_prot: is no setting"),
        ("window_sizes_s:\n  - 10\n  - 7\n", "heartbeat.yaml:1: window_sizes_s: each size has to divide a day"),
        ("window_sizes_s:\n  - 10\n  - ten\n", "heartbeat.yaml:3: window_sizes_s[1]: "),
        ("broker: sqlite:///var/x.db\n", "heartbeat.yaml:1: broker: 'sqlite:///var/x.db': only `sqlite:`"),
        ("a: 1\na: 2\n", "heartbeat.yaml:2: a: stands twice"),
        ("a: [1\n", "heartbeat.yaml:2: is not valid YAML"),
        ("- 1\n", "heartbeat.yaml:1: has to be a mapping"),
        ("web_port: !!python/object:x 1\n", "heartbeat.yaml:1: web_port: "),
        ("\tx: 1\n", "heartbeat.yaml:1: is not valid YAML"),
        ("log_level: 2026-13-45\n", "heartbeat.yaml:1: log_level: "),
    ],
)
def test_a_mistake_in_the_file_is_pointed_at(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert says in str(caught.value)


def test_a_mistake_in_the_environment_is_pointed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_WEB_PORT", "99999999")
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_WEB_PORT: "):
        load(tmp_path)
    monkeypatch.delenv("HEARTBEAT_WEB_PORT")
    monkeypatch.setenv("HEARTBEAT_WBE_PORT", "1")
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_WBE_PORT: is no setting"):
        load(tmp_path)
    monkeypatch.delenv("HEARTBEAT_WBE_PORT")
    monkeypatch.setenv("HEARTBEAT_WINDOW_SIZES_S", "ten")
    with pytest.raises(ConfigError, match="window_sizes_s"):
        load(tmp_path)


def test_not_utf8_and_not_readable(tmp_path: Path) -> None:
    (tmp_path / "heartbeat.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path)
    (tmp_path / "heartbeat.yaml").unlink()
    (tmp_path / "heartbeat.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_every_setting_is_documented_as_it_is() -> None:
    rows = [
        tuple(cell.strip(" `") for cell in line.strip("|\n").split("|"))
        for line in DOCS.read_text().splitlines()
        if line.startswith("| `")
    ]
    documented = {row[0]: row[-1] for row in rows}
    assert documented == {name: (field.description or "").strip("`") for name, field in Settings.model_fields.items()}
