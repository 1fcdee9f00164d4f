"""JSON objects: how records and rows look to a client. `docs/api.md` describes each field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from heartbeat.corrections import lines
from heartbeat.corrections.rows import Correction
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Figures, Heartbeat, Late, Pulse, Scored
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary
from heartbeat.tasks import Task
from heartbeat.web.params import EARLIEST_MS, LATEST_MS
from heartbeat.web.sources import FeedInfo, WebSources

CONTENT_SHOWN: Final = 600
"""How many characters of a post travel in an event; `/api/posts` gives all of them."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=16_384)  # a chart by language names each moment ten times
def rfc3339(moment_ms: int) -> str:
    """A moment in UTC with milliseconds, `2025-03-01T12:00:00.000Z`; kept within the years 1 to 9999."""
    moment = _EPOCH + timedelta(milliseconds=min(max(moment_ms, EARLIEST_MS), LATEST_MS))
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def figures(row: Figures) -> dict[str, Any]:
    """Counts, and means over the scored posts (None where there are none)."""
    scored = row.scored
    return {
        "total": scored + row.unscored,
        "scored": scored,
        "positive": row.positive,
        "neutral": row.neutral,
        "negative": row.negative,
        "mixed": row.mixed,
        "unscored": row.unscored,
        "pos_mean": round(row.pos_e6 / scored / 1e6, 6) if scored else None,
        "neu_mean": round(row.neu_e6 / scored / 1e6, 6) if scored else None,
        "neg_mean": round(row.neg_e6 / scored / 1e6, 6) if scored else None,
    }


def window_row(task: str, by: By, row: FiguresRow) -> dict[str, Any]:
    """A row of `/api/windows`: the columns of `heartbeat export windows`."""
    return {
        "task": task,
        "window_start": rfc3339(row.start_ms),
        "window_seconds": row.size_s,
        "by": by,
        "key": row.key,
        **(figures(row.figures) if by != "model" else _counted(row.figures.scored)),
        "revision": row.revision,
        "final": row.final,
    }


def _counted(posts: int) -> dict[str, Any]:
    """The figures of a model: how many posts it scored is all that is known."""
    return {**dict.fromkeys(figures(Figures())), "total": posts, "scored": posts}


def rows_of(window: Pulse, by: By) -> Iterator[FiguresRow]:
    """A live window cut into rows as history has them."""
    parts: Mapping[str, Figures] = {"all": window.overall}
    if by == "model":
        parts = {model: Figures(scored=posts) for model, posts in window.by_model.items()}
    elif by != "all":
        parts = window.by_lang if by == "lang" else window.by_source
    for key, row in parts.items():
        yield FiguresRow(window.start_ms, key, row, window.revision, window.final, window.size_s)


def window_event(window: Pulse) -> dict[str, Any]:
    """The data of a `window` event: the whole window, which replaces what was known of it."""
    return {
        "task": window.task,
        "window_start": rfc3339(window.start_ms),
        "window_seconds": window.size_s,
        "revision": window.revision,
        "final": window.final,
        "late": window.late,
        "all": figures(window.overall),
        "lang": {key: figures(row) for key, row in window.by_lang.items()},
        "source": {key: figures(row) for key, row in window.by_source.items()},
        "model": dict(window.by_model),
    }


def unheard_event(beat: Heartbeat) -> dict[str, Any]:
    """The data of an `unheard` event: of that time the feed has heard nothing."""
    assert beat.unheard_from_ms is not None and beat.unheard_to_ms is not None
    return {"feed": beat.feed, "from": rfc3339(beat.unheard_from_ms), "to": rfc3339(beat.unheard_to_ms)}


def post_row(row: PostRow, correction: Correction | None) -> dict[str, Any]:
    """A row of `/api/posts`: the columns of `heartbeat export posts`, the text, and what people say of it."""
    fields = {**row._asdict(), "time": rfc3339(row.time)}
    for name in ("rev", "feed"):
        del fields[name]
    known = correction is not None and row.content in (None, correction.post.content)
    said = verdict(correction) if correction is not None and known else None
    return {**fields, "correction": said}


