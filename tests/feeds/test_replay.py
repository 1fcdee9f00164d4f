from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.errors import FeedError, FeedUnreachable
from heartbeat.feeds.base import FeedState
from heartbeat.feeds.files import LONGEST_LINE
from heartbeat.feeds.replay import ReplayFeed, parse_speed
from heartbeat.records import END_OF_TIME_MS
from heartbeat.testing.clock import FakeClock
from tests.feeds.replay_files import contents, everything, feed, line, write

SUFFIXES = ["", ".gz", ".xz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_reads_every_post_in_order_and_ends(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"posts.jsonl{suffix}", [line(n, 1000 * n) for n in range(2500)])
    deliveries = await everything(feed(path))
    posts, rejected = contents(deliveries)
    assert [post.id for post in posts] == [str(n) for n in range(2500)]
    assert {post.feed for post in posts} == {feed(path).name}
    assert not rejected
    assert [len(d.posts) for d in deliveries] == [1000, 1000, 500, 0]
    assert [d.state for d in deliveries] == [FeedState.BEHIND] * 3 + [FeedState.ENDED]
    assert [d.watermark_ms for d in deliveries] == [994_000, 1_994_000, 2_494_000, END_OF_TIME_MS]


@pytest.mark.parametrize("files", [1, 3])
async def test_long_posts_come_in_small_deliveries(tmp_path: Path, files: int) -> None:
    paths = [
        write(tmp_path / f"{at}.jsonl", [line(100 * at + n, 1000 * n, content="long " * 20_000) for n in range(60)])
        for at in range(files)
    ]
    deliveries = await everything(feed(*paths))
    posts, rejected = contents(deliveries)
    assert [post.id for post in posts] == [str(100 * at + n) for n in range(60) for at in range(files)] and not rejected
    assert max(sum(len(post.content) for post in delivery.posts) for delivery in deliveries) <= 1_100_000


async def test_an_empty_file_ends_at_once(tmp_path: Path) -> None:
    (only,) = await everything(feed(write(tmp_path / "empty.jsonl", [])))
    assert (only.state, only.posts, only.watermark_ms) == (FeedState.ENDED, (), END_OF_TIME_MS)


async def test_line_ends_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line(1, 1) + b"\r\n\n   \n" + line(2, 2) + b"\n\t" + line(3, 3))
    posts, rejected = contents(await everything(feed(path)))
    assert [post.id for post in posts] == ["1", "2", "3"]
    assert not rejected


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_rubbish_is_set_aside_with_its_place(tmp_path: Path, suffix: str) -> None:
    huge = b'{"content":"' + b"x" * 2 * LONGEST_LINE + b'"}'
    path = write(tmp_path / f"p.jsonl{suffix}", [line(1, 1), b"nonsense", huge, b"", line(2, 2, time=None), line(3, 3)])
    posts, rejected = contents(await everything(feed(path)))
    assert [post.id for post in posts] == ["1", "3"]
    assert [item.place for item in rejected] == [f"{path}:{number}" for number in (2, 3, 5)]
    assert ["no JSON" in rejected[0].reason, "longer than" in rejected[1].reason] == [True, True]
    assert rejected[0].raw == b"nonsense\n"
    assert len(rejected[1].raw) == 65_536
    assert rejected[2].reason == "time is missing"


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut short", "flipped"])
async def test_a_damaged_file_gives_what_can_be_read(tmp_path: Path, suffix: str, damage: str) -> None:
    lines = [line(n, n, salt=os.urandom(20).hex()) for n in range(20_000)]
    path, other = write(tmp_path / f"a.jsonl{suffix}", lines), write(tmp_path / "b.jsonl", [line(-1, 10**9)])
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] if damage == "cut short" else data[:middle] + bytes(64) + data[middle + 64 :])
    replay = feed(path, other)
    deliveries = await everything(replay)
    posts, rejected = contents(deliveries)
    assert [post.id for post in posts[:9000]] == [*map(str, range(9000))]
    assert posts[-1].id == "-1"
    assert "damaged" in rejected[-1].reason
    for delivery in deliveries[::7]:
        again = contents(await everything(replay, delivery.cursor))
        assert again[0] == posts[len(posts) - len(again[0]) :]
        assert again[1] == rejected[len(rejected) - len(again[1]) :]


async def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    one = write(tmp_path / "1.jsonl", [line(1, 10), line(2, 20), line(3, 20), line(4, 50)])
    two = write(tmp_path / "2.jsonl.gz", [line(5, 5), line(6, 20), line(7, 60), line(8, 40)])
    posts, _ = contents(await everything(feed(one, two)))
    assert [post.id for post in posts] == ["5", "1", "2", "3", "6", "4", "7", "8"]


async def test_a_deletion_without_a_time_comes_behind_its_predecessor(tmp_path: Path) -> None:
    one = write(tmp_path / "1.jsonl", [line(1, 10), b'{"id":"1","source":"x","op":"delete"}', line(2, 90)])
    two = write(tmp_path / "2.jsonl", [line(3, 11), line(4, 80)])
    posts, _ = contents(await everything(feed(one, two)))
    assert [(post.id, post.time_ms) for post in posts] == [("1", 10), ("1", 10), ("3", 11), ("4", 80), ("2", 90)]


async def test_deletions_do_not_move_the_watermark(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [line(1, 100_000), line(1, 900_000, op="delete")])
    deliveries = await everything(feed(path))
    assert deliveries[0].watermark_ms == 95_000


LINES = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(0, 50)),
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.just(("untimed delete", 0)),
        st.just(("rubbish", 0)),
        st.just(("blank", 0)),
    ),
    max_size=25,
)


