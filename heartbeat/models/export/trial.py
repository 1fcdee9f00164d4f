"""The last gate: the new folder, loaded and asked exactly as a worker does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from heartbeat.errors import ModelError
from heartbeat.models.card import Card
from heartbeat.models.catalogue import Entry
from heartbeat.models.encoder import EncoderModel
from heartbeat.models.export.agreement import Probabilities
from heartbeat.models.export.errors import ExportFailed


def answers(folder: Path, card: Card, raw: Sequence[str], expected: Sequence[str]) -> Probabilities:
    """What Heartbeat will say of posts, float32 [N, K].

    Args:
        folder: with everything in it that the catalogue wants.
        card: its card.
        raw: posts as they come.
        expected: the same, prepared, as the original was given them.

    Raises:
        ExportFailed: it does not load, or prepares posts in another way.
    """
    try:
        return asyncio.run(_answers(Entry(card.name, card.version, folder), raw, expected))
    except ModelError as error:
        raise ExportFailed(f"Heartbeat would not load this model: {error}") from error


async def _answers(entry: Entry, raw: Sequence[str], expected: Sequence[str]) -> Probabilities:
    model = EncoderModel.load(entry)
    try:
        prepared = model.prepare(raw)
        # one without words of its own is never scored; a prepared text keeps a character more, to tell that it was cut
        if other := [at for at, text in enumerate(prepared) if text and text[: entry.card.max_chars] != expected[at]]:
            raise ExportFailed(
                f"post {other[0] + 1} is prepared in another way at run time than it was for the original; this is a "
                "fault of the export: please report it"
            )
        judgement = await model.judge(expected)
    finally:
        await model.close()
    return np.asarray(judgement.rows, np.float32)
