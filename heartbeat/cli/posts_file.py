"""Reads a file of posts to judge models on: JSONL, TSV `label<TAB>text`, or a text a line; also .gz and .xz."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import orjson

from heartbeat.cli.common import Failure, Misuse
from heartbeat.cli.judging import Post

MIXED: Final = "mixed"
_SHORT: Final = {
    **{"neg": "negative", "neu": "neutral", "pos": "positive"},
    **{"0": "negative", "1": "neutral", "2": "positive"},
}
"""Other names of sentiments; the numbers are those of TweetEval and most that came after it."""
_OPEN: Final[dict[str, Callable[..., gzip.GzipFile | lzma.LZMAFile]]] = {".gz": gzip.open, ".xz": lzma.open}


def read_posts(path: Path, labels: Collection[str]) -> list[Post]:
    """Every post of a file; empty lines are passed over.

    What it is, its ending says (.jsonl, .ndjson, .tsv, .txt), or its first line does. JSONL has `content`, and may
    have `lang` and `label`.

    Args:
        path: the file.
        labels: those that a gold label may be; where they are sentiments, `mixed` and short names as well.

    Raises:
        Misuse: a line is not what the others are; names it.
        Failure: the file cannot be read, or holds no text.
    """
    try:
        opened = _OPEN.get(path.suffix, open)
        with opened(path, "rb") as stream:
            lines = stream.read().decode("utf-8-sig", "replace").split("\n")
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise Failure(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    numbered = [(at, line.removesuffix("\r")) for at, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise Failure(f"{path} holds no text")
    known = {label: label for label in labels}
    if "positive" in known:
        known |= {**_SHORT, MIXED: MIXED, "neutral": "neutral"}
    kind = _kind(path, numbered[0][1], known)
    if kind == "text":
        return [Post(line, line=at) for at, line in numbered]
    read = _from_json if kind == "jsonl" else _from_tsv
    return [read(path, at, line, known) for at, line in numbered]


def _kind(path: Path, first: str, known: Collection[str]) -> str:
    ending = Path(path.stem).suffix if path.suffix in _OPEN else path.suffix
    by_ending = {".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv", ".txt": "text"}.get(ending.lower())
    if by_ending is not None:
        return by_ending
    if first.lstrip().startswith("{"):
        return "jsonl"
    return "tsv" if first.partition("\t")[0].strip().lower() in known and "\t" in first else "text"


def _from_json(path: Path, at: int, line: str, known: dict[str, str]) -> Post:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Misuse(f"{path}:{at}: is no JSON: {error}") from None
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        raise Misuse(f"{path}:{at}: has to be an object with a text `content`")
    lang, label = item.get("lang"), item.get("label")
    for name, value in (("lang", lang), ("label", label)):
        if value is not None and not isinstance(value, str):
            raise Misuse(f"{path}:{at}: `{name}` has to be a text")
    return Post(item["content"], lang or None, _label(path, at, label, known), at)


def _from_tsv(path: Path, at: int, line: str, known: dict[str, str]) -> Post:
    label, tab, text = line.partition("\t")
    if not tab:
        raise Misuse(f"{path}:{at}: has no tab; each line has to be LABEL<TAB>TEXT")
    return Post(text, None, _label(path, at, label, known), at)


def _label(path: Path, at: int, label: str | None, known: dict[str, str]) -> str | None:
    if not label or not label.strip():
        return None
    found = known.get(label.strip().lower())
    if found is None:
        raise Misuse(f"{path}:{at}: {label!r} is none of the labels that are known: {_named(list(known))}")
    return found


def _named(labels: Sequence[str]) -> str:
    return ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
