"""YAML files whose every value knows its line, so that a mistake can be pointed at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from heartbeat.errors import ConfigError

DEEPEST: Final = 50
MOST_VALUES: Final = 100_000
"""More than any configuration needs, and few enough to end soon; aliases of aliases would make billions of them."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A parsed file: plain values, and the line of each dotted key (`tasks[2].query`)."""

    path: Path
    values: Any
    lines: dict[str, int]

    def error(self, key: str, problem: str) -> ConfigError:
        """An error at a key; where the key itself is missing, at the nearest one above it."""
        return ConfigError(problem, file=self.path, line=self._line(key), key=key or None)

    def _line(self, key: str) -> int | None:
        while key and key not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key)


def read(path: Path) -> ConfigFile:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, is not YAML, names a key twice, or holds what is no plain value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text; save it as UTF-8", file=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(f"is not valid YAML: {_said(error)}", file=path, line=line) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML: {_one_line(str(error))}", file=path) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=path) from error
    plain = _Plain(path)
    return ConfigFile(path, None if node is None else plain.value(node, "", ()), plain.lines)


class _Plain:
    """Makes plain values of a file's nodes."""

    def __init__(self, path: Path) -> None:
        self._path, self._values = path, 0
        self.lines: dict[str, int] = {}

    def value(self, node: yaml.Node, key: str, above: tuple[int, ...]) -> Any:
        """The value of a node that stands at a key; `above` are the nodes that it stands in."""
        self.lines[key] = node.start_mark.line + 1
        self._values += 1
        if id(node) in above:
            raise self._error(node, key, "stands within itself: an alias may not refer to what it is part of")
        if len(above) > DEEPEST:
            raise self._error(node, key, "is nested too deeply")
        if self._values > MOST_VALUES:
            raise self._error(
                node, key, f"the file has more than {MOST_VALUES:,} values; are there aliases of aliases?"
            )
        within = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, key, "tag:yaml.org,2002:map")
            return self._mapping(node, key, within)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, key, "tag:yaml.org,2002:seq")
            return [self.value(item, f"{key}[{at}]", within) for at, item in enumerate(node.value)]
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            said = _said(error) if isinstance(error, yaml.MarkedYAMLError) else _one_line(str(error))
            raise self._error(node, key, f"cannot be read as a value: {said}") from error
        finally:
            loader.dispose()

    def _mapping(self, node: yaml.MappingNode, key: str, within: tuple[int, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, key, "a key has to be a plain word, not a list or a mapping")
            name = str(key_node.value)
            dotted = f"{key}.{name}" if key else name
            if name in out:
                raise self._error(key_node, dotted, "stands twice")
            out[name] = self.value(value_node, dotted, within)
            self.lines[dotted] = key_node.start_mark.line + 1
        return out

    def _check_tag(self, node: yaml.Node, key: str, plain: str) -> None:
        if node.tag != plain:
            raise self._error(node, key, f"cannot be read as a value: {node.tag!r} is not known here")

    def _error(self, node: yaml.Node, key: str, problem: str) -> ConfigError:
        return ConfigError(problem, file=self._path, line=node.start_mark.line + 1, key=_one_line(key) or None)


def _said(error: yaml.MarkedYAMLError) -> str:
    return _one_line(", ".join(filter(None, (error.context, error.problem))))


def _one_line(text: str) -> str:
    return " ".join(text.split())
