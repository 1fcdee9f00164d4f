"""One value of a YAML file changes, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat import settings as _settings
from heartbeat.cli.config_edit import change
from heartbeat.errors import ConfigError
from heartbeat.settings import PREFIX

CASES = {
    "no file": (None, ("a",), "x", "a: x\n"),
    "empty": ("", ("a",), "x", "a: x\n"),
    "comments alone": ("# one\n\n# two", ("a",), "x", "# one\n\n# two\na: x\n"),
    "at the end": ("b: 1  # why\n", ("a",), "x", "b: 1  # why\na: x\n"),
    "no line end": ("b: 1", ("a",), "x", "b: 1\na: x\n"),
    "in place": ("# c\na: old  # why\n\nb: 1\n", ("a",), "x", "# c\na: x  # why\n\nb: 1\n"),
    "quoted": ("a: 'old'   # why\n", ("a",), "x/1.0", "a: x/1.0   # why\n"),
    "windows": ("a: old\r\nb: 1\r\n", ("c",), "x", "a: old\r\nb: 1\r\nc: x\r\n"),
    "nothing yet": ("a:   # why\nb: 1\n", ("a",), "x", "a: x   # why\nb: 1\n"),
    "needs quotes": ("a: old\n", ("a",), "1.10", "a: '1.10'\n"),
    "new mapping": ("b: 1\n", ("m", "no"), "x", "b: 1\nm:\n  'no': x\n"),
    "in a mapping": ("m:\n    t: old # why\n    u: 2\nb: 1\n", ("m", "t"), "x", "m:\n    t: x # why\n    u: 2\nb: 1\n"),
    "more of a mapping": (
        "m:\n    t: old # why\n\n# about b\nb: 1\n",
        ("m", "u"),
        "x",
        "m:\n    t: old # why\n    u: x\n\n# about b\nb: 1\n",
    ),
    "last of a file": ("m:\n  t: old", ("m", "u"), "x", "m:\n  t: old\n  u: x\n"),
    "braces": ("m: {t: old}  # why\n", ("m", "u"), "x", "m: {t: old, u: x}  # why\n"),
    "braces in place": ("m: {t: old, u: 1}\n", ("m", "t"), "x", "m: {t: x, u: 1}\n"),
    "empty braces": ("m: {}  # why\n", ("m", "u"), "x", "m: {u: x}  # why\n"),
    "mapping of nothing": ("m:  # why\nb: 1\n", ("m", "u"), "x", "m: {u: x}  # why\nb: 1\n"),
    "null": ("m: null\n", ("m", "u"), "x", "m: {u: x}\n"),
    "all in braces": ("{b: 1}\n", ("a",), "x", "{b: 1, a: x}\n"),
    "the same": ("a: x   # why\n", ("a",), "x", "a: x   # why\n"),
    "umlauts before it": ("# Größe ☀️\na: old\n", ("a",), "x", "# Größe ☀️\na: x\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written(tmp_path: Path, case: str) -> None:
    before, keys, value, after = CASES[case]
    path = tmp_path / "heartbeat.yaml"
    if before is not None:
        path.write_bytes(before.encode())
    edit = change(path, keys, value, lambda _: None)
    assert path.read_bytes().decode() == after
    assert edit.changed is (before != after)
    assert os.listdir(tmp_path) == ["heartbeat.yaml"]
    assert edit.take_back() is edit.changed
    assert (path.read_bytes().decode() if path.exists() else None) == before


@pytest.mark.parametrize(
    "text",
    ["a: old\n...\n", "m: &x {t: 1}\nn: *x\n", "- 1\n", "m: word\n", "m: [1]\n"],
)
def test_what_cannot_be_changed_without_risk_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heartbeat.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        change(path, ("m", "t") if "m" in text else ("b",), "x", lambda _: None)
    assert path.read_text() == text


def test_the_settings_have_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    path = tmp_path / "heartbeat.yaml"
    path.write_text("# c\nweb_port: many\n")
    with pytest.raises(ConfigError) as caught:
        change(path, ("sentiment_model",), "x", _settings.load)
    assert str(caught.value).startswith(f"{path}:2: web_port: ")
    assert path.read_text() == "# c\nweb_port: many\n"


def test_a_link_stays_a_link_and_a_mode_a_mode(tmp_path: Path) -> None:
    true, link = tmp_path / "true.yaml", tmp_path / "heartbeat.yaml"
    true.write_text("a: old\n")
    true.chmod(0o640)
    link.symlink_to(true)
    change(link, ("a",), "x", lambda _: None)
    assert link.is_symlink() and true.read_text() == "a: x\n" and true.stat().st_mode & 0o777 == 0o640


def test_what_somebody_else_has_changed_since_is_not_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.yaml"
    edit = change(path, ("a",), "x", lambda _: None)
    path.write_text("a: theirs\n")
    assert not edit.take_back() and path.read_text() == "a: theirs\n"


NAMES = st.sampled_from(["a", "b", "no", "on", "t_1", "de", "x-y", "1", "null", "1e3", "0x1", "é"])
VALUES = st.sampled_from(["x", "x/1.0", "none", "1", "1.10", "yes", "2020-01-01", "~", "a b", "1_0"])
COMMENTS = st.sampled_from(["", "  # why: [it, is] {so}", " # ☀️"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """Settings as people write them: two levels, comments and blank lines anywhere."""
    lines: list[str] = []
    for name in draw(st.lists(NAMES, unique=True, max_size=5)):
        lines += draw(st.lists(st.sampled_from(["", "# a comment: 1", "   # further in"]), max_size=2))
        key = yaml.safe_dump(name).splitlines()[0] if draw(st.booleans()) else name
        inner = {child: draw(VALUES) for child in draw(st.lists(NAMES, unique=True, max_size=3))}
        match draw(st.sampled_from(["value", "nothing", "block", "braces"])):
            case "value":
                lines.append(f"{key}: {draw(VALUES)}{draw(COMMENTS)}")
            case "nothing":
                lines.append(f"{key}:{draw(COMMENTS)}")
            case "block" if inner:
                lines.append(f"{key}:{draw(COMMENTS)}")
                lines += [f"    {child}: {value}{draw(COMMENTS)}" for child, value in inner.items()]
            case _:
                held = ", ".join(f"{child}: {value}" for child, value in inner.items())
                lines.append(f"{key}: {{{held}}}{draw(COMMENTS)}")
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n# the end\n"]))


@settings(max_examples=300, deadline=None)
@given(files(), st.lists(NAMES, min_size=1, max_size=2), VALUES)
def test_nothing_else_changes(tmp_path_factory: pytest.TempPathFactory, text: str, keys: list[str], value: str) -> None:
    from heartbeat import configfile

    path = tmp_path_factory.mktemp("edit") / "heartbeat.yaml"
    path.write_text(text)
    before: dict[str, Any] = configfile.read(path).values or {}
    try:
        change(path, tuple(keys), value, lambda _: None)
    except ConfigError:
        # A person wrote a mapping where a value is to be, or the other way round: it is not thrown away.
        assert keys[0] in before and (len(keys) == 2) is not isinstance(before[keys[0]], dict)
        assert path.read_text() == text
        return
    after = configfile.read(path).values
    held = after
    for key in keys[:-1]:
        held = held[key]
    assert held[keys[-1]] == value
    assert list(after) == list(dict.fromkeys([*before, keys[0]]))
    rest = [line for line in text.splitlines() if line and line not in path.read_text().splitlines()]
    assert len(rest) <= 1, "at most the changed line is not there any more"
    assert path.read_text().count("#") == text.count("#")
