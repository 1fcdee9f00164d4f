"""The history's file: versions, damage, a full disk, folders that may not be written to, and what is swept out."""

from __future__ import annotations

import hashlib
import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from heartbeat.errors import HistoryError, Retry
from heartbeat.records import Late, Pulse
from heartbeat.sinks import history_file, history_schema
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_upkeep import ROWS_A_STEP
from heartbeat.topics import HOUR_MS
from tests.sinks.model import T0, StillClock, late, open_history, pulse, scored

POSTS, WINDOWS = ("sentiment", 0), ("pulse", 0)
DAY_MS = 24 * HOUR_MS
NEXT_STEP = """
    CREATE TABLE tasks (task INTEGER PRIMARY KEY, posts INTEGER NOT NULL);
    INSERT INTO tasks SELECT task, count(*) FROM posts GROUP BY task;
    ALTER TABLE posts ADD COLUMN reach INTEGER NOT NULL DEFAULT 0
"""


async def filled(folder: Path) -> Path:
    """A file with three posts and a window."""
    history = open_history(folder)
    posts = [scored(f"{at}") for at in range(3)]
    await history.store_posts(POSTS, [(at, T0, post) for at, post in enumerate(posts)])
    await history.store_windows(WINDOWS, [(0, pulse(10, T0, posts))])
    history.close()
    return history.path


def test_steps_that_were_released_are_never_changed() -> None:
    """A file out there was made by exactly these: a change of the schema is one more step."""
    digests = [hashlib.sha256(step.encode()).hexdigest()[:16] for step in history_schema.STEPS]
    assert digests == [
        "d217bca530b3bf8d",
        "98833644ee70e432",
        "83956d3d9bfc40b7",
        "28e7f5c224b160de",
        "5dc86978465ce76b",
        "49f38f544ec460f9",
    ]


async def test_an_older_file_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await filled(tmp_path)
    newest = len(history_schema.STEPS) + 1
    monkeypatch.setattr(history_schema, "STEPS", (*history_schema.STEPS, NEXT_STEP))
    monkeypatch.setattr(history_schema, "READABLE", newest)
    with pytest.raises(HistoryError, match="older version: start the worker once"):
        HistoryReader(path)
    with closing(history_file.open_for_writing(path)) as connection:
        assert connection.execute("SELECT posts FROM tasks").fetchall() == [(3,)]
    assert history_file.schema_version(path) == newest
    history = open_history(tmp_path)  # and once more: nothing is left to do
    await history.store_windows(WINDOWS, [(1, late(scored("0", op="retract")))])
    history.close()
    with HistoryReader(path) as reader:
        assert [row.id for row in reader.posts()] == ["0", "1", "2"]
        assert [row.total for row in reader.windows(size_s=10)] == [2]


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, released = await filled(tmp_path), history_schema.STEPS
    monkeypatch.setattr(history_schema, "STEPS", (*released, NEXT_STEP + "; SELECT * FROM nowhere"))
    with pytest.raises(HistoryError, match="cannot be opened"):
        history_file.open_for_writing(path)
    assert history_file.schema_version(path) == len(released)
    monkeypatch.setattr(history_schema, "STEPS", released)
    with HistoryReader(path) as reader:
        assert len(list(reader.posts())) == 3
    monkeypatch.setattr(history_schema, "STEPS", (*released, NEXT_STEP))
    history_file.open_for_writing(path).close()
    assert history_file.schema_version(path) == len(released) + 1


def test_an_empty_file_is_damaged_and_not_new(tmp_path: Path) -> None:
    """It was whole once: a new file is moved into its place with all its tables in it."""
    path = tmp_path / "history.db"
    path.touch()
    for open_it in (lambda: open_history(tmp_path), lambda: HistoryReader(path)):
        with pytest.raises(HistoryError, match="is damaged: there is nothing in it; move it away"):
            open_it()
    assert path.stat().st_size == 0