def verdict(correction: Correction) -> dict[str, Any]:
    """What somebody said a post should be called, beside the post itself."""
    return {
        "number": correction.number,
        "label": correction.label,
        "lang": correction.lang,
        "corrected": rfc3339(correction.corrected_ms),
        "confirms": correction.confirms,
    }


def correction_row(correction: Correction) -> dict[str, Any]:
    """An object of `/api/corrections`: a line of `heartbeat corrections export`, and its number."""
    cells = dict(zip(lines.COLUMNS, lines.row(correction), strict=True))
    times = {name: rfc3339(cells[name]) for name in ("corrected", "time")}
    return {"number": correction.number, **cells, **times}


def post_event(record: Scored | Late) -> dict[str, Any]:
    """The data of a `post` event. A `retract` takes an earlier one back; a late one says nothing of the text."""
    late = isinstance(record, Late)
    event: dict[str, Any] = {
        "id": record.id,
        "source": record.source,
        "task": record.task,
        "time": rfc3339(record.time_ms),
        "op": record.op,
        "rev": record.rev,
        "feed": record.feed,
        "late": late,
    }
    if record.op == "retract":
        return event
    event |= {
        "lang": record.lang,
        "lang_confidence": record.lang_confidence,
        "label": record.label,
        "pos": record.pos,
        "neu": record.neu,
        "neg": record.neg,
        "model": record.model,
        "unscored_reason": record.unscored_reason,
    }
    if isinstance(record, Scored):
        content = record.content
        event["content"] = content[:CONTENT_SHOWN] if content else content
        event["content_cut"] = content is not None and len(content) > CONTENT_SHOWN
    return event


def task(info: Task | None, span: Summary | None, sizes: Sequence[int]) -> dict[str, Any]:
    """An object of `/api/tasks`. A task that is not configured is known from history alone: it was replayed."""
    assert info or span
    name = info.name if info else span.task if span else ""
    return {
        "name": name,
        "title": info.title if info else name,
        "query": info.query.text if info else None,
        "feeds": list(info.feeds) if info else [],
        "languages": sorted(info.languages) if info and info.languages else None,
        "configured": info is not None,
        "first": rfc3339(span.from_ms) if span else None,
        "last": rfc3339(span.to_ms) if span else None,
        "total": span.total if span else 0,
        "unscored": span.unscored if span else 0,
        "late": span.late if span else 0,
        "sizes": list(sizes if info or not span else span.sizes),
    }


def feed(info: FeedInfo, now_ms: int) -> dict[str, Any]:
    """An object of `/api/feeds`. `behind_s` is how far the watermark is behind the clock; replays have none."""
    known = info.watermark_ms is not None and BEFORE_TIME_MS < info.watermark_ms < END_OF_TIME_MS
    watermark = info.watermark_ms if known else None
    return {
        "name": info.name,
        "live": info.live,
        "tasks": list(info.tasks),
        "state": str(info.state),
        "since": rfc3339(info.since_ms) if info.since_ms is not None else None,
        "watermark": rfc3339(watermark) if watermark is not None else None,
        "behind_s": round(max(now_ms - watermark, 0) / 1000, 1) if watermark is not None and info.live else None,
        "posts": info.posts,
        "rejected": info.rejected,
        "why": info.why,
        "progress": info.progress,
    }


def health(sources: WebSources) -> dict[str, Any]:
    """The object of `/api/health`."""
    return {
        "ready": sources.ready(),
        "healthy": sources.health.healthy,
        "parts": [
            {
                "part": status.part,
                "state": status.state.value,
                "since": rfc3339(status.since_ms),
                "why": status.why,
                "remedy": status.remedy,
            }
            for status in sources.health
        ],
        "lag": dict(sources.lag()),
    }
