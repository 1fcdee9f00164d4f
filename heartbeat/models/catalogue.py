"""The catalogue: which models there are, what each says of itself in `model.yaml`, and whether its files are whole.

    onnx_models/NAME/VERSION/model.yaml     described in docs/model-yaml.md
                             model.onnx

Whether a model's graph does what its card promises is `runtime`'s to find out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from heartbeat import configfile
from heartbeat.errors import ConfigError, ModelDamaged, ModelMissing, ModelUnfit
from heartbeat.models.api import UNKNOWN

CARD: Final = "model.yaml"
GRAPH: Final = "model.onnx"
SENTIMENTS: Final = frozenset({"negative", "neutral", "positive"})

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHECKSUM: Final = r"^[0-9a-f]{64}$"


def _text(value: object) -> object:
    """YAML reads `version: 2` as a number. A whole number is plain; of `1.10` the zero is lost already."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tensor(_Part):
    """One input or output of the graph. `None` in a shape is a length that differs from run to run."""

    name: str
    type: str
    shape: list[int | str | None]


class Source(_Part):
    """One body of text that the model learned from."""

    name: str
    source: str
    licence: str
    research_only: bool = Field(description="whether its licence forbids commercial use of what is made from it")
    texts: int | None = Field(None, ge=0, description="how many texts of it were used")


class Card(_Part):
    """What `model.yaml` says."""

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    version: Annotated[str, BeforeValidator(_text)] = Field(pattern=f"^{_NAME.pattern}$")
    kind: Literal["language", "sentiment"]
    family: Literal["ngram"]
    description: str = ""
    licence: str = ""
    labels: list[str] = Field(min_length=2)
    languages: list[Annotated[str, Field(pattern="^[a-z]{2,3}$")]] = Field(min_length=1)
    input: Tensor = Tensor(name="codes", type="int32", shape=["N", "L"])
    output: Tensor = Tensor(name="probs", type="float32", shape=["N", "K"])
    max_chars: int = Field(ge=1)
    files: Mapping[str, Annotated[str, Field(pattern=_CHECKSUM)]]
    training: list[Source] = Field(min_length=1)
    figures: Mapping[str, JsonValue] = Field(default_factory=dict)
    changes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_together(self) -> Card:
        for listed, what in ((self.labels, "labels"), (self.languages, "languages")):
            if len(set(listed)) != len(listed):
                raise ValueError(f"{what}: one of them stands twice")
        if self.kind == "sentiment" and frozenset(self.labels) != SENTIMENTS:
            raise ValueError(
                f"labels: are {', '.join(self.labels)}, but a sentiment model has to tell "
                "negative, neutral and positive apart, by these names and no others"
            )
        if self.kind == "language" and set(self.labels) - {UNKNOWN} != set(self.languages):
            raise ValueError(f"labels: of a language model have to be its languages, and {UNKNOWN!r}")
        if GRAPH not in self.files:
            raise ValueError(f"files: {GRAPH} is not among them")
        for file in self.files:
            place = PurePosixPath(file)
            if place.is_absolute() or ".." in place.parts or "\\" in file:
                raise ValueError(f"files: {file!r} does not stay in the model's folder")
        return self

    @property
    def reference(self) -> str:
        """NAME/VERSION: what records carry."""
        return f"{self.name}/{self.version}"

    @property
    def research_only(self) -> bool:
        """Whether any of its sources forbids commercial use."""
        return any(source.research_only for source in self.training)


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


_RESTORE: Final = "get the model's folder anew (`git checkout -- onnx_models`, or a fresh copy)"


class Catalogue:
    """The models of one folder. It is looked at anew with every question: models may be added while it is used."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def list(self) -> list[Entry]:
        """Every model and version that is there, by name, the newest version first. No card is read."""
        found = [
            Entry(card.parent.parent.name, card.parent.name, card.parent)
            for card in self.models_dir.glob(f"*/*/{CARD}")
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
