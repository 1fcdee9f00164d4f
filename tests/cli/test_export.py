"""`heartbeat export`: the three formats say the same, exactly; what is not there is said honestly."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import re
import resource
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.cli import cli
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.table_writers import (
    ROWS_A_GROUP,
    Column,
    Kind,
    rfc3339,
    write_csv,
    write_jsonl,
    write_parquet,
)
from tests.sinks.model import T0, open_history, pulse, scored

ROOT = Path(__file__).parents[2]
WINDOW_HEADER = (
    "task,window_start,window_seconds,by,key,total,scored,positive,neutral,negative,mixed,unscored,"
    "pos_mean,neu_mean,neg_mean,revision,final"
)
POST_HEADER = "id,source,task,time,lang,lang_confidence,label,pos,neu,neg,model,unscored_reason,late"


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that nothing has been kept in."""
    monkeypatch.setenv("HEARTBEAT_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HEARTBEAT_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tasks.yaml").write_text(
        "tasks:\n  - {name: configured, title: C, query: c, feeds: [demo]}\n"
    )
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def history(data_dir: Path) -> Iterator[History]:
    """Two tasks' posts and windows; still open for writing, as in a worker."""
    history = open_history(data_dir)
    posts = [
        scored("2", source="x", time_ms=T0 + 1),
        scored("=1+1", source="reddit", time_ms=T0 + 1, pos=None),
        scored("10", source="x", time_ms=T0 + 20_000, lang="de", pos=0.125, label="mixed"),
        scored("3", task="b", time_ms=T0),
    ]

    async def fill() -> None:
        await history.store_posts(("sentiment", 0), [(at, T0, post) for at, post in enumerate(posts)])
        windows = [
            pulse(10, T0, posts[:2]),
            pulse(10, T0 + 20_000, posts[2:3], revision=0),
            pulse(60, T0, posts[:3], revision=3),
            pulse(10, T0, posts[3:], task="b"),
        ]
        await history.store_windows(("pulse", 0), list(enumerate(windows)))

    asyncio.run(fill())
    yield history
    history.close()


def export(data_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["export", *words, "--data-dir", str(data_dir)])


def test_windows_as_csv(data_dir: Path, history: History) -> None:
    result = export(data_dir, "windows")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        WINDOW_HEADER,
        "b,2025-10-09T08:54:00.000Z,10,all,all,1,1,1,0,0,0,0,0.7,0.25,0.05,1,true",
        "b,2025-10-09T08:00:00.000Z,3600,all,all,1,1,1,0,0,0,0,0.7,0.25,0.05,1,true",
        "b,2025-10-09T00:00:00.000Z,86400,all,all,1,1,1,0,0,0,0,0.7,0.25,0.05,1,true",
        "t,2025-10-09T08:54:00.000Z,10,all,all,2,1,1,0,0,0,1,0.7,0.25,0.05,1,true",
        "t,2025-10-09T08:54:20.000Z,10,all,all,1,1,0,0,0,1,0,0.125,0.25,0.05,0,false",
        "t,2025-10-09T08:54:00.000Z,60,all,all,3,2,1,0,0,1,1,0.4125,0.25,0.05,3,true",
        "t,2025-10-09T08:00:00.000Z,3600,all,all,3,2,1,0,0,1,1,0.4125,0.25,0.05,3,true",
        "t,2025-10-09T00:00:00.000Z,86400,all,all,3,2,1,0,0,1,1,0.4125,0.25,0.05,3,true",
    ]


def test_windows_cut_by_language_and_source(data_dir: Path, history: History) -> None:
    by_lang = export(data_dir, "windows", "--by", "lang", "--task", "t", "--size", "60").stdout.splitlines()
    assert by_lang == [
        WINDOW_HEADER,
        "t,2025-10-09T08:54:00.000Z,60,lang,de,1,1,0,0,0,1,0,0.125,0.25,0.05,3,true",
        "t,2025-10-09T08:54:00.000Z,60,lang,en,2,1,1,0,0,0,1,0.7,0.25,0.05,3,true",
    ]
    by_source = export(data_dir, "windows", "--by", "source", "--task", "t", "--size", "60").stdout.splitlines()
    assert by_source[1:] == [
        "t,2025-10-09T08:54:00.000Z,60,source,reddit,1,0,0,0,0,0,1,,,,3,true",
        "t,2025-10-09T08:54:00.000Z,60,source,x,2,2,1,0,0,1,0,0.4125,0.25,0.05,3,true",
    ]


