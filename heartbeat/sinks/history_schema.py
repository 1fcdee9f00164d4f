"""The schema of the history's file: every version that was ever released, as steps from one to the next."""

from __future__ import annotations

from typing import Final

_ALL_DAYS_STALE: Final = """INSERT OR IGNORE INTO stale
    WITH RECURSIVE met (task, size_s, start_ms) AS (
        SELECT * FROM (SELECT task, size_s, start_ms FROM windows ORDER BY task, size_s, start_ms LIMIT 1)
        UNION ALL
        SELECT w.task, w.size_s, w.start_ms FROM met JOIN windows w ON (w.task, w.size_s, w.start_ms) = (
            SELECT task, size_s, start_ms FROM windows
            WHERE (task, size_s, start_ms) >= (
                met.task, met.size_s,
                met.start_ms - (met.start_ms % 86400000 + 86400000) % 86400000 + 86400000
            )
            ORDER BY task, size_s, start_ms LIMIT 1
        )
    )
    SELECT task, start_ms - (start_ms % 86400000 + 86400000) % 86400000, 0 FROM met;"""
STEPS: Final[tuple[str, ...]] = (
    """
    -- Every task, source, feed, language, label, model and reason once; rows name them by number. Never removed.
    CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

    -- The first offset of each partition that is not in this file yet.
    CREATE TABLE offsets (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID;

    -- A small row a window, so that a chart of a month reads some fifty pages in one stretch. Sums are in 10⁻⁶.
    CREATE TABLE windows (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL, final INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        scored INTEGER NOT NULL, unscored INTEGER NOT NULL,
        positive INTEGER NOT NULL, neutral INTEGER NOT NULL, negative INTEGER NOT NULL, mixed INTEGER NOT NULL,
        pos_e6 INTEGER NOT NULL, neu_e6 INTEGER NOT NULL, neg_e6 INTEGER NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;

    -- The same windows by language and by source: JSON objects of the nine figures under each key.
    CREATE TABLE parts (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        lang TEXT NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    CREATE TRIGGER window_gone AFTER DELETE ON windows BEGIN
        DELETE FROM parts WHERE task = OLD.task AND size_s = OLD.size_s AND start_ms = OLD.start_ms;
    END;

    -- Keyed by time, not by id alone: a retraction carries the time of what it takes back, so nothing else is needed to
    -- find it; and a tree ordered by ids would cost a random page for each post. Scores are in 10⁻⁶, as in windows.
    CREATE TABLE posts (
        task INTEGER NOT NULL, time_ms INTEGER NOT NULL, source INTEGER NOT NULL, id TEXT NOT NULL,
        rev INTEGER NOT NULL, feed INTEGER NOT NULL, lang INTEGER NOT NULL, lang_confidence_e6 INTEGER NOT NULL,
        label INTEGER, pos_e6 INTEGER, neu_e6 INTEGER, neg_e6 INTEGER, model INTEGER, unscored_reason INTEGER,
        late INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        chunk INTEGER, at INTEGER, length INTEGER,
        PRIMARY KEY (task, time_ms, source, id)
    ) WITHOUT ROWID;

    -- Posts whose addition came after their windows were sealed. Both topics are read on their own, so a mark may come
    -- before its post; and it tells whether a retraction has anything to take back.
    CREATE TABLE late (
        task INTEGER NOT NULL, time_ms INTEGER NOT NULL, source INTEGER NOT NULL, id TEXT NOT NULL,
        rev INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        PRIMARY KEY (task, time_ms, source, id, rev)
    ) WITHOUT ROWID;

    -- Posts' texts, many to a chunk (see history_texts). Numbers are never used again.
    CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, kept_ms INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX chunks_by_age ON chunks (kept_ms);

    -- Places of texts that nobody refers to any more, until the end of the transaction overwrites them.
    CREATE TABLE erasures (chunk INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL);
    CREATE TRIGGER post_gone AFTER DELETE ON posts WHEN OLD.chunk IS NOT NULL BEGIN
        INSERT INTO erasures VALUES (OLD.chunk, OLD.at, OLD.length);
    END;
    CREATE TRIGGER post_replaced AFTER UPDATE OF chunk, at, length ON posts WHEN OLD.chunk IS NOT NULL BEGIN
        INSERT INTO erasures VALUES (OLD.chunk, OLD.at, OLD.length);
    END;
    """,
    """
    -- Tasks of replays that an earlier history held, and that could not be read again in full when this one was begun.
    CREATE TABLE lost (task TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
    """
    -- How many of a window's posts each model scored: a JSON object of counts. Of earlier windows nothing is known.
    ALTER TABLE parts ADD COLUMN model TEXT NOT NULL DEFAULT '{}';
    """,
    f"""
    -- Hours and days, each added up from smaller windows (see history_rollup); laid out as `windows` and `parts` are.
    CREATE TABLE rolled (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL, final INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        scored INTEGER NOT NULL, unscored INTEGER NOT NULL,
        positive INTEGER NOT NULL, neutral INTEGER NOT NULL, negative INTEGER NOT NULL, mixed INTEGER NOT NULL,
        pos_e6 INTEGER NOT NULL, neu_e6 INTEGER NOT NULL, neg_e6 INTEGER NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    CREATE TABLE rolled_parts (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        lang TEXT NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    CREATE TRIGGER rolled_gone AFTER DELETE ON rolled BEGIN
        DELETE FROM rolled_parts WHERE task = OLD.task AND size_s = OLD.size_s AND start_ms = OLD.start_ms;
    END;

    -- Days of which a window has changed since they were added up: readers add these up themselves.
    CREATE TABLE stale (
        task INTEGER NOT NULL, day_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, PRIMARY KEY (task, day_ms)
    ) WITHOUT ROWID;
    CREATE INDEX stale_by_change ON stale (changed_ms);

    -- From when on a size's windows are kept; before that, larger ones are all there is.
    CREATE TABLE kept (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, from_ms INTEGER NOT NULL, PRIMARY KEY (task, size_s)
    ) WITHOUT ROWID;

    -- Nothing has been added up yet. The days are found by leaps: a file may hold a hundred million windows.
    {_ALL_DAYS_STALE}
    """,
    """
    -- Windows whose last posts were taken back after they were sealed. Others may have copies of them, and have to be
    -- able to tell a window that became empty from one that was never here.
    CREATE TABLE emptied (
        task INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        PRIMARY KEY (task, size_s, start_ms)
    ) WITHOUT ROWID;
    """,
    f"""
    -- What other places still have to be told of what was forgotten (see history_untold).
    CREATE TABLE untold (
        place TEXT NOT NULL, task TEXT NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        number INTEGER NOT NULL, told INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        PRIMARY KEY (place, task, size_s, start_ms)
    ) WITHOUT ROWID;

    -- Times of which a live feed has heard nothing, and never will: its tasks' windows there are not known.
    CREATE TABLE unheard (
        feed INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
        PRIMARY KEY (feed, from_ms)
    ) WITHOUT ROWID;

    -- How many posts of an hour or a day each model scored, as in `parts`: all days are added up once more.
    ALTER TABLE rolled_parts ADD COLUMN model TEXT NOT NULL DEFAULT '{{}}';
    {_ALL_DAYS_STALE}
    """,
)
"""Step n brings a file of version n to version n + 1; a new file starts at 0. Steps are only ever added."""

READABLE: Final = 6
"""The oldest version whose tables can be read as those of the newest."""
