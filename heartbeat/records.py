"""The records that travel through topics. Their Avro schemas are in `schemas`, the way to bytes and back in `codec`.

Records are named tuples rather than dataclasses: they are made and read back in C, and at three hops a post that
is the difference between 5 and 8 µs each way. Times are integer milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

END_OF_TIME_MS: Final = 2**62
"""The watermark of a feed that has ended: nothing follows."""
BEFORE_TIME_MS: Final = -(2**62)
"""The watermark of a feed that has not promised anything yet."""


class Post(NamedTuple):
    """A post as a feed delivered it. Topic `ingest`, partitioned by (source, id).

    `tasks` are the tasks whose queries it matched where it entered; a deletion or an edit is passed on even when it
    matches none. `rev` orders the versions of one (source, id); an `op` of `delete` is final. `late` says that its feed
    had promised to be past its windows and their lateness before: only a replay says so (see `feeds.units`).
    """

    id: str
    source: str
    feed: str
    tasks: Sequence[str]
    op: Literal["upsert", "delete"]
    rev: int
    content: str
    time_ms: int
    received_ms: int
    time_clamped: bool = False
    author: str | None = None
    url: str | None = None
    lang_hint: str | None = None
    late: bool = False


class Detected(NamedTuple):
    """A post and its language. Topic `language`, same partition as its post.

    `lang` is an ISO 639-1 code (`war`: 639-2) or `und`; `lang_model` is `name/version`, or `hint` where the feed's
    own word decided.
    """

    id: str
    source: str
    feed: str
    tasks: Sequence[str]
    op: Literal["upsert", "delete"]
    rev: int
    content: str
    time_ms: int
    received_ms: int
    time_clamped: bool
    author: str | None
    url: str | None
    lang_hint: str | None
    late: bool
    lang: str
    lang_confidence: float
    lang_model: str


class Scored(NamedTuple):
    """One post's score for one task. Topic `sentiment`, partitioned by task.

    `op` is `retract` when an edit or a deletion takes an earlier `add` back; it carries the figures of that `add`.
    Either all of pos, neu, neg, label and model are there, or `unscored_reason` is. `cut` says that the text was longer
    than the model reads, and only its beginning was scored; `late` is the post's own.
    """

    id: str
    source: str
    feed: str
    task: str
    op: Literal["add", "retract"]
    rev: int
    time_ms: int
    lang: str
    lang_confidence: float
    pos: float | None = None
    neu: float | None = None
    neg: float | None = None
    label: str | None = None
    unscored_reason: str | None = None
    model: str | None = None
    cut: bool = False
    late: bool = False
    content: str | None = None


class Late(NamedTuple):
    """A score or a retraction that came for a sealed window. Topic `pulse`; fields as in `Scored`, less its last two.

    Keyed by `late/OFFSET`, its place in its partition of `sentiment`: no two share a key, so none replaces another.
    """

    id: str
    source: str
    feed: str
    task: str
    op: Literal["add", "retract"]
    rev: int
    time_ms: int
    lang: str
    lang_confidence: float
    pos: float | None = None
    neu: float | None = None
    neg: float | None = None
    label: str | None = None
    unscored_reason: str | None = None
    model: str | None = None
    cut: bool = False


class Figures(NamedTuple):
    """What a window holds, overall or for one language or source.

    Counts of posts; `pos_e6`, `neu_e6`, `neg_e6` are sums of scores in units of 10⁻⁶, so that no order of addition
    changes the result. The labels add up to `scored`.
    """

    scored: int = 0
    unscored: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    mixed: int = 0
    pos_e6: int = 0
    neu_e6: int = 0
    neg_e6: int = 0


class Pulse(NamedTuple):
    """One state of one window. Topic `pulse`, partitioned by task, keyed by the whole window id.

    The window is [start_ms, start_ms + 1000 × size_s). `revision` is 0 while it is open, 1 when it closes, and grows
    with each published correction. `late` counts the task's posts that came after their window was sealed, so far.
    `by_model` counts the scored posts by the model (NAME/VERSION) that scored them.
    A newer record of the same window replaces the older one entirely.
    """

    task: str
    size_s: int
    start_ms: int
    revision: int
    final: bool
    late: int
    overall: Figures
    by_lang: Mapping[str, Figures]
    by_source: Mapping[str, Figures]
    by_model: Mapping[str, int] = MappingProxyType({})


class Heartbeat(NamedTuple):
    """A feed's promise for one `ingest` partition: nothing below `watermark_ms` follows, except what is late.

    Travels in order with the posts of its origin partition. `connected=False` says that the feed's other side is
    away: its watermark stands still and other feeds need not wait for it. `tasks` names the tasks that the feed
    serves; None means as before (it is given when a feed starts and when they change). Of what was said in
    [unheard_from_ms, unheard_to_ms) the feed has heard nothing and never will; None: there is no such time.
    """

    feed: str
    origin_partition: int
    watermark_ms: int
    caught_up: bool
    connected: bool = True
    tasks: Sequence[str] | None = None
    unheard_from_ms: int | None = None
    unheard_to_ms: int | None = None


Record: TypeAlias = Post | Detected | Scored | Late | Pulse | Heartbeat