def test_posts_as_csv(data_dir: Path, history: History) -> None:
    result = export(data_dir, "posts")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        POST_HEADER,
        "3,x,b,2025-10-09T08:54:00.000Z,en,0.9,positive,0.7,0.25,0.05,fast/1,,false",
        "=1+1,reddit,t,2025-10-09T08:54:00.001Z,en,0.9,,,,,,no model for this language,false",
        "2,x,t,2025-10-09T08:54:00.001Z,en,0.9,positive,0.7,0.25,0.05,fast/1,,false",
        "10,x,t,2025-10-09T08:54:20.000Z,de,0.9,mixed,0.125,0.25,0.05,fast/1,,false",
    ]
    assert "hello" not in export(data_dir, "posts", "--format", "jsonl").stdout  # texts are never exported


def test_cells_are_exact_unless_they_are_for_a_spreadsheet(data_dir: Path, history: History) -> None:
    assert "\n=1+1,reddit" in export(data_dir, "posts").stdout
    assert "\n'=1+1,reddit" in export(data_dir, "posts", "--spreadsheet").stdout
    result = export(data_dir, "posts", "--spreadsheet", "--format", "jsonl")
    assert result.exit_code == 2 and "CSV only" in result.stderr


@pytest.mark.parametrize("table", [["posts"], ["windows"], ["windows", "--by", "lang"], ["windows", "--by", "source"]])
def test_the_formats_agree(data_dir: Path, history: History, tmp_path: Path, table: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(export(data_dir, *table).stdout)))
    objects = [json.loads(line) for line in export(data_dir, *table, "--format", "jsonl").stdout.splitlines()]
    output = tmp_path / "table.parquet"
    result = export(data_dir, *table, "--format", "parquet", "--output", str(output))
    assert result.exit_code == 0 and f"{len(rows)} rows" in result.stderr
    parquet = pyarrow.parquet.read_table(output)
    assert len(rows) > 1 and parquet.column_names == list(rows[0]) == list(objects[0])

    def text(value: Any) -> str:
        match value:
            case None:
                return ""
            case bool():
                return str(value).lower()
            case datetime():
                return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return str(value)

    assert [{name: text(value) for name, value in row.items()} for row in objects] == rows
    assert [{name: text(value) for name, value in row.items()} for row in parquet.to_pylist()] == rows


def test_ranges(data_dir: Path, history: History) -> None:
    def ids(*words: str) -> list[str]:
        lines = export(data_dir, "posts", "--task", "t", "--format", "jsonl", *words).stdout.splitlines()
        return [json.loads(line)["id"] for line in lines]

    assert ids("--from", "2025-10-09T08:54:20Z") == ["10"]
    assert ids("--from", "2025-10-09T10:54:20+02:00") == ["10"]
    assert ids("--to", str(T0 + 20_000)) == ["=1+1", "2"]
    assert ids("--from", str(T0 + 1), "--to", str(T0 + 20_001)) == ["=1+1", "2", "10"]
    assert ids("--from", "2025-10-09", "--to", "2025-10-10") == ["=1+1", "2", "10"]
    starts = export(data_dir, "windows", "--task", "t", "--from", "2025-10-09T08:54:20.000Z").stdout.splitlines()
    assert [line.split(",")[1] for line in starts[1:]] == ["2025-10-09T08:54:20.000Z"]


def test_an_empty_range_is_a_header_alone(data_dir: Path, history: History, tmp_path: Path) -> None:
    for words in (["windows", "--from", "2030-01-01"], ["windows", "--to", "0"], ["windows", "--task", "configured"]):
        result = export(data_dir, *words)
        assert (result.exit_code, result.stdout) == (0, WINDOW_HEADER + "\n")
    assert export(data_dir, "posts", "--format", "jsonl", "--to", "0").stdout == ""
    export(data_dir, "posts", "--format", "parquet", "--to", "0", "--output", str(tmp_path / "none.parquet"))
    table = pyarrow.parquet.read_table(tmp_path / "none.parquet")
    assert table.num_rows == 0 and table.column_names == POST_HEADER.split(",")


