"""What every window has to hold, worked out from the posts alone: plain Python that shares nothing with the agents.

    expected = windows(counted(posts, judge), sizes_s=(10, 60))
    assert expected == Reader(scored, published).windows()

`counted` says which posts stand in the end, whatever order they were delivered in; `windows` adds them up. `Reader`
does what any reader of the topics `sentiment` and `pulse` has to do to arrive at the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from heartbeat.records import Figures, Late, Post, Pulse, Scored


class Judged(NamedTuple):
    """What the models say of a post. Without a label it is unscored."""

    lang: str
    label: str | None = None
    pos: float = 0.0
    neu: float = 0.0
    neg: float = 0.0
    model: str | None = None


Judge: TypeAlias = Callable[[str, Post], Judged]
"""Judges a post for a task."""


class Standing(NamedTuple):
    """A post that counts in a task."""

    task: str
    scope: str
    source: str
    id: str
    time_ms: int
    judged: Judged


class Window(NamedTuple):
    """A task's window, by its start and size."""

    task: str
    size_s: int
    start_ms: int


class Held(NamedTuple):
    """What a window holds: overall, by language and by source, and scored posts by model. No rows of zeros."""

    overall: Figures
    by_lang: Mapping[str, Figures]
    by_source: Mapping[str, Figures]
    by_model: Mapping[str, int] = MappingProxyType({})


def counted(
    posts: Iterable[Post], judge: Judge, languages: Mapping[str, Iterable[str] | None] | None = None
) -> list[Standing]:
    """The posts that stand after all these deliveries.

    Of each post the highest revision counts, unless it was deleted at any time; each feed asks for the tasks of the
    highest revision that it delivered itself. Exact where every feed delivers the highest revision of what it delivers.

    Args:
        posts: deliveries in any order.
        judge: the models.
        languages: by task, the languages that it takes; None, or no entry: all.
    """
    deliveries: dict[tuple[str, str, str], list[Post]] = {}
    for post in posts:
        scope = post.feed if post.feed.startswith("replay:") else "live"
        deliveries.setdefault((scope, post.source, post.id), []).append(post)
    out = []
    for (scope, source, post_id), versions in deliveries.items():
        if any(version.op == "delete" for version in versions):
            continue
        newest = max(version.rev for version in versions)
        text = next(version for version in versions if version.rev == newest)
        tasks: set[str] = set()
        for feed in {version.feed for version in versions}:
            own = [version for version in versions if version.feed == feed]
            last = max(version.rev for version in own)
            tasks.update(task for version in own if version.rev == last for task in version.tasks)
        for task in sorted(tasks):
            judged = judge(task, text)
            takes = (languages or {}).get(task)
            if takes is None or judged.lang in set(takes):
                out.append(Standing(task, scope, source, post_id, text.time_ms, judged))
    return out


def figures(judged: Iterable[Judged]) -> Figures:
    """The figures of some posts."""
    rows = list(judged)
    scored = [row for row in rows if row.label is not None]
    label = [row.label for row in scored]
    return Figures(
        scored=len(scored),
        unscored=len(rows) - len(scored),
        positive=label.count("positive"),
        neutral=label.count("neutral"),
        negative=label.count("negative"),
        mixed=label.count("mixed"),
        pos_e6=sum(round(row.pos * 10**6) for row in scored),
        neu_e6=sum(round(row.neu * 10**6) for row in scored),
        neg_e6=sum(round(row.neg * 10**6) for row in scored),
    )


def windows(standing: Iterable[Standing], sizes_s: Sequence[int]) -> dict[Window, Held]:
    """Every window that holds a post."""
    members: dict[Window, list[Standing]] = {}
    for post in standing:
        for size_s in sizes_s:
            start_ms = post.time_ms // (size_s * 1000) * (size_s * 1000)
            members.setdefault(Window(post.task, size_s, start_ms), []).append(post)
    return {
        window: Held(
            figures(post.judged for post in inside),
            {
                lang: figures(post.judged for post in inside if post.judged.lang == lang)
                for lang in {post.judged.lang for post in inside}
            },
            {
                source: figures(post.judged for post in inside if post.source == source)
                for source in {post.source for post in inside}
            },
            Counter(post.judged.model for post in inside if post.judged.label and post.judged.model),
        )
        for window, inside in members.items()
    }


