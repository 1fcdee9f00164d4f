"""The posts that a model is calibrated on and compared with: a file's, or those of the demo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from heartbeat.models.export.errors import ExportFailed

LEAST: Final = 20
MOST: Final = 1000
"""More would not make the figures surer by what the wait for them costs: the original scores some 10 posts a second."""

_TEXT_KEYS: Final = ("content", "text")


def load(path: Path | None, languages: Sequence[str]) -> list[str]:
    """Texts in one of the languages, or of unknown language: at most `MOST`, taken evenly from the file.

    Args:
        path: text with a post a line, or JSON lines (`.jsonl`) with the post in `content` or `text` and, where it is
            known, its language in `lang`. None reads the demo's.
        languages: ISO 639-1.

    Raises:
        ExportFailed: it cannot be read, or holds too few.
    """
    shown = str(path) if path else "the demo's posts"
    try:
        content = path.read_bytes() if path else (resources.files("heartbeat") / "feeds" / "demo.jsonl").read_bytes()
    except OSError as error:
        raise ExportFailed(f"POSTS={path}: cannot be read: {error.strerror}; name a file of posts") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ExportFailed(f"{shown}, line {line}: is not UTF-8; save the file as UTF-8") from None
    as_json = path is None or path.suffix in {".jsonl", ".ndjson", ".json"}
    texts = list(_objects(shown, text, languages) if as_json else _lines(text))
    if len(texts) < LEAST:
        raise ExportFailed(
            f"{shown}: only {len(texts)} posts in {', '.join(languages)}; at least {LEAST} are needed to tell whether "
            "the model still says what it said: name a file of posts with POSTS="
        )
    step = max(len(texts) / MOST, 1.0)
    return [texts[int(index * step)] for index in range(min(len(texts), MOST))]


def _lines(text: str) -> Iterator[str]:
    # not splitlines, which breaks at form feeds and the like
    for line in text.split("\n"):
        if line.strip():
            yield line.rstrip("\r")


def _objects(shown: str, text: str, languages: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            post = json.loads(line)
        except ValueError:
            raise ExportFailed(f"{shown}, line {number}: is not JSON; one object a line is expected") from None
        found = next((post[key] for key in _TEXT_KEYS if key in post), None) if isinstance(post, dict) else None
        if not isinstance(found, str):
            raise ExportFailed(f"{shown}, line {number}: has no text under {' or '.join(_TEXT_KEYS)}")
        if found.strip() and post.get("lang") in (None, *languages):
            yield found
