"""Which posts of a feed have been passed on, by author: so that deletions of all others go no further.

A network announces all of its deletions, and every account that is gone. Of a feed whose posts mostly match no task,
the pipeline would remember more deletions of posts that it has never seen than posts; and of an account that is gone it
has to know the posts. Both are answered here: the ids of what was passed on, kept for as long as the pipeline itself
knows a post again, in the log's state store. They are written in the unit that passes the posts on, so after any crash
they are just those posts.

A row is an author: the newest posts, and the numbers of full pages; a page is a row with older posts. So an author who
writes all day costs a small row with each post, and not all that he has written.

Every post is kept with the time that it was last delivered with. A feed that goes back repeats old deletions too; they
are told from new ones by that, so that they take back nothing that was written since. (Of two hosts whose clocks differ
the second one repeats what lies near, so deliveries are compared with deliveries of the same host.)

An account that is gone may have written more than one unit should hold. Its posts are taken a few pages at a time,
newest first, and a row of its own says how far that is: whoever opens the feed next goes on there. Until it is done,
nothing else is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from heartbeat.engine.log import Log, Put
from heartbeat.feeds.owed import Owed

_PAGE: Final = 32
_FORGOTTEN_AT_ONCE: Final = 500
_PARTITION: Final = 0
_UNFINISHED: Final = b"\n"
"""The key of the row that says how far an account has been taken; no author's name holds a line feed."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An account whose posts are being taken.

    Attributes:
        author, source: whose, and of which network.
        seen_ms: when the network saw it go: what it saw later stays.
        below: pages from this number on are done; None: nothing is.
        spared: posts that were delivered later, found on the way: older pages may tell of them too.
    """

    author: str
    source: str
    seen_ms: int
    below: int | None = None
    spared: Sequence[str] = ()


@dataclass(slots=True)
class _Author:
    """What is known of an author.

    Attributes:
        posts: the newest ones: ids, and when the network saw them, as they were last delivered.
        pages: the full pages, oldest first: their numbers, and when they are forgotten.
        following: the number of the next page.
        older: what the pages hold, once it has been asked for.
    """

    posts: dict[str, int] = field(default_factory=dict)
    pages: list[tuple[int, int]] = field(default_factory=list)
    following: int = 0
    older: dict[str, int] | None = None


class Known:
    """The posts of one feed that were passed on.

    Args:
        log: where the rows are.
        feed: its name.
        horizon_ms: how long a post is known.
        now_ms: tells the time.
        owed: takes down whose texts have to be erased.
    """

    def __init__(self, log: Log, feed: str, *, horizon_ms: int, now_ms: Callable[[], int], owed: Owed) -> None:
        self._name = f"known-{feed}"
        self._store = log.state(self._name)
        self.now_ms, self._horizon_ms, self.owed = now_ms, horizon_ms, owed

    def open(self, authors: Iterable[str]) -> KnownUnit:
        """What is durable now of these authors, to be changed in one unit."""
        wanted = list(dict.fromkeys(authors))
        found = self._store.get_many(_PARTITION, [author.encode() for author in wanted]) if wanted else {}
        rows = {author: _read(found.get(author.encode())) for author in wanted}
        return KnownUnit(self, rows)

    def unfinished(self) -> Gone | None:
        """The account that has been taken in part, if there is one."""
        row = self._store.get_many(_PARTITION, [_UNFINISHED]).get(_UNFINISHED)
        return None if row is None else Gone(**orjson.loads(row))

    def forgotten(self) -> list[Put]:
        """The removal of some rows whose time is over."""
        due = self._store.expired(_PARTITION, self.now_ms(), _FORGOTTEN_AT_ONCE)
        return [Put(self._name, _PARTITION, key, None) for key, _ in due]

    def pages(self, author: str, numbers: Iterable[int]) -> list[dict[str, int]]:
        """The posts in these pages of an author, page by page."""
        keys = [_page(author, number) for number in numbers]
        found = self._store.get_many(_PARTITION, keys) if keys else {}
        return [orjson.loads(found.get(key, b"{}")) for key in keys]

    def put(self, key: bytes, value: Any) -> Put:
        """A row that is known from now on for as long as a post is; None removes it."""
        if value is None:
            return Put(self._name, _PARTITION, key, None)
        return Put(self._name, _PARTITION, key, orjson.dumps(value), self.until_ms())

    def until_ms(self) -> int:
        """When is forgotten what is put now."""
        return self.now_ms() + self._horizon_ms


class KnownUnit:
    """What one unit finds and changes. `puts` become durable with it, or not at all."""

    def __init__(self, known: Known, rows: dict[str, _Author]) -> None:
        self._known, self._rows = known, rows
        self._changed: dict[str, None] = {}
        self._pages: dict[tuple[str, int], dict[str, int]] = {}
        self._unfinished: list[Gone | None] = []
        self._deleted: list[tuple[str, str]] = []
        self._gone: list[str] = []

    def has(self, author: str, post_id: str, seen_ms: int) -> bool:
        """Whether a post was passed on that the network saw by then."""
        row = self._rows[author]
        known_ms = row.posts.get(post_id)
        if known_ms is None and row.pages:
            known_ms = self._older(author, row).get(post_id)
        return known_ms is not None and known_ms <= seen_ms

    def add(self, author: str, post_id: str, seen_ms: int) -> None:
        """A post is passed on, or once more: it is known for the whole time from now on."""
        row = self._rows[author]
        self._changed[author] = None
        row.posts[post_id] = seen_ms
        if len(row.posts) >= _PAGE:
            if row.older is not None:
                row.older |= row.posts
            self._pages[author, row.following] = row.posts
            row.pages = [page for page in row.pages if page[1] > self._known.now_ms()]
            row.pages.append((row.following, self._known.until_ms()))
            row.posts, row.following = {}, row.following + 1

    def deleted(self, source: str, post_id: str) -> None:
        """The deletion of a known post is passed on: no copy of its text may stay."""
        self._deleted.append((source, post_id))

    def take(self, gone: Gone, most: int) -> tuple[list[str], Gone | None]:
        """Forget known posts of an account that is gone: the newest, then whole pages, up to `most` or a page more.

        Returns:
            Their ids; and what has still to be taken, None if nothing has. If it is not None, nothing else may be done
            in this unit, and the next one has to go on with it.
        """
        row, taken, spared = self._rows[gone.author], dict[str, None](), dict.fromkeys(gone.spared)
        below = row.following if gone.below is None else gone.below
        if gone.below is None:
            row.posts = _parted(row.posts, gone.seen_ms, taken, spared)
        left = [page for page in row.pages if page[0] < below]
        done = row.pages[len(left) :]
        while left and len(taken) < most:
            block = left[-max((most - len(taken)) // _PAGE, 1) :]
            del left[-len(block) :]
            for (number, until_ms), posts in reversed([*zip(block, self._read(gone.author, block), strict=True)]):
                stays = _parted(posts, gone.seen_ms, taken, spared)
                self._pages[gone.author, number] = stays
                if stays:
                    done.insert(0, (number, until_ms))
        if taken or len(left) + len(done) < len(row.pages):
            self._changed[gone.author] = None
        row.pages, row.older = [*left, *done], None
        rest = Gone(gone.author, gone.source, gone.seen_ms, left[-1][0] + 1, [*spared]) if left else None
        if rest is not None or gone.below is not None:
            self._unfinished = [rest]
        self._gone.append(gone.author)
        self._deleted += [(gone.source, post_id) for post_id in taken]
        return list(taken), rest

    def puts(self) -> list[Put]:
        """The changes, as a unit has them."""
        put = self._known.put
        pages = [put(_page(*page), posts or None) for page, posts in self._pages.items()]
        heads = []
        for author in self._changed:
            row = self._rows[author]
            known = (row.posts, row.pages, row.following) if row.posts or row.pages else None
            heads.append(put(author.encode(), known))
        unfinished = [put(_UNFINISHED, gone) for gone in self._unfinished]
        return [*pages, *heads, *unfinished, *self._known.owed.puts(self._deleted, self._gone)]

    def _older(self, author: str, row: _Author) -> dict[str, int]:
        if row.older is None:
            row.older = {}
            for posts in self._read(author, row.pages):
                row.older |= posts
        return row.older

    def _read(self, author: str, pages: Sequence[tuple[int, int]]) -> list[dict[str, int]]:
        """The posts of these pages, as this unit has left them."""
        asked = [number for number, _ in pages if (author, number) not in self._pages]
        found = dict(zip(asked, self._known.pages(author, asked), strict=True))
        return [found[number] if number in found else self._pages[author, number] for number, _ in pages]


def _parted(posts: dict[str, int], seen_ms: int, taken: dict[str, None], spared: dict[str, None]) -> dict[str, int]:
    """Part posts into those that go with their account, and those that stay (given back): what was seen later."""
    stays = {post_id: ms for post_id, ms in posts.items() if ms > seen_ms and post_id not in taken}
    taken |= dict.fromkeys(post_id for post_id in posts if post_id not in stays and post_id not in spared)
    spared |= dict.fromkeys(stays)
    return stays


def _read(row: bytes | None) -> _Author:
    if row is None:
        return _Author()
    posts, pages, following = orjson.loads(row)
    return _Author(posts, [(number, until_ms) for number, until_ms in pages], following)


def _page(author: str, number: int) -> bytes:
    """The key of a page."""
    return f"{author}\n{number}".encode()
