from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat.errors import ConfigError
from heartbeat.tasks import FEEDS, Matcher, load

CONFIG = Path(__file__).resolve().parent.parent.parent / "config"

GOOD = """\
tasks:
  - name: coffee
    title: Coffee, everywhere
    query: coffee "flat white"
    feeds: [demo]
    languages: [en, war]
  - name: tea_2
    query: [tea, thé]
    feeds: [demo]
"""


def write(folder: Path, text: str) -> Path:
    (folder / "tasks.yaml").write_text(text, encoding="utf-8")
    return folder


def test_reads_tasks_in_their_order(tmp_path: Path) -> None:
    coffee, tea = load(write(tmp_path, GOOD))
    assert (coffee.name, coffee.title, coffee.query.text) == ("coffee", "Coffee, everywhere", 'coffee "flat white"')
    assert (coffee.feeds, coffee.languages) == (("demo",), frozenset({"en", "war"}))
    assert (tea.name, tea.title, tea.languages) == ("tea_2", "tea_2", None)
    assert Matcher([tea]).match("un thé") == Matcher([tea]).match("some tea") == ("tea_2",)


def test_no_tasks_are_no_mistake(tmp_path: Path) -> None:
    assert load(write(tmp_path, "tasks:\n")) == load(write(tmp_path, "tasks: []\n")) == ()


def test_the_tasks_that_ship_can_be_loaded() -> None:
    assert {name for task in load(CONFIG) for name in task.feeds} <= FEEDS
    assert len(load(CONFIG)) >= 2


def test_other_feeds_can_be_allowed(tmp_path: Path) -> None:
    folder = write(tmp_path, GOOD.replace("demo", "mine"))
    assert load(folder, feeds=["mine"])[0].feeds == ("mine",)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "problem"),
    [
        ("title:", "titel:", 3, "tasks[0].titel", "is not known"),
        ("tasks:", "task:", 1, None, "has to begin with `tasks:`"),
        ("tasks:", "extra: 1\ntasks:", 1, "extra", "is not known"),
        ("name: coffee", "title: x", 3, "tasks[0].title", "stands twice"),
        ("name: tea_2", "title: x", 7, "tasks[1].name", "is missing"),
        ("name: tea_2", "name:", 7, "tasks[1].name", "is missing"),
        ("name: tea_2", "name: coffee", 7, "tasks[1].name", "is taken by tasks[0]"),
        ("name: tea_2", "name: Coffee", 7, "tasks[1].name", "is taken by tasks[0]"),
        ("name: tea_2", "name: a b", 7, "tasks[1].name", "letters"),
        ("name: tea_2", "name: " + "x" * 65, 7, "tasks[1].name", "1 to 64"),
        ("name: tea_2", "name: 12", 7, "tasks[1].name", "quotes"),
        ("name: tea_2", "name: no", 7, "tasks[1].name", "quotes"),
        ("feeds: [demo]\n    lang", "feeds: [demo, x]\n    lang", 5, "tasks[0].feeds[1]", "'x' is no feed"),
        ("feeds: [demo]\n    lang", "feeds: [demo, demo]\n    lang", 5, "tasks[0].feeds[1]", "stands twice"),
        ("feeds: [demo]\n    lang", "feeds: demo\n    lang", 5, "tasks[0].feeds", "has to be a list"),
        ("feeds: [demo]\n    lang", "feeds: []\n    lang", 5, "tasks[0].feeds", "empty list"),
        ("[en, war]", "[en, xx]", 6, "tasks[0].languages[1]", "'xx' is no language"),
        ("[en, war]", "[en, no]", 6, "tasks[0].languages[1]", "quotes"),
        ("[en, war]", "[]", 6, "tasks[0].languages", "empty list"),
        ("[en, war]", "en", 6, "tasks[0].languages", "has to be a list"),
        ('"flat white"', '"flat white', 4, "tasks[0].query", "never closed (at character 8)"),
        ('coffee "flat white"', "''", 4, "tasks[0].query", "is empty"),
        ('coffee "flat white"', "{a: b}", 4, "tasks[0].query", "a mapping"),
        ("[tea, thé]", "[tea, x OR y]", 8, "tasks[1].query[1]", "OR is not understood yet"),
        ("[tea, thé]", "[]", 8, "tasks[1].query", "empty list"),
        ("  - name: tea_2\n    query: [tea, thé]\n    feeds: [demo]\n", "  - tea\n", 7, "tasks[1]", "a mapping"),
    ],
)
def test_mistakes_are_pointed_at(tmp_path: Path, old: str, new: str, line: int, key: str | None, problem: str) -> None:
    assert old in GOOD
    folder = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(folder)
    assert (caught.value.file, caught.value.line, caught.value.key) == (folder / "tasks.yaml", line, key)
    assert problem in str(caught.value)


def test_tasks_that_are_no_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has to be a list"):
        load(write(tmp_path, "tasks: coffee\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.yaml"):
        load(tmp_path)