def _line(number: int, kind: str, time_ms: int) -> bytes:
    if kind == "post":
        return line(number, time_ms)
    if kind == "delete":
        return line(number, time_ms, op="delete")
    return {"untimed delete": b'{"id":"%d","source":"x","op":"delete"}' % number, "rubbish": b"{", "blank": b" "}[kind]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(LINES, st.sampled_from(SUFFIXES)), min_size=1, max_size=3), st.integers(1, 9), st.data())
def test_stopped_after_any_delivery_it_goes_on_exactly_there(
    files: list[tuple[list[tuple[str, int]], str]], size: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write(Path(folder) / f"{at}.jsonl{suffix}", [_line(100 * at + n, *entry) for n, entry in enumerate(lines)])
            for at, (lines, suffix) in enumerate(files)
        ]
        whole = asyncio.run(everything(feed(*paths, posts_a_delivery=size)))
        assert [d.state for d in whole] == [FeedState.BEHIND] * (len(whole) - 1) + [FeedState.ENDED]
        posts, rejected = contents(whole)
        assert len(posts) + len(rejected) == sum(kind != "blank" for lines, _ in files for kind, _ in lines)
        stop = data.draw(st.integers(0, len(whole) - 1))
        other_size = data.draw(st.integers(1, 9))
        rest = asyncio.run(everything(feed(*paths, posts_a_delivery=other_size), whole[stop].cursor))
        assert contents([*whole[: stop + 1], *rest]) == (posts, rejected)
        promised = [d.watermark_ms for d in [*whole[: stop + 1], *rest] if d.watermark_ms is not None]
        assert promised == sorted(promised)


async def test_the_name_is_that_of_the_contents_and_the_task(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.jsonl", [line(1, 1)]), write(tmp_path / "2.jsonl", [line(2, 2)])
    copy = write(tmp_path / "copy.jsonl", [line(1, 1)])
    assert feed(one).name == feed(copy).name
    assert feed(one, two).name == feed(copy, two).name
    names = {feed(one).name, feed(two).name, feed(one, two).name, feed(two, one).name, feed(one, task="other").name}
    assert len(names) == 5
    assert all(name.startswith("replay:") for name in names)
    write(copy, [line(1, 2)])
    assert feed(one).name != feed(copy).name


async def test_a_file_that_changes_on_the_way_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [line(n, n) for n in range(3000)])
    replay = feed(path)
    deliveries = replay.open(None)
    await anext(deliveries)
    write(path, [line(n, n) for n in range(3001)])
    with pytest.raises(FeedError, match="was changed"):
        async for delivery in deliveries:
            assert delivery.state is not FeedState.ENDED


async def test_a_file_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [line(1, 1)])
    replay = feed(path)
    path.unlink()
    with pytest.raises(FeedUnreachable, match=r"p\.jsonl cannot be read"):
        await everything(replay)


def test_files_that_cannot_be_replayed(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [line(1, 1)])
    for paths, reason in [
        ([], "1 to 256"),
        ([path] * 300, "1 to 256"),
        ([path, path], "twice"),
        ([tmp_path], "is no file"),
        ([tmp_path / "missing"], "No such file"),
    ]:
        with pytest.raises(FeedError, match=reason):
            ReplayFeed.of(paths, "t", FakeClock())


def test_speeds() -> None:
    assert [parse_speed(text) for text in ("max", "1", "60", "0.5")] == [None, 1.0, 60.0, 0.5]
    for text in ("", "fast", "0", "-1", "nan", "inf", "1e12"):
        with pytest.raises(FeedError, match="neither"):
            parse_speed(text)


async def test_a_pace_keeps_the_distance_of_events(tmp_path: Path) -> None:
    times = [1000, 1000, 1010, 11_000, 11_000, 5000, 31_000]
    path = write(tmp_path / "p.jsonl", [b"{", *(line(n, time) for n, time in enumerate(times))])
    loop = asyncio.get_running_loop()
    began = loop.time()
    arrivals = [(loop.time() - began, len(d.posts)) async for d in feed(path, speed=100).open(None)]
    # what cannot be read may come before the posts beside it, and the end after them
    posts = [(at, count) for at, count in arrivals if count]
    assert [count for _, count in posts] == [3, 3, 1]
    for (at, _), due in zip(posts, (0.0, 0.1, 0.3), strict=True):
        assert due - 0.01 <= at < due + 0.5


@pytest.mark.parametrize(("unit", "doubted"), [(1, True), (1000, False)])
async def test_seconds_for_milliseconds_are_doubted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unit: int, doubted: bool
) -> None:
    path = write(tmp_path / "p.jsonl", [line(n, (1_700_000_000 + n) * unit) for n in range(3000)])
    await everything(feed(path))
    assert [record.getMessage().count("seconds") for record in caplog.records] == [1] * doubted


async def test_how_far_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [line(n, n) for n in range(20_000)])
    replay = feed(path)
    fractions = [replay.fraction(delivery.cursor) for delivery in await everything(replay)]
    assert fractions == sorted(fractions)
    assert replay.fraction(None) == 0.0 < fractions[0] < 0.5
    assert fractions[-1] == 1.0


async def test_it_can_be_let_go_of_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl.gz", [line(n, n) for n in range(20_000)])
    deliveries = feed(path).open(None)
    await anext(deliveries)
    pending = asyncio.ensure_future(anext(deliveries))
    await asyncio.sleep(0)
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    await deliveries.aclose()  # type: ignore[attr-defined]
