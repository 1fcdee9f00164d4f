"""An export from beginning to end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from heartbeat.models.card import GRAPH, TOKENIZER
from heartbeat.models.export import agreement, card, folder, graph, posts, quantise, source, trial
from heartbeat.models.export.errors import ExportFailed
from heartbeat.models.export.odd import ODD_TEXTS
from heartbeat.models.export.original import Original
from heartbeat.models.export.request import Request, checked
from heartbeat.models.export.shipped import Shipped, portable
from heartbeat.models.export.wording import prepare

_GROUP: Final = 8
"""Posts that are put together to see what neighbours and padding change."""

_EXACT_POSTS: Final = 50
"""Posts that the graph is tried on before it is quantised."""

_COPIES: Final = 4
"""How many times the size of its weights an export writes at most: the graph, a copy to quantise, what comes of it."""

_MEGABYTE: Final = 1_000_000


def export(request: Request, tell: Callable[[str], None]) -> Path:
    """Export a model; the folder that it is in then.

    Args:
        request: what is asked for.
        tell: is given a line at each step.

    Raises:
        ExportFailed: it cannot be done; nothing was written.
    """
    request = checked(request)
    try:
        return _export(request, tell)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportFailed(
                f"the disk became full: {error.filename or request.models_dir}; make room and begin again"
            ) from error
        raise


def _export(request: Request, tell: Callable[[str], None]) -> Path:
    tell(f"reading {request.model} …")
    origin = source.find(request)
    languages, licence = card.terms(request, origin)
    raw = posts.load(request.posts, languages)
    original = Original(origin, request.labels, request.max_tokens)
    # posts that a static model was calibrated on flatter it: it is judged by the others
    learned, judged = (raw[::2], raw[1::2]) if request.quantize == "static" else ([], raw)

    def prepared(texts: Sequence[str]) -> list[str]:
        return [prepare(text, request.wording, request.max_chars) for text in texts]

    with folder.staging(request.models_dir, need=_COPIES * origin.size + 100 * _MEGABYTE) as place:
        tokenizer = place.model / TOKENIZER
        tokenizer.write_text(portable(original.tokenizer_json()), encoding="utf-8")

        tell("making the graph …")
        floats = graph.exported(original, place.work / "exported")
        exact = place.work / "exact.onnx"
        quantise.written(floats, "none", [], place.work, exact)
        shipped = Shipped(exact, tokenizer, max_tokens=original.max_tokens, pad_id=original.pad_id)
        odd = prepared(ODD_TEXTS)
        compared = agreement.require_same_tokens(original, shipped, [*odd, *prepared(raw)])

        tell(f"asking the original about {len(judged)} posts …")
        texts = prepared(judged)
        expected = original.probabilities(texts)
        before = agreement.compare(expected[:_EXACT_POSTS], shipped.probabilities(texts[:_EXACT_POSTS]))
        agreement.require_same_graph(before)

        if request.quantize != "none":
            tell(f"quantising ({request.quantize}) …")
        tokens = [shipped.ids(text) for text in prepared(learned)]
        quantise.written(floats, request.quantize, tokens, place.work, place.model / GRAPH)

        tell("asking the new model …")
        described = card.values(request, origin, original, languages, licence)
        promised = card.write(place.model, described)
        answers = trial.answers(place.model, promised, [*judged, *ODD_TEXTS], [*texts, *odd])[: len(judged)]
        found = agreement.compare(expected, answers)
        agreement.require(found, request.agreement, _ADVICE[request.quantize])
        shipped = Shipped(place.model / GRAPH, tokenizer, max_tokens=original.max_tokens, pad_id=original.pad_id)
        measured = card.figures(
            found,
            agreement.compare(answers, shipped.probabilities(texts, group=_GROUP)),
            before,
            posts_from=request.posts.name if request.posts else "the demo",
            tokens_compared=compared,
            sizes={file.name: file.stat().st_size for file in (place.model / GRAPH, tokenizer)}
            | {"original": origin.size},
        )
        card.write(place.model, {**described, "figures": measured})
        place.publish(request.target, force=request.force)
    tell(
        f"{request.reference} is in {request.target}: {found.same} of {found.posts} posts get the label of the "
        f"original, {measured['bytes'][GRAPH] / _MEGABYTE:.1f} MB instead of {origin.size / _MEGABYTE:.1f} MB"
    )
    return request.target


_ADVICE: Final = {
    "weights": "say QUANTIZE=none",
    "dynamic": "say QUANTIZE=weights or QUANTIZE=none",
    "static": "say QUANTIZE=weights or QUANTIZE=none, or calibrate on more posts with POSTS=",
    "none": "this is a fault of the export: please report it, with the model's name",
}
