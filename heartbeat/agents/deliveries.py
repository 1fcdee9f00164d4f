"""What a delivery of a post does to what is remembered of it.

What holds at the end is a function of the deliveries alone, whatever their order: the highest revision's text counts;
each feed's tasks are those of its own highest revision; a deletion is final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from heartbeat.agents.scored import TOMBSTONE, Counted, Given, Result, ScoredRow
from heartbeat.models.api import Sentiment
from heartbeat.records import Detected

SUPERSEDED: Final = "text superseded before it was scored"
"""Why a post is unscored that a further feed delivers in an older revision, for a model that did not score it yet."""


class Change(NamedTuple):
    """What a delivery does to a row.

    Attributes:
        before, after: the row; `before` is what `gone` is retracted from.
        gone: tasks it no longer counts in as it did.
        come: tasks it counts in now.
        asks: scores that its text is needed for.
        has_text: whether the delivery's text is the text that counts.
    """

    before: ScoredRow | None
    after: ScoredRow
    gone: tuple[str, ...]
    come: tuple[str, ...]
    asks: tuple[Result, ...]
    has_text: bool


Wanted = Callable[[str, str], bool]
"""Whether a task (first) takes posts in a language (second)."""
ModelFor = Callable[[str, str], str | None]
"""The model for a task (first) and a language (second); None: none."""


def delivered(
    row: ScoredRow | None, post: Detected, arrived_ms: int, wanted: Wanted, model_for: ModelFor
) -> Change | None:
    """What a delivery changes; None if nothing (a duplicate, or a post that was deleted)."""
    if row is not None and row.deleted:
        return None
    if post.op == "delete":
        gone = tuple(row.counted) if row is not None else ()
        return Change(row, TOMBSTONE._replace(arrived_ms=arrived_ms), gone, (), (), False)
    feed, rev = post.feed, post.rev
    if row is None or rev > row.rev:
        return _newest(row, post, arrived_ms, wanted, model_for)
    had = row.given.get(feed)
    tasks = tuple(dict.fromkeys(post.tasks))
    heals = rev == row.rev and any(_is_superseded(counted.result) for counted in row.counted.values())
    if had is not None and not heals and (rev < had.rev or (rev == had.rev and set(tasks) <= set(had.tasks))):
        return None
    if had is not None and rev == had.rev:
        tasks = tuple(dict.fromkeys(had.tasks + tasks))
    return _further(row, post, Given(rev, tasks), arrived_ms, wanted, model_for)


def _newest(row: ScoredRow | None, post: Detected, arrived_ms: int, wanted: Wanted, model_for: ModelFor) -> Change:
    """The first delivery, or an edit: its text counts, for the tasks of all feeds."""
    feed, lang = post.feed, post.lang
    mine = Given(post.rev, tuple(dict.fromkeys(post.tasks)))
    given = {feed: mine} if row is None else {**row.given, feed: mine}
    standing = () if row is None else tuple(row.counted)
    results: dict[str | None, Result] = {}
    counted: dict[str, Counted] = {}
    for by, (_, tasks) in given.items():
        for task in tasks:
            if task not in counted and wanted(task, lang):
                model = model_for(task, lang)
                result = results.get(model)
                if result is None:
                    result = results[model] = Result(model)
                counted[task] = Counted(by, result, post.late)
    after = ScoredRow(post.rev, False, arrived_ms, post.time_ms, lang, post.lang_confidence, given, counted)
    return Change(row, after, standing, tuple(counted), tuple(results.values()), True)


def _further(
    row: ScoredRow, post: Detected, mine: Given, arrived_ms: int, wanted: Wanted, model_for: ModelFor
) -> Change:
    """A revision that is not the newest, or has been here by another feed: only the tasks change."""
    given = {**row.given, post.feed: mine}
    owed = dict.fromkeys(task for _, tasks in given.values() for task in tasks)
    lang, newest = row.lang, post.rev == row.rev
    # A post whose text came too late to be scored for some task is scored for it now, if this is that text.
    counted = {
        task: how for task, how in row.counted.items() if task in owed and not (newest and _is_superseded(how.result))
    }
    gone = tuple(task for task in row.counted if task not in counted)
    results = {how.result.asked: how.result for how in counted.values()}
    come: list[str] = []
    asks: list[Result] = []
    for task in owed:
        if task in counted or not wanted(task, lang):
            continue
        model = model_for(task, lang)
        result = results.get(model)
        if result is None:
            result = results[model] = Result(model)
            if newest:
                asks.append(result)
            else:
                result.sentiment = Sentiment(None, None, None, None, None, SUPERSEDED)
        counted[task] = Counted(_owing(given, task, post.feed), result, post.late)
        come.append(task)
    after = row._replace(arrived_ms=arrived_ms, given=given, counted=counted)
    return Change(row, after, gone, tuple(come), tuple(asks), newest)


def _owing(given: Mapping[str, Given], task: str, first: str) -> str:
    """The feed that a task has a post from: this one, if it is one of them."""
    return first if task in given[first].tasks else next(feed for feed, (_, tasks) in given.items() if task in tasks)


def _is_superseded(result: Result) -> bool:
    return result.sentiment is not None and result.sentiment.unscored_reason == SUPERSEDED
