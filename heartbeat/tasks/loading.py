"""Reads `config/tasks.yaml`. Every mistake is an error that names file, line and key."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from heartbeat import configfile
from heartbeat.configfile import ConfigFile
from heartbeat.errors import ConfigError, QueryError
from heartbeat.tasks.query import Query, any_of, parse
from heartbeat.tasks.task import NAME, Task

FEEDS: Final = frozenset({"bluesky", "demo"})
"""The live feeds that can serve a task."""

LANGUAGES: Final = frozenset(
    ("ar", "bg", "ca", "cs", "da", "de", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it")
    + ("ja", "kk", "ko", "lt", "ms", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "tr", "uk", "vi")
    + ("war", "und")
)
"""What a post's language can be: ISO 639-1 (`war`: 639-2), and `und` where it cannot be told."""

_KEYS: Final = ("name", "title", "query", "feeds", "languages")


def load(config_dir: Path, *, feeds: Collection[str] = FEEDS) -> tuple[Task, ...]:
    """The tasks of a configuration folder, in the order of the file.

    Args:
        config_dir: the folder that holds tasks.yaml.
        feeds: the feeds that a task may name.

    Raises:
        ConfigError: the file is missing or something in it is wrong; names the file, line and key.
    """
    tasks, problems = examine(config_dir, feeds=feeds)
    if problems:
        raise problems[0]
    return tasks


def examine(config_dir: Path, *, feeds: Collection[str] = FEEDS) -> tuple[tuple[Task, ...], list[ConfigError]]:
    """The tasks that are right, and what is wrong with others: of each task the first thing. See `load`."""
    try:
        file = configfile.read(config_dir / "tasks.yaml")
    except ConfigError as error:
        return (), [error]
    if not isinstance(file.values, dict) or "tasks" not in file.values:
        return (), [file.error("", "has to begin with `tasks:` and a list of them")]
    problems = [file.error(key, "is not known here; the only key is `tasks`") for key in file.values if key != "tasks"]
    entries = file.values["tasks"]
    if entries is None:
        return (), problems
    if not isinstance(entries, list):
        return (), [*problems, file.error("tasks", "has to be a list: each task begins with `- name: …`")]
    tasks: list[Task] = []
    places: dict[str, str] = {}
    for at, entry in enumerate(entries):
        try:
            task = _task(file, f"tasks[{at}]", entry, feeds)
            if task.name.casefold() in places:
                raise file.error(f"tasks[{at}].name", f"{task.name!r} is taken by {places[task.name.casefold()]}")
        except ConfigError as error:
            problems.append(error)
            continue
        places[task.name.casefold()] = f"tasks[{at}]"
        tasks.append(task)
    return tuple(tasks), problems


def _task(file: ConfigFile, key: str, entry: Any, feeds: Collection[str]) -> Task:
    if not isinstance(entry, dict):
        raise file.error(key, "has to be a mapping with name, query and feeds")
    for unknown in entry:
        if unknown not in _KEYS:
            raise file.error(f"{key}.{unknown}", f"is not known; a task has {', '.join(_KEYS)}")
    for needed in ("name", "query", "feeds"):
        if entry.get(needed) is None:
            raise file.error(f"{key}.{needed}", "is missing")
    name = _text(file, f"{key}.name", entry["name"])
    if not NAME.fullmatch(name):
        raise file.error(f"{key}.name", f"{name!r}: a name has 1 to 64 letters (a-z), digits, - and _")
    title = _text(file, f"{key}.title", entry["title"]) if entry.get("title") is not None else name
    served_by = _names(file, f"{key}.feeds", entry["feeds"], feeds, "feed")
    languages = entry.get("languages")
    wanted = None
    if languages is not None:
        wanted = frozenset(_names(file, f"{key}.languages", languages, LANGUAGES, "language"))
    return Task(name, title, _query(file, f"{key}.query", entry["query"]), served_by, wanted)


def _query(file: ConfigFile, key: str, value: Any) -> Query:
    """One query, or a list of them of which one has to match."""
    places = [(key, value)]
    if isinstance(value, list):
        places = [(f"{key}[{at}]", item) for at, item in enumerate(value)]
        if not places:
            raise file.error(key, "is an empty list")
    queries = []
    for place, item in places:
        try:
            queries.append(parse(_text(file, place, item)))
        except QueryError as error:
            raise file.error(place, str(error)) from error
    return any_of(queries)


def _names(file: ConfigFile, key: str, value: Any, known: Collection[str], kind: str) -> tuple[str, ...]:
    """A list of names that have to be known, none twice and at least one."""
    if not isinstance(value, list):
        raise file.error(key, f"has to be a list of {kind}s, such as [{min(known)}]")
    if not value:
        raise file.error(key, f"is an empty list: no {kind} is left")
    names: list[str] = []
    for at, item in enumerate(value):
        place = f"{key}[{at}]"
        name = _text(file, place, item)
        if name not in known:
            raise file.error(place, f"{name!r} is no {kind}; known are {', '.join(sorted(known))}")
        if name in names:
            raise file.error(place, f"{name!r} stands twice")
        names.append(name)
    return tuple(names)


def _text(file: ConfigFile, key: str, value: Any) -> str:
    if isinstance(value, str):
        if value.strip():
            return value.strip()
        raise file.error(key, "is empty")
    hint = "; put it into quotes" if isinstance(value, bool | int | float) else ""
    kind = {bool: "yes or no", dict: "a mapping", list: "a list"}.get(type(value), type(value).__name__)
    raise file.error(key, f"has to be text, but YAML reads {kind}{hint}")
