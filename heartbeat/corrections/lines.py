"""Corrections as JSON lines: what `heartbeat corrections export` writes and `import` reads.

The columns `content`, `lang` and `label` are those that `heartbeat models compare --on` and other tools read.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from heartbeat.corrections.rows import Correction, SeenPost
from heartbeat.errors import CorrectionError

COLUMNS: Final = (
    "source", "id", "content", "label", "lang", "corrected", "was_label", "was_lang", "was_lang_confidence",
    "was_pos", "was_neu", "was_neg", "was_model", "task", "time", "rev",
)  # fmt: skip
LONGEST_LINE: Final = 2**22
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BadLine(CorrectionError):
    """A line is no correction; names the line and the field."""


def _moment(value: object) -> object:
    """RFC 3339 with an offset, or ms since the epoch; becomes ms."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no time: give 2025-11-22T10:00:00Z or ms since 1970") from None
    if moment.tzinfo is None:
        raise ValueError("does not say its offset: add Z for UTC")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Moment = Annotated[int, BeforeValidator(_moment), Field(ge=-62_135_596_800_000, le=253_402_300_799_999)]
Label = Annotated[Literal["positive", "neutral", "negative", "mixed"] | None, BeforeValidator(_none_if_empty)]
Lang = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=2_000)]


class Line(BaseModel):
    """A line. What else stands in it (an author, say) is not kept."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    source: Name
    id: Name
    content: Annotated[str, Field(max_length=1_000_000)]
    label: Label = None
    lang: Annotated[Lang | None, BeforeValidator(_none_if_empty)] = None
    corrected: Moment
    was_label: Label = None
    was_lang: Lang = "und"
    was_lang_confidence: Share = 0.0
    was_pos: Share | None = None
    was_neu: Share | None = None
    was_neg: Share | None = None
    was_model: Annotated[str, Field(max_length=500)] | None = None
    task: Annotated[str, Field(max_length=500)] = ""
    time: Moment | None = None
    rev: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0

    @model_validator(mode="after")
    def _says_something(self) -> Line:
        if self.label is None and self.lang is None:
            raise ValueError("neither `label` nor `lang` is there: one of them has to say what is right")
        return self

    def correction(self) -> Correction:
        """The same as a row."""
        post = SeenPost(
            self.source, self.id, self.rev, self.content, self.task,
            self.corrected if self.time is None else self.time,
            self.was_label, self.was_lang, self.was_lang_confidence,
            self.was_pos, self.was_neu, self.was_neg, self.was_model,
        )  # fmt: skip
        return Correction(0, self.corrected, self.label, self.lang, post)


def read_lines(path: Path, *, now_ms: int) -> Iterator[Correction]:
    """The corrections of a file (JSON lines, also .gz), one by one; empty lines are passed over.

    Args:
        path: the file.
        now_ms: lines that say so may not have been corrected later; those that do not were when the file was written.

    Raises:
        BadLine: one is no correction.
        OSError: the file cannot be read.
    """
    written_ms = min(path.stat().st_mtime_ns // 1_000_000, now_ms)
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as stream:
        at = 0
        while line := stream.readline(LONGEST_LINE + 1):
            at += 1
            if len(line) > LONGEST_LINE:
                raise BadLine(f"{path}:{at}: is longer than {LONGEST_LINE:,} bytes")
            if at == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _read(path, at, line, written_ms, now_ms)


def _read(path: Path, at: int, line: bytes, written_ms: int, now_ms: int) -> Correction:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"{path}:{at}: is no JSON: {error}") from None
    if not isinstance(item, dict):
        raise BadLine(f"{path}:{at}: has to be an object with source, id, content, and label or lang")
    try:
        read = Line.model_validate({"corrected": written_ms, **item})
        if read.corrected > now_ms + _DAY_MS:
            raise BadLine(f"{path}:{at}: corrected: is in the future")
        return read.correction()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # which may be a post's text
        field = f"{first['loc'][0]}: " if first["loc"] else ""
        raise BadLine(f"{path}:{at}: {field}{first['msg'].removeprefix('Value error, ')}") from None


def row(each: Correction) -> tuple[Any, ...]:
    """A correction in the order of `COLUMNS`; times in ms."""
    post = each.post
    return (
        post.source, post.id, post.content, each.label, each.lang, each.corrected_ms, post.label, post.lang,
        post.lang_confidence, post.pos, post.neu, post.neg, post.model, post.task, post.time_ms, post.rev,
    )  # fmt: skip


def rows(corrections: Iterable[Correction]) -> Iterator[tuple[Any, ...]]:
    """Each as `row`."""
    return map(row, corrections)