class Reader:
    """What `sentiment` and `pulse` have said, put together: the newest record of each window, less late retractions.

    Args:
        scored: all records of the topic `sentiment`, each partition in its order.
        published: all records of the topic `pulse`, likewise.

    Attributes:
        newest: the last record of each window.
        standing: adds that were not retracted, with the feed's scope.
        late: keys of adds that came too late and still stand, as (task, scope, source, id, rev).
    """

    def __init__(self, scored: Iterable[object], published: Iterable[object]) -> None:
        self.newest: dict[Window, Pulse] = {}
        self.late: set[tuple[str, str, str, str, int]] = set()
        self.standing: dict[tuple[str, str, str, str, int], Scored] = {}
        for post in scored:
            if isinstance(post, Scored):
                if post.op == "add":
                    if _key(post) in self.standing:
                        raise AssertionError("a post was added twice")
                    self.standing[_key(post)] = post
                else:
                    del self.standing[_key(post)]
        self._held: dict[Window, Held] = {}
        for record in published:
            if isinstance(record, Pulse):
                window = Window(record.task, record.size_s, record.start_ms)
                self.newest[window] = record
                self._held[window] = Held(record.overall, record.by_lang, record.by_source, record.by_model)
            elif isinstance(record, Late) and record.op == "add":
                self.late.add(_key(record))
            elif isinstance(record, Late) and _key(record) in self.late:
                self.late.remove(_key(record))
            elif isinstance(record, Late):
                self._take_back(record)

    def _take_back(self, post: Late) -> None:
        """A retraction that came for sealed windows: what history does with it."""
        one = figures([_judged(post)])
        for size_s in {window.size_s for window in self._held}:
            window = Window(post.task, size_s, post.time_ms // (size_s * 1000) * (size_s * 1000))
            held = self._held.get(window)
            if held is None:  # a size that was not there when the post counted
                continue
            self._held[window] = Held(
                _less(held.overall, one),
                {**held.by_lang, post.lang: _less(held.by_lang[post.lang], one)},
                {**held.by_source, post.source: _less(held.by_source[post.source], one)},
                Counter(held.by_model) - Counter([post.model] if post.label and post.model else []),
            )

    def windows(self) -> dict[Window, Held]:
        """Every window that holds a post; one whose posts were all taken back says zero, which is the same."""
        return {
            window: Held(held.overall, _without_zeros(held.by_lang), _without_zeros(held.by_source), held.by_model)
            for window, held in self._held.items()
            if any(held.overall) or _without_zeros(held.by_lang) or _without_zeros(held.by_source)
        }

    def in_time(self) -> Iterator[Standing]:
        """The adds that stand and were not late."""
        for key, post in self.standing.items():
            if key not in self.late:
                task, scope, source, post_id, _ = key
                yield Standing(task, scope, source, post_id, post.time_ms, _judged(post))


def _key(post: Scored | Late) -> tuple[str, str, str, str, int]:
    return (post.task, post.feed if post.feed.startswith("replay:") else "live", post.source, post.id, post.rev)


def _judged(post: Scored | Late) -> Judged:
    return Judged(post.lang, post.label, post.pos or 0.0, post.neu or 0.0, post.neg or 0.0, post.model)


def _less(held: Figures, one: Figures) -> Figures:
    return Figures(*(a - b for a, b in zip(held, one, strict=True)))


def _without_zeros(rows: Mapping[str, Figures]) -> dict[str, Figures]:
    return {name: row for name, row in rows.items() if any(row)}
