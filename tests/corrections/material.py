"""Posts and corrections to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heartbeat.corrections.rows import Correction, SeenPost
from heartbeat.corrections.store import Corrections

T0 = 1_763_794_800_000
"""2025-11-22T07:00:00Z."""


def seen(post_id: str = "1", content: str = "some text", **more: Any) -> SeenPost:
    fields: dict[str, Any] = {
        "source": "x", "id": post_id, "rev": 0, "content": content, "task": "aurora", "time_ms": T0 - 60_000,
        "label": "neutral", "lang": "en", "lang_confidence": 0.9, "pos": 0.2, "neu": 0.5, "neg": 0.3, "model": "m/1",
    }  # fmt: skip
    return SeenPost(**{**fields, **more})


def correction(
    post: SeenPost | None = None, label: str | None = "positive", lang: str | None = "en", at_ms: int = T0
) -> Correction:
    return Correction(0, at_ms, label, lang, post or seen())


def opened(folder: Path) -> Corrections:
    return Corrections(folder / "corrections.db", writing=True)


def in_all_files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("corrections.db*")))