def test_what_is_not_there(data_dir: Path, history: History, tmp_path: Path) -> None:
    result = export(data_dir, "posts", "--task", "tt")
    assert result.exit_code == 1 and "there is no task 'tt'" in result.stderr and "there are b, t" in result.stderr
    result = export(data_dir, "windows", "--size", "30")
    assert result.exit_code == 1 and "no windows of 30 s; there are 10, 60" in result.stderr
    result = export(data_dir, "windows", "--task", "configured")
    assert result.exit_code == 0 and "nothing has been counted for configured yet" in result.stderr
    result = export(tmp_path / "nowhere", "posts")
    assert result.exit_code == 1 and "no data directory" in result.stderr and not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    result = export(tmp_path / "empty", "posts")
    assert result.exit_code == 1 and "no history at" in result.stderr and not list((tmp_path / "empty").iterdir())
    result = export(data_dir, "posts", "--output", str(tmp_path / "nowhere" / "file.csv"))
    assert result.exit_code == 1 and "cannot write" in result.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "yesterday"], "'yesterday' is no time"),
        (["--from", "2025-11-22T10:00:00"], "does not say its zone"),
        (["--from", "2", "--to", "1"], "is after"),
        (["--format", "xml"], "xml"),
        (["--by", "lang"], "--by"),
    ],
)
def test_wrong_words(data_dir: Path, history: History, words: list[str], reason: str) -> None:
    result = export(data_dir, "posts", *words)
    assert result.exit_code == 2 and reason in result.stderr and result.stdout == ""


def test_it_reads_while_a_worker_writes_and_after_one_was_killed(data_dir: Path, history: History) -> None:
    """The file is open for writing, with everything still in the WAL; and the same files without their writer."""
    assert (data_dir / "history.db-wal").stat().st_size > 0
    before = export(data_dir, "posts").stdout
    copy = data_dir.with_name("copy")
    copy.mkdir()
    for path in data_dir.glob("history.db*"):
        if not path.name.endswith("-shm"):
            (copy / path.name).write_bytes(path.read_bytes())
    assert export(copy, "posts").stdout == before != POST_HEADER + "\n"
    history.close()
    assert export(data_dir, "posts").stdout == before


def command(data_dir: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "heartbeat", "export", *words, "--data-dir", str(data_dir)]


def test_parquet_into_a_pipe_but_not_onto_a_terminal(data_dir: Path, history: History) -> None:
    done = subprocess.run(command(data_dir, "posts", "--format", "parquet"), stdout=subprocess.PIPE, cwd=ROOT)
    assert done.returncode == 0
    assert pyarrow.parquet.read_table(pyarrow.BufferReader(done.stdout)).num_rows == 4
    leader, terminal = pty.openpty()
    try:
        done = subprocess.run(
            command(data_dir, "posts", "--format", "parquet"), stdout=terminal, stderr=subprocess.PIPE, cwd=ROOT
        )
    finally:
        os.close(terminal)
        os.close(leader)
    assert done.returncode == 2 and b"--output FILE" in done.stderr


async def test_a_reader_that_goes_away_gets_no_traceback(data_dir: Path) -> None:
    history = open_history(data_dir)
    posts = [scored(f"{at}" * 10, time_ms=T0 + at) for at in range(3_000)]
    await history.store_posts(("sentiment", 0), [(at, T0, post) for at, post in enumerate(posts)])
    history.close()
    with subprocess.Popen(
        command(data_dir, "posts"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().decode().strip() == POST_HEADER
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) != 0


@pytest.mark.parametrize("words", [["windows"], ["posts", "--format", "jsonl"], ["posts", "--format", "parquet"]])
def test_a_device_that_takes_nothing_more_is_told_as_one_line(
    data_dir: Path, history: History, words: list[str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(data_dir, *words), stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write to standard output: No space left on device\n",
    )


async def test_a_file_is_replaced_only_by_a_whole_one(data_dir: Path, tmp_path: Path) -> None:
    history = open_history(data_dir)
    posts = [scored(f"{at}" * 20, time_ms=T0 + at) for at in range(2_000)]
    await history.store_posts(("sentiment", 0), [(at, T0, post) for at, post in enumerate(posts)])
    history.close()
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "posts.csv"
    output.write_text("the one before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        result = export(data_dir, "posts", "--output", str(output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1 and "cannot write" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["posts.csv"] and output.read_text() == "the one before"
    assert export(data_dir, "posts", "--output", str(output)).exit_code == 0
    assert len(output.read_text().splitlines()) == 2_001


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["=1", "a,b", 'say "x"', "a\nb", "a\rb", "\r", "a\0b", " ", "'", "null", "ü€😀"]
)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "text": TEXTS | st.none(),
    "integer": st.integers(-(2**62), 2**62),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    "boolean": st.booleans(),
    "time": st.integers(-62_135_596_800_000, 253_402_300_799_999),
}
COLUMNS = [Column(kind, kind) for kind in VALUES]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(*VALUES.values()), max_size=12))
def test_any_value_survives_any_format(rows: list[tuple[Any, ...]]) -> None:
    out = io.BytesIO()
    assert write_csv(out, COLUMNS, rows) == len(rows)
    read = list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))
    assert read[0] == list(VALUES)
    times = [rfc3339(row[4]) for row in rows]
    assert read[1:] == [
        [row[0] or "", str(row[1]), "" if row[2] is None else repr(row[2]), str(row[3]).lower(), time]
        for row, time in zip(rows, times, strict=True)
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)

    out = io.BytesIO()
    assert write_jsonl(out, COLUMNS, rows) == len(rows)
    lines = out.getvalue().decode().split("\n")[:-1]
    assert [tuple(json.loads(line).values()) for line in lines] == [
        (*row[:4], time) for row, time in zip(rows, times, strict=True)
    ]

    out = io.BytesIO()
    assert write_parquet(out, COLUMNS, rows) == len(rows)
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(out.getvalue()))
    assert list(zip(*(table.column(at).to_pylist() for at in range(4)), strict=True)) == [row[:4] for row in rows]
    assert table.column(4).cast(pyarrow.int64()).to_pylist() == [row[4] for row in rows]
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"