async def test_what_a_killed_start_left_is_no_hindrance_but_a_lone_wal_is(tmp_path: Path) -> None:
    (tmp_path / "history.db.new").write_bytes(b"half made")
    (tmp_path / "history.db.new-journal").write_bytes(b"")
    path = await filled(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["history.db"]
    path.rename(tmp_path / "away")
    (tmp_path / "history.db-wal").write_bytes(b"what is left of it")
    with pytest.raises(HistoryError, match="is gone, but history.db-wal is there"):
        open_history(tmp_path)
    assert not path.exists()


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Texts are in it, and in its WAL; a file of an earlier Heartbeat could be read by everybody."""

    async def modes() -> set[int]:
        history = open_history(tmp_path)
        await history.store_posts(POSTS, [(0, T0, scored("1"))])
        found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        history.close()
        assert set(found) == {"history.db", "history.db-wal", "history.db-shm"}
        return set(found.values())

    before = os.umask(0o022)
    try:
        assert await modes() == {0o600}
        (tmp_path / "history.db").chmod(0o644)
        assert await modes() == {0o600}
    finally:
        os.umask(before)


async def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for open_it in (lambda: open_history(tmp_path), lambda: HistoryReader(path)):
        with pytest.raises(HistoryError, match="newer Heartbeat"):
            open_it()
    assert path.read_bytes() == before


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    for open_it in (lambda: open_history(tmp_path), lambda: HistoryReader(path)):
        with pytest.raises(HistoryError, match="no history of Heartbeat's"):
            open_it()
    assert path.read_bytes() == before
    path.write_bytes(b"some text that is no database\n" * 100)
    for open_it in (lambda: open_history(tmp_path), lambda: HistoryReader(path)):
        with pytest.raises(HistoryError, match="damaged or no SQLite file"):
            open_it()


async def test_damage_is_told_while_it_runs(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)  # all but the first page
    path.write_bytes(data)
    with pytest.raises(HistoryError, match="damaged"):
        history = open_history(tmp_path)
        try:
            await history.store_posts(POSTS, [(9, T0, scored("9"))])
        finally:
            history.close()
    with pytest.raises(HistoryError, match="damaged"), HistoryReader(path) as reader:
        list(reader.posts())


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """No file of this process may grow: what is refused is there after another try, and only once."""
    history = open_history(tmp_path)
    first = [(at, T0, scored(f"{at:04}")) for at in range(100)]
    await history.store_posts(POSTS, first)
    more = [(100 + at, T0, scored(f"{100 + at:04}", content="x" * 2_000)) for at in range(200)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, hard))
    try:
        for _ in range(3):
            with pytest.raises(Retry, match="cannot be used now: the disk"):
                await history.store_posts(POSTS, more)
        with HistoryReader(history.path) as reader:
            assert len(list(reader.posts())) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await history.store_posts(POSTS, more)
    await history.store_posts(POSTS, more)
    history.close()
    with HistoryReader(history.path) as reader:
        assert [row.id for row in reader.posts(content=True) if row.content] == [f"{at:04}" for at in range(300)]


def test_errors_that_pass_and_errors_that_do_not(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("CREATE TABLE t (x)")
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        explained = history_file.explained(full.value, path)
        assert isinstance(explained, Retry) and "disk is full; free some space" in str(explained)
        with pytest.raises(sqlite3.OperationalError) as mistake:
            connection.execute("SELECT nothing")
        assert history_file.explained(mistake.value, path) is None


async def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_file, "BUSY_MS", 50)
    history = open_history(tmp_path)
    with closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Retry, match="another process is writing"):
            await history.store_posts(POSTS, [(0, T0, scored("1"))])
    await history.store_posts(POSTS, [(0, T0, scored("1"))])
    history.close()
    with HistoryReader(history.path) as reader:
        assert [row.id for row in reader.posts()] == ["1"]


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder of a user without rights over it; root gives up its own for that time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o755)


@contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_folder_that_may_only_be_read(tmp_path: Path) -> None:
    with nobody() as folder:
        path = await filled(folder)
        folder.chmod(0o555)
        path.chmod(0o444)
        with unprivileged():
            with HistoryReader(path) as reader:
                assert len(list(reader.posts(content=True))) == 3
            with pytest.raises(HistoryError, match="not writable|cannot be opened"):
                open_history(folder)


async def test_what_is_kept_counts_from_storing_never_from_event_time(tmp_path: Path) -> None:
    """A file's posts may be ten years old: they go when they have been here long enough."""
    clock = StillClock()
    history = open_history(tmp_path, clock, history_days=10)
    ages = {"old": -3650, "new": 0, "future": 30}
    posts = [scored(name, time_ms=T0 + days * DAY_MS) for name, days in ages.items()]
    await history.store_posts(POSTS, [(at, T0, post) for at, post in enumerate(posts)])
    windows: list[Pulse | Late] = [pulse(10, post.time_ms - post.time_ms % 10_000, [post]) for post in posts]
    marks = [late(scored("late", time_ms=T0 - 3650 * DAY_MS)), late(scored("late", time_ms=T0))]
    await history.store_windows(WINDOWS, list(enumerate([*windows, *marks])))

    async def after(days: int) -> tuple[list[str], int, int]:
        clock.ms = T0 + days * DAY_MS
        while await history.maintain(clock.ms):
            pass
        with HistoryReader(history.path) as reader, closing(sqlite3.connect(history.path)) as connection:
            marks = connection.execute("SELECT count(*) FROM late").fetchone()[0]
            return [row.id for row in reader.posts()], len(list(reader.windows(size_s=10))), marks

    assert await after(0) == (["old", "new", "future"], 3, 2)
    assert await after(9) == (["old", "new", "future"], 3, 2)
    assert await after(11) == (["future"], 1, 0)
    await history.store_posts(POSTS, [(3, T0, scored("again", time_ms=T0 - 3650 * DAY_MS))])
    assert await after(12) == (["again", "future"], 1, 0)
    assert await after(41) == ([], 0, 0)
    history.close()


async def test_sweeping_goes_in_small_steps_and_gives_the_space_back(tmp_path: Path) -> None:
    clock = StillClock()
    history = open_history(tmp_path, clock, history_days=1)
    for start in range(0, 60_000, 6_000):
        posts = [
            scored(f"{at:09}", time_ms=T0 + at % 7, task=f"t{at % 3}", content="x" * 200)
            for at in range(start, start + 6_000)
        ]
        await history.store_posts(POSTS, [(start + at, T0, post) for at, post in enumerate(posts)])
    with closing(sqlite3.connect(history.path)) as connection:
        size = 4096 * connection.execute("PRAGMA page_count").fetchone()[0]
    clock.ms += 2 * DAY_MS
    steps = 1
    while await history.maintain(clock.ms):
        steps += 1
    with HistoryReader(history.path) as reader:
        assert list(reader.posts()) == []
    history.close()
    assert steps > 20
    assert history.path.stat().st_size < size / 2


async def test_storing_waits_for_no_more_than_one_small_step(tmp_path: Path) -> None:
    """However much has to be swept out, whatever comes is stored between two steps of it."""
    clock = StillClock()
    history = open_history(tmp_path, clock, history_days=1)
    count = 12_000
    for start in range(0, count, 4_000):
        windows = [pulse(10, T0 + 10_000 * at, [scored("1")]) for at in range(start, start + 4_000)]
        await history.store_windows(WINDOWS, [(start + at, window) for at, window in enumerate(windows)])
    clock.ms += 3 * DAY_MS
    left, steps, stored_at = [count], 0, []
    with closing(sqlite3.connect(history.path)) as connection:
        while await history.maintain(clock.ms):
            steps += 1
            await history.store_posts(POSTS, [(steps, clock.ms, scored(f"{steps}", time_ms=clock.ms))])
            stored_at.append(steps)
            left.append(connection.execute("SELECT count(*) FROM windows").fetchone()[0])
    history.close()
    assert left[-1] == 0 and stored_at == list(range(1, steps + 1))
    assert max(before - after for before, after in zip(left, left[1:], strict=False)) <= ROWS_A_STEP
