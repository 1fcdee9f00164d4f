"""YAML files whose every value knows its line, so that a mistake can be pointed at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heartbeat.errors import ConfigError


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
        ConfigError: it cannot be read, is not YAML, or names a key twice.
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
        raise ConfigError(f"is not valid YAML: {error.problem}", file=path, line=line) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML: {error}", file=path) from error
    lines: dict[str, int] = {}
    values = None if node is None else _plain(node, "", lines, path)
    return ConfigFile(path, values, lines)


def _plain(node: yaml.Node, key: str, lines: dict[str, int], path: Path) -> Any:
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = str(key_node.value)
            dotted = f"{key}.{name}" if key else name
            if name in out:
                raise ConfigError("stands twice", file=path, line=key_node.start_mark.line + 1, key=dotted)
            out[name] = _plain(value_node, dotted, lines, path)
            lines[dotted] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, f"{key}[{at}]", lines, path) for at, item in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"cannot be read as a value: {error}", file=path, line=lines[key], key=key) from error
    finally:
        loader.dispose()