@given(st.integers(-(2**62), 2**62))
def test_times_of_any_year_are_told_without_a_crash(ms: int) -> None:
    text = rfc3339(ms)
    if -62_135_596_800_000 <= ms <= 253_402_300_799_999:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
        assert datetime.fromisoformat(text) == moment
    else:
        assert re.fullmatch(r"[+-]\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet])
def test_memory_does_not_grow_with_the_table(write: Any, tmp_path: Path) -> None:
    columns = [Column("id", "text"), Column("time", "time"), Column("n", "integer"), Column("late", "boolean")]

    def peak(rows: int) -> int:
        before = pyarrow.total_allocated_bytes()
        tracemalloc.start()
        highest = 0

        def given_rows() -> Iterator[tuple[Any, ...]]:
            nonlocal highest
            for at in range(rows):
                if at % 5_000 == 0:
                    highest = max(highest, pyarrow.total_allocated_bytes() - before)
                yield (f"{at:020}", T0 + at, at, False)

        with (tmp_path / "table").open("wb") as out:
            assert write(out, columns, given_rows()) == rows
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest + traced

    peak(ROWS_A_GROUP)  # what is loaded once
    assert peak(5 * ROWS_A_GROUP) < 1.3 * peak(2 * ROWS_A_GROUP) + 500_000


async def test_many_posts_of_one_millisecond_come_in_order_page_by_page(data_dir: Path) -> None:
    history = open_history(data_dir)
    posts = [scored(f"{at:04}", source=source, time_ms=T0) for at in range(300) for source in ("b", "a", "c")]
    await history.store_posts(("sentiment", 0), [(at, T0, post) for at, post in enumerate(posts)])
    with HistoryReader(history.path, page_rows=16) as reader:
        expected = sorted((post.source, post.id) for post in posts)
        assert [(row.source, row.id) for row in reader.posts()] == expected
        assert [(row.source, row.id) for row in reader.posts("t", newest_first=True)] == expected[::-1]
    history.close()


MEASURED = """
import resource, sys
from heartbeat.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.long
@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_a_large_export_takes_no_more_memory_than_a_small_one(data_dir: Path, tmp_path: Path, format_: str) -> None:
    """The whole command, over a real file: reader, writer and all."""
    open_history(data_dir).close()
    count = 500_000
    with closing(sqlite3.connect(data_dir / "history.db")) as connection:
        connection.execute("INSERT INTO names VALUES (1, 't')")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) INSERT INTO windows"
            " SELECT 1, 60, i * 60000, 1, 1, 0, i % 50, i % 7, i % 50, 0, 0, 0, i % 1000, i % 999, i % 998 FROM n",
            (count,),
        )
        connection.commit()

    def peak(rows: int) -> int:
        """KiB that the command had at the most."""
        words = ["export", "windows", "--size", "60", "--format", format_, "--to", str(rows * 60_000)]
        words += ["--output", str(tmp_path / "out"), "--data-dir", str(data_dir)]
        done = subprocess.run([sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, timeout=120)
        assert f"{rows} rows in" in done.stderr
        return int(done.stderr.splitlines()[-1])

    assert peak(count) - peak(count // 10) < 20_000
