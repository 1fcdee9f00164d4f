"""What the history has to hold, in plain Python: the oracle of its tests, and records to feed both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heartbeat.clock import Clock
from heartbeat.records import Figures, Late, Pulse, Scored
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rows import PostRow, WindowRow

T0 = 1_760_000_040_000
SIZES = (10, 60)


class StillClock:
    """A clock that stands where it is put."""

    def __init__(self, ms: int = T0) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms


def scored(
    post_id: str = "1",
    *,
    task: str = "t",
    op: Any = "add",
    rev: int = 0,
    time_ms: int = T0,
    source: str = "x",
    lang: str = "en",
    pos: float | None = 0.7,
    label: str | None = "positive",
    content: str | None = "hello",
) -> Scored:
    """A score with everything in it, or an unscored post where `pos` is None."""
    given = pos is not None
    return Scored(
        post_id,
        source,
        "demo",
        task,
        op,
        rev,
        time_ms,
        lang,
        0.9,
        pos,
        0.25 if given else None,
        0.05 if given else None,
        label if given else None,
        None if given else "no model for this language",
        "fast/1" if given else None,
        False,
        False,
        content,
    )


def late(score: Scored) -> Late:
    """The same, as it comes for a sealed window."""
    return Late(*score[:16])


def figures(posts: Sequence[Scored]) -> Figures:
    """What these posts add up to."""
    total = [0] * 9
    for post in posts:
        if post.pos is None or post.neu is None or post.neg is None or post.label is None:
            total[1] += 1
            continue
        total[0] += 1
        total[2 + ("positive", "neutral", "negative", "mixed").index(post.label)] += 1
        for at, score in ((6, post.pos), (7, post.neu), (8, post.neg)):
            total[at] += round(score * 1_000_000)
    return Figures(*total)


def models(posts: Sequence[Scored]) -> dict[str, int]:
    """How many of these posts each model scored."""
    return dict(Counter(post.model for post in posts if post.label and post.model))


def pulse(size_s: int, start_ms: int, posts: Sequence[Scored], *, task: str = "t", revision: int = 1) -> Pulse:
    """A window that holds these posts."""
    return Pulse(
        task,
        size_s,
        start_ms,
        revision,
        revision > 0,
        0,
        figures(posts),
        {lang: figures([p for p in posts if p.lang == lang]) for lang in {p.lang for p in posts}},
        {source: figures([p for p in posts if p.source == source]) for source in {p.source for p in posts}},
        models(posts),
    )


class Model:
    """The content of a history after records of both topics, each in its own order."""

    def __init__(self) -> None:
        self.posts: dict[tuple[str, int, str, str], Scored] = {}
        self.late: set[tuple[str, int, str, str, int]] = set()
        self.windows: dict[tuple[str, int, int], Pulse] = {}

    def sentiment(self, score: Scored) -> None:
        key = (score.task, score.time_ms, score.source, score.id)
        stands = self.posts.get(key)
        if score.op == "add":
            if stands is None or stands.rev <= score.rev:
                self.posts[key] = score
        elif stands is not None and stands.rev <= score.rev:
            del self.posts[key]

    def pulse(self, record: Pulse | Late) -> None:
        if isinstance(record, Pulse):
            self.windows[record[:3]] = record
            if record.overall.scored + record.overall.unscored == 0:
                del self.windows[record[:3]]
            return
        key = (record.task, record.time_ms, record.source, record.id, record.rev)
        if record.op == "add":
            self.late.add(key)
        elif key in self.late:
            self.late.remove(key)
        else:
            self._take_out(record)

    def _take_out(self, gone: Late) -> None:
        taken = figures([Scored(*gone, False, None)])

        def less(have: Figures) -> Figures:
            return Figures(*(a - b for a, b in zip(have, taken, strict=True)))

        def parts(have: Any, name: str) -> dict[str, Figures]:
            out = {**have, name: less(have.get(name, Figures()))}
            return {key: value for key, value in out.items() if value != Figures()}

        for key, window in list(self.windows.items()):
            task, size_s, start_ms = key
            if task == gone.task and start_ms <= gone.time_ms < start_ms + 1000 * size_s:
                self.pulse(
                    window._replace(
                        revision=window.revision + 1,
                        overall=less(window.overall),
                        by_lang=parts(window.by_lang, gone.lang),
                        by_source=parts(window.by_source, gone.source),
                        by_model=Counter(window.by_model) - Counter([gone.model] if gone.label and gone.model else []),
                    )
                )

    def post_rows(self) -> list[PostRow]:
        rows = [
            PostRow(
                p.id,
                p.source,
                p.task,
                p.time_ms,
                p.lang,
                p.lang_confidence,
                p.label,
                p.pos,
                p.neu,
                p.neg,
                p.model,
                p.unscored_reason,
                (p.task, p.time_ms, p.source, p.id, p.rev) in self.late,
                p.rev,
                p.feed,
                p.content,
            )
            for p in self.posts.values()
        ]
        return sorted(rows, key=lambda row: (row.task, row.time, row.source, row.id))

    def rolled(self) -> list[Pulse]:
        """Hours and days: what the largest windows add up to."""

        def added(figures: Sequence[Figures]) -> Figures:
            return Figures(*map(sum, zip(*figures, strict=True)))

        def parts(several: Sequence[Mapping[str, Figures]]) -> dict[str, Figures]:
            names = {name for each in several for name in each}
            return {name: added([each[name] for each in several if name in each]) for name in names}

        rows = []
        sizes: dict[str, int] = {}
        for window in self.windows.values():
            sizes[window.task] = max(window.size_s, sizes.get(window.task, 0))
        largest = [window for window in self.windows.values() if window.size_s == sizes[window.task]]
        for size_s in (3_600, 86_400):
            groups: dict[tuple[str, int], list[Pulse]] = {}
            for window in largest:
                groups.setdefault((window.task, window.start_ms - window.start_ms % (1000 * size_s)), []).append(window)
            for (task, start_ms), inside in groups.items():
                rows.append(
                    Pulse(
                        task,
                        size_s,
                        start_ms,
                        sum(window.revision for window in inside),
                        all(window.final for window in inside),
                        0,
                        added([window.overall for window in inside]),
                        parts([window.by_lang for window in inside]),
                        parts([window.by_source for window in inside]),
                    )
                )
        return rows

    def window_rows(self) -> list[WindowRow]:
        rows = []
        for window in [*self.windows.values(), *self.rolled()]:
            by: Any
            for by, parts in (("all", {"all": window.overall}), ("lang", window.by_lang), ("source", window.by_source)):
                for key, f in parts.items():
                    rows.append(
                        WindowRow(
                            window.task,
                            window.start_ms,
                            window.size_s,
                            by,
                            key,
                            f.scored + f.unscored,
                            f.scored,
                            f.positive,
                            f.neutral,
                            f.negative,
                            f.mixed,
                            f.unscored,
                            f.pos_e6 / (f.scored * 1_000_000) if f.scored else None,
                            f.neu_e6 / (f.scored * 1_000_000) if f.scored else None,
                            f.neg_e6 / (f.scored * 1_000_000) if f.scored else None,
                            window.revision,
                            window.final,
                        )
                    )
        return sorted(rows, key=lambda row: (row.task, row.window_seconds, row.window_start, row.by, row.key))


def all_pulses(reader: HistoryReader) -> dict[tuple[str, int, int], Pulse]:
    """Every window as it was published."""
    windows = (
        window for task in reader.tasks() for size_s in reader.sizes(task) for window in reader.pulses(task, size_s)
    )
    return {window[:3]: window for window in windows}


def all_windows(reader: HistoryReader) -> list[WindowRow]:
    """Every row of every cut."""
    rows = [*reader.windows(), *reader.windows(by="lang"), *reader.windows(by="source")]
    return sorted(rows, key=lambda row: (row.task, row.window_seconds, row.window_start, row.by, row.key))


def open_history(folder: Path, clock: Clock | None = None, **options: Any) -> History:
    history = History(folder / "history.db", clock=clock or StillClock(), **options)
    history.start()
    return history


def in_all_files(folder: Path, needle: bytes) -> int:
    """How often these bytes stand in the history's files, WAL included."""
    return sum(path.read_bytes().count(needle) for path in folder.glob("history.db*"))
