"""The catalogue: which models there are, and whether their files are whole.

    onnx_models/NAME/VERSION/model.yaml     described in docs/model-yaml.md
                             model.onnx
                             tokenizer.json     of the family `encoder`

Whether a model's graph does what its card promises is `runtime`'s to find out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from heartbeat import configfile
from heartbeat.errors import ConfigError, ModelDamaged, ModelMissing, ModelUnfit
from heartbeat.models.card import CARD, GRAPH, TOKENIZER, Card


@dataclass(frozen=True)
class Entry:
    """A model's place in the catalogue. Its card is read when it is first asked for."""

    name: str
    version: str
    folder: Path

    @property
    def reference(self) -> str:
        """NAME/VERSION."""
        return f"{self.name}/{self.version}"

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / GRAPH

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of an encoder."""
        return self.folder / TOKENIZER

    @cached_property
    def card(self) -> Card:
        """What the model says of itself.

        Raises:
            ModelUnfit: `model.yaml` is not as docs/model-yaml.md says; names the line and the key.
        """
        try:
            file = configfile.read(self.folder / CARD)
            if not isinstance(file.values, dict):
                raise file.error("", "has to be a mapping; docs/model-yaml.md describes it")
            try:
                card = Card.model_validate(file.values)
            except ValidationError as error:
                first = error.errors()[0]
                key = _dotted(first["loc"])
                raise file.error(key, first["msg"].removeprefix("Value error, ")) from None
            for key, expected in (("name", self.name), ("version", self.version)):
                if (found := getattr(card, key)) != expected:
                    raise file.error(key, f"is {found!r}, but the folder says {expected!r}; one of them is wrong")
        except ConfigError as error:
            raise ModelUnfit(f"model {self.reference} cannot be used: {error}") from error
        return card

    def verify(self) -> None:
        """Hold every file against its checksum.

        Raises:
            ModelDamaged: a file is missing or is not what it was; says which, and what to do.
            ModelUnfit: see `card`.
        """
        for file, expected in self.card.files.items():
            actual = self._checksum(file)
            if actual != expected:
                raise ModelDamaged(
                    f"model {self.reference} is damaged: {self.folder / file} has SHA-256 {actual}, {CARD} says "
                    f"{expected}; {_RESTORE}. If you changed the file on purpose, write its checksum into {CARD}"
                )

    def _checksum(self, file: str) -> str:
        path = self.folder / file
        try:
            with path.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except FileNotFoundError:
            raise ModelDamaged(f"model {self.reference} is damaged: {path} is missing; {_RESTORE}") from None
        except OSError as error:
            raise ModelDamaged(
                f"model {self.reference} cannot be read: {path}: {error.strerror}; make it readable, or {_RESTORE}"
            ) from error


_SET_ASIDE: Final = re.compile(r"^\.|~$|\.(?:bak|old|orig|tmp)$", re.IGNORECASE)
_RESTORE: Final = "get the model's folder anew (`git checkout -- onnx_models`, or a fresh copy)"


class Catalogue:
    """The models of one folder. It is looked at anew with every question: models may be added while it is used."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def list(self) -> list[Entry]:
        """Every model and version that is there, by name, the newest version first. No card is read.

        Folders that were set aside (`1.0.0~`, `1.0.0.bak`, `.1.0.0`) are no versions.
        """
        found = [
            Entry(card.parent.parent.name, card.parent.name, card.parent)
            for card in self.models_dir.glob(f"*/*/{CARD}")
            if not _SET_ASIDE.search(card.parent.name)
        ]
        found.sort(key=lambda entry: _order(entry.version), reverse=True)
        return sorted(found, key=lambda entry: entry.name)

    def find(self, reference: str) -> Entry:
        """The model called NAME/VERSION, or the newest version of NAME.

        Raises:
            ModelMissing: there is none; says which there are.
        """
        name, slash, version = reference.partition("/")
        entries = self.list()
        for entry in entries:
            if entry.name == name and (entry.version == version or not slash):
                return entry
        there = ", ".join(entry.reference for entry in entries) or "none at all"
        raise ModelMissing(
            f"there is no model {reference!r} in {self.models_dir}; there is: {there}. "
            "Name one of these (NAME or NAME/VERSION), or set HEARTBEAT_MODELS_DIR to the folder that holds it"
        )


def _order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Versions in the order that people read them in: 1.9 < 1.10-rc1 < 1.10 < 1.10.1 < 2."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return (*((2, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, 0, version))


def _dotted(place: tuple[int | str, ...]) -> str:
    key = ""
    for part in place:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key
