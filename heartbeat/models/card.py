"""What a model says of itself in `model.yaml`, as docs/model-yaml.md describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

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
    if isinstance(value, float):
        raise ValueError(f'is the number {value}, as YAML reads it; write it in quotes, such as "1.10"')
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
    max_tokens: int | None = Field(
        None, ge=3, le=2**20, description="of an encoder, special ones included; the rest is cut"
    )
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
            if place.is_absolute() or ".." in place.parts or "\\" in file or "\0" in file:
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
