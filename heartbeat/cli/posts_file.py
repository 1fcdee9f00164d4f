"""Reads a file of posts to judge models on: JSONL, TSV `label<TAB>text`, or a text a line; also .gz and .xz."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from heartbeat.cli.common import Failure, Misuse
from heartbeat.cli.judging import Post
from heartbeat.tasks.hints import language_of

MIXED: Final = "mixed"
_SHORT: Final = {
    **{"neg": "negative", "neu": "neutral", "pos": "positive"},
    **{"0": "negative", "1": "neutral", "2": "positive"},
}
"""Other names of sentiments; the numbers are those of TweetEval and most that came after it."""
_LONGEST_LABEL: Final = 24
"""What is longer is most likely a text, in the place of a label; texts are not shown unasked."""
_OTHER_FORMS: Final = {".csv": "CSV", ".parquet": "Parquet"}
"""What `heartbeat export` and `heartbeat corrections export` write as well, and is not read here."""
Known = Mapping[str, str | None]
"""What a gold label may be called, and the label that it is; None: one that says nothing here."""
_OPEN: Final[dict[str, Callable[..., gzip.GzipFile | lzma.LZMAFile]]] = {".gz": gzip.open, ".xz": lzma.open}


def read_posts(path: Path, labels: Collection[str] | None) -> list[Post]:
    """Every post of a file; empty lines are passed over.

    What it is, its ending says (.jsonl, .ndjson, .tsv, .txt), or its first line does. JSONL has `content`, and may
    have `lang` and `label`.

    Args:
        path: the file.
        labels: those that a gold label may be; where they are sentiments, `mixed` and short names as well; where they
            are languages, a sentiment (as corrections have it) is passed over. None: all labels are.

    Raises:
        Misuse: a line is not what the others are; names it.
        Failure: the file cannot be read, is of another form, or holds no text.
    """
    if (form := _OTHER_FORMS.get(_ending(path))) is not None:
        raise Failure(f"{path} is {form}, which is not read here; give JSONL, TSV (LABEL<TAB>TEXT) or a text a line")
    try:
        opened = _OPEN.get(path.suffix.lower(), open)
        with opened(path, "rb") as stream:
            content = stream.read()
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise Failure(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if b"\0" in content:
        raise Failure(f"{path} is no text file: there are zero bytes in it; save it as UTF-8")
    lines = content.decode("utf-8-sig", "replace").split("\n")
    numbered = [(at, line.removesuffix("\r")) for at, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise Failure(f"{path} holds no text")
    known: Known | None = None
    if labels is not None:
        sentiments = {**_SHORT, **{label: label for label in _SHORT.values()}, MIXED: MIXED}
        known = {
            **(sentiments if "positive" in labels else dict.fromkeys(sentiments)),
            **{name: name for name in labels},
        }
    kind = _kind(path, numbered[0][1], _meant(known) if known is not None else [*_SHORT, *_SHORT.values()])
    if kind == "text":
        return [Post(line, line=at) for at, line in numbered]
    read = _from_json if kind == "jsonl" else _from_tsv
    return [read(path, at, line, known) for at, line in numbered]


def _ending(path: Path) -> str:
    """What it is, whatever it is packed with."""
    return (Path(path.stem) if path.suffix.lower() in _OPEN else path).suffix.lower()


def _kind(path: Path, first: str, known: Collection[str]) -> str:
    by_ending = {".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv", ".txt": "text"}.get(_ending(path))
    if by_ending is not None:
        return by_ending
    if first.lstrip().startswith("{"):
        return "jsonl"
    return "tsv" if first.partition("\t")[0].strip().lower() in known and "\t" in first else "text"


def _from_json(path: Path, at: int, line: str, known: Known | None) -> Post:
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
    # As feeds' hints are read ("en-US", "EN", "no"); what no model here knows stays as it stands.
    return Post(item["content"], (language_of(lang) or lang) if lang else None, _label(path, at, label, known), at)


def _from_tsv(path: Path, at: int, line: str, known: Known | None) -> Post:
    label, tab, text = line.partition("\t")
    if not tab:
        raise Misuse(f"{path}:{at}: has no tab; each line has to be LABEL<TAB>TEXT")
    return Post(text, None, _label(path, at, label, known), at)


def _label(path: Path, at: int, label: str | None, known: Known | None) -> str | None:
    if known is None or not label or not label.strip():
        return None
    name = label.strip().lower()
    if name not in known:
        said = repr(label) if len(label) <= _LONGEST_LABEL else f"a label of {len(label):,} characters"
        raise Misuse(f"{path}:{at}: {said} is none of the labels that are known: {_named(_meant(known))}")
    return known[name]


def _meant(known: Known) -> list[str]:
    return [name for name, label in known.items() if label is not None]


def _named(labels: Sequence[str]) -> str:
    return ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
