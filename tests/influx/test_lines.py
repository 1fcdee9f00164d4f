"""Windows as points: what is written, and that a real server reads it back just so."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbeat.health import HealthBoard
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_lines import Names, size_name, time_of, window_lines
from heartbeat.testing.clock import FakeClock
from tests.influx.server import Influxd
from tests.sinks.model import T0, pulse, scored

T1 = T0 // 900_000 * 900_000


def test_a_window_is_a_point_each_for_overall_languages_and_sources() -> None:
    window = pulse(10, T1, [scored(), scored("2", lang="de", pos=None)], revision=3)._replace(late=2)
    assert window_lines(window) == [
        f"pulse,by=overall,key=all,size=10s,task=t scored=1i,unscored=1i,total=2i,positive=1i,neutral=0i,negative=0i,"
        f"mixed=0i,pos_e6=700000i,neu_e6=250000i,neg_e6=50000i,pos=0.7,neu=0.25,neg=0.05,score=0.65,"
        f"revision=3i,final=1i,late=2i,model:fast/1=1i {T1}",
        f"pulse,by=lang,key=de,size=10s,task=t scored=0i,unscored=1i,total=1i,positive=0i,neutral=0i,negative=0i,"
        f"mixed=0i,pos_e6=0i,neu_e6=0i,neg_e6=0i,revision=3i,final=1i {T1}",
        f"pulse,by=lang,key=en,size=10s,task=t scored=1i,unscored=0i,total=1i,positive=1i,neutral=0i,negative=0i,"
        f"mixed=0i,pos_e6=700000i,neu_e6=250000i,neg_e6=50000i,pos=0.7,neu=0.25,neg=0.05,score=0.65,"
        f"revision=3i,final=1i {T1}",
        f"pulse,by=source,key=x,size=10s,task=t scored=1i,unscored=1i,total=2i,positive=1i,neutral=0i,negative=0i,"
        f"mixed=0i,pos_e6=700000i,neu_e6=250000i,neg_e6=50000i,pos=0.7,neu=0.25,neg=0.05,score=0.65,"
        f"revision=3i,final=1i {T1}",
    ]


def test_what_is_gone_is_written_as_zeros() -> None:
    lines = window_lines(pulse(10, T1, []), before=Names(("en",), ("x",), ("fast/1",)))
    assert [line.split(" ")[0] for line in lines] == [
        "pulse,by=overall,key=all,size=10s,task=t",
        "pulse,by=lang,key=en,size=10s,task=t",
        "pulse,by=source,key=x,size=10s,task=t",
    ]
    assert all("total=0i" in line for line in lines)
    assert ",model:fast/1=0i " in lines[0]


def test_sizes_are_named_by_their_largest_whole_unit() -> None:
    names = [size_name(size_s) for size_s in (1, 10, 60, 90, 900, 3600, 5400, 86_400)]
    assert names == ["1s", "10s", "1m", "90s", "15m", "1h", "90m", "1d"]


NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)
COUNTS = st.integers(0, 2**40)


@st.composite
def windows(draw: st.DrawFn) -> Pulse:
    def part() -> Figures:
        labels = [draw(st.integers(0, 10**6)) for _ in range(4)]
        sums = [draw(COUNTS) if sum(labels) else 0 for _ in range(3)]
        return Figures(sum(labels), draw(st.integers(0, 9)), *labels, *sums)

    return Pulse(
        draw(NAMES), 10, T1 + 10_000 * draw(st.integers(0, 1000)), draw(st.integers(0, 9)), draw(st.booleans()), 0,
        part(), {draw(NAMES): part()}, {draw(NAMES): part()},
    )  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(window=windows())
async def test_no_name_and_no_number_is_refused_or_changes_its_type(window: Pulse, influxd: Influxd) -> None:
    sink = InfluxSink(influxd.place, FakeClock(T0), HealthBoard(FakeClock(T0)))
    try:
        lines = window_lines(window)
        assert all(time_of(line) == window.start_ms for line in lines)
        assert await sink.lane("0").write(lines) == []
    finally:
        await sink.close()
