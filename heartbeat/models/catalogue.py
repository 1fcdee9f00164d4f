"""The catalogue: which models there are, what each says of itself in `model.yaml`, and whether its files are whole.

    onnx_models/NAME/VERSION/model.yaml     described in docs/model-yaml.md
                             model.onnx
                             tokenizer.json     of the family `encoder`

Whether a model's graph does what its card promises is `runtime`'s to find out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from heartbeat import configfile
from heartbeat.errors import ConfigError, ModelDamaged, ModelMissing, ModelUnfit
from heartbeat.models.api import UNKNOWN

CARD: Final = "model.yaml"
GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
SENTIMENTS: Final = frozenset({"negative", "neutral", "positive"})
MASK: Final = "attention_mask"
"""The second input of an encoder: 1 for each token, 0 for padding."""

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
    family: Literal["ngram", "encoder"]
    description: str = ""
    licence: str = ""
    labels: list[str] = Field(min_length=2)
    languages: list[Annotated[str, Field(pattern="^[a-z]{2,3}$")]] = Field(min_length=1)
    input: Tensor
    output: Tensor
    max_chars: int = Field(ge=1)
    max_tokens: int | None = Field(None, ge=3, description="of an encoder, special ones included; the rest is cut")
    wording: Literal["plain", "tweets", "tweets-words"] = "plain"
    recall: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="by language: the macro recall on texts that were held out of training"
    )
    mixed_from: float | None = Field(None, ge=0, le=0.5, description="what fits it best, for the rule of `mixed`")
    mixed_neutral_to: float | None = Field(None, ge=0, le=1)
    files: Mapping[str, Annotated[str, Field(pattern=_CHECKSUM)]]
    training: list[Source] = Field(min_length=1)
    figures: Mapping[str, JsonValue] = Field(default_factory=dict)
    changes: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _usual_tensors(cls, values: Any) -> Any:
        """What a family's graph usually has need not be said."""
        if isinstance(values, dict):
            usual = _USUAL.get(str(values.get("family")), _USUAL["ngram"])
            return {**dict(zip(("input", "output"), usual, strict=True)), **values}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Card:
        for listed, what in ((self.labels, "labels"), (self.languages, "languages")):
            if len(set(listed)) != len(listed):
                raise ValueError(f"{what}: one of them stands twice")
        if self.kind == "sentiment" and frozenset(self.labels) not in (SENTIMENTS, SENTIMENTS - {"neutral"}):
            raise ValueError(
                f"labels: are {', '.join(self.labels)}, but a sentiment model has to tell "
                "negative, neutral and positive apart (or negative and positive), by these names and no others"
            )
        if self.kind == "language" and (self.mixed_from, self.mixed_neutral_to) != (None, None):
            raise ValueError("mixed_from, mixed_neutral_to: belong to the kind sentiment alone")
        if self.kind == "language" and set(self.labels) - {UNKNOWN} != set(self.languages):
            raise ValueError(f"labels: of a language model have to be its languages, and {UNKNOWN!r}")
        if self.family == "encoder":
            if self.kind != "sentiment":
                raise ValueError("family: an encoder tells sentiment, not language")
            if self.max_tokens is None:
                raise ValueError("max_tokens: an encoder reads so many tokens and no more; say how many")
        elif self.max_tokens is not None or self.wording != "plain":
            raise ValueError("max_tokens, wording: belong to the family encoder alone")
        for needed in (GRAPH, TOKENIZER)[: 2 if self.family == "encoder" else 1]:
            if needed not in self.files:
                raise ValueError(f"files: {needed} is not among them")
        for file in self.files:
            place = PurePosixPath(file)
            if place.is_absolute() or ".." in place.parts or "\\" in file:
                raise ValueError(f"files: {file!r} does not stay in the model's folder")
        return self

    @property
    def inputs(self) -> list[Tensor]:
        """Every input of the graph: an encoder has its mask beside its tokens."""
        if self.family == "ngram":
            return [self.input]
        return [self.input, self.input.model_copy(update={"name": MASK})]

    @property
    def reference(self) -> str:
        """NAME/VERSION: what records carry."""
        return f"{self.name}/{self.version}"

    @property
    def research_only(self) -> bool:
        """Whether any of its sources forbids commercial use."""
        return any(source.research_only for source in self.training)


_USUAL: Final = {
    "ngram": (
        {"name": "codes", "type": "int32", "shape": ["N", "L"]},
        {"name": "probs", "type": "float32", "shape": ["N", "K"]},
    ),
    "encoder": (
        {"name": "input_ids", "type": "int64", "shape": ["N", "L"]},
        {"name": "probabilities", "type": "float32", "shape": ["N", "K"]},
    ),
}


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
