"""Changes one setting in a YAML file and nothing else: comments, order and line ends stay as they are.

The text is changed at the place that the parser names. Then it is read again; if anything else than that one value is
different now, or the settings do not stand the change, the file is left alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from heartbeat import configfile
from heartbeat.errors import ConfigError

NAME: Final = "heartbeat.yaml"
Check = Callable[[Path], object]
"""Given a folder that holds the changed file; raises ConfigError if it is not to be."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change that has been made. `before` is None where there was no file."""

    path: Path
    before: bytes | None
    after: bytes

    @property
    def changed(self) -> bool:
        """Whether anything is different."""
        return self.before != self.after

    def take_back(self) -> bool:
        """Put the file back as it was, unless somebody else has changed it since. Whether that was done."""
        if not self.changed or not self.path.exists() or self.path.read_bytes() != self.after:
            return False
        if self.before is None:
            self.path.unlink()
        else:
            _replace(self.path, self.before)
        return True


def change(path: Path, keys: tuple[str, ...], value: str, check: Check) -> Edit:
    """Set a value.

    Args:
        path: the file; it need not be there.
        keys: the setting, and within it the task or language.
        value: a text.
        check: whether the settings stand it.

    Raises:
        ConfigError: the file cannot be read, written or changed in this way, or the change is refused.
    """
    path = path.resolve()  # where a link leads, so that the link stays one
    try:
        before = path.read_bytes() if path.exists() else None
        text = (before or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text; save it as UTF-8", file=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error
    after = _set(text, keys, value, path).encode()
    wanted = _with(configfile.read(path).values if before is not None else None, keys, value)
    with tempfile.TemporaryDirectory(prefix="heartbeat-") as folder:
        tried = Path(folder) / NAME
        tried.write_bytes(after)
        try:
            if configfile.read(tried).values != wanted:
                raise ConfigError("changed more than one value", file=tried)
        except ConfigError as error:
            raise ConfigError(
                f"is written in a way that cannot be changed without risk; set it to {value!r} by hand",
                file=path,
                key=".".join(keys),
            ) from error
        try:
            check(Path(folder))
        except ConfigError as error:
            at = path if error.file == tried else error.file
            raise ConfigError(error.problem, file=at, line=error.line, key=error.key) from error
    if after != before:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, after)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", file=path) from error
    return Edit(path, before, after)


def _replace(path: Path, content: bytes) -> None:
    """At any moment the whole old file is there, or the whole new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if path.exists():
            shutil.copymode(path, part)
        else:
            part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _with(values: Any, keys: tuple[str, ...], value: str) -> dict[str, Any]:
    held = dict(values) if isinstance(values, dict) else {}
    held[keys[0]] = value if len(keys) == 1 else _with(held.get(keys[0]), keys[1:], value)
    return held


def _set(text: str, keys: tuple[str, ...], value: str, path: Path) -> str:
    """The text with the value set; what it cannot do well comes out wrong and is noticed by who reads it again."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        configfile.read(path)  # raises, and says where
        raise
    end = "\r\n" if "\r\n" in text else "\n"
    if node is None:
        return _joined(text, _lines(keys, value, "", end), end)
    for depth, key in enumerate(keys):
        if not isinstance(node, yaml.MappingNode):
            return text
        found = next((child for name, child in node.value if str(name.value) == key), None)
        if found is None:
            return _insert(text, node, keys[depth:], value, end)
        node = found
        if depth + 1 < len(keys) and _is_nothing(node):
            return _put(text, node, f"{{{_scalar(keys[-1])}: {_scalar(value)}}}")
    if not isinstance(node, yaml.ScalarNode):
        return text  # a person wrote a list or mapping there: it is not thrown away
    return _put(text, node, _scalar(value))


def _insert(text: str, node: yaml.MappingNode, keys: tuple[str, ...], value: str, end: str) -> str:
    if node.flow_style:
        closing = node.end_mark.index - 1
        entry = _lines(keys, value, "", end).strip() if len(keys) == 1 else ""
        before = text[:closing].rstrip()
        comma = "" if not node.value or before.endswith(",") else ","
        space = "" if before.endswith("{") else " "
        return f"{before}{comma}{space}{entry}{text[closing:]}"
    last_key, last = node.value[-1]
    indent = " " * last_key.start_mark.column
    # A block's own end mark lies behind the blank lines and comments that follow it.
    at = _end_of(last, last_key)
    stop = text.find("\n", at)
    if not indent or stop < 0:
        return _joined(text, _lines(keys, value, indent, end), end)
    return text[: stop + 1] + _lines(keys, value, indent, end) + text[stop + 1 :]


def _end_of(node: yaml.Node, key: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        last_key, last = node.value[-1]
        return _end_of(last, last_key)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return _end_of(node.value[-1], key)
    return int(node.end_mark.index) if node.end_mark.index > node.start_mark.index else int(key.end_mark.index)


def _joined(text: str, more: str, end: str) -> str:
    return text + ("" if not text or text.endswith("\n") else end) + more


def _lines(keys: tuple[str, ...], value: str, indent: str, end: str) -> str:
    if len(keys) == 1:
        return f"{indent}{_scalar(keys[0])}: {_scalar(value)}{end}"
    return f"{indent}{_scalar(keys[0])}:{end}{_lines(keys[1:], value, indent + '  ', end)}"


def _put(text: str, node: yaml.Node, new: str) -> str:
    start, stop = node.start_mark.index, node.end_mark.index
    space = " " if start == stop and text[start - 1 : start] == ":" else ""
    return f"{text[:start]}{space}{new}{text[stop:]}"


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _scalar(text: str) -> str:
    """A text as YAML reads it back: in quotes where it would be something else without."""
    return yaml.safe_dump(text, width=10**6).removesuffix("\n").removesuffix("...").removesuffix("\n")
