"""Windows as points of InfluxDB, in line protocol.

Names are escaped by the client's `Point`, once for each series; the numbers are written here, since the client takes
23 µs for a point of sixteen fields and this takes 3. Integers carry their `i` and floats their point or exponent, so
that no field ever changes its type. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from influxdb_client.client.write.point import Point

from heartbeat.records import Figures, Pulse
from heartbeat.sinks.insight_fields import as_text

PULSE: Final = "pulse"
"""The measurement of windows."""
PIPELINE: Final = "pipeline"
"""The measurement of Heartbeat's own health."""
EMPTY: Final = Figures()
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_MOST_SERIES: Final = 65_536
_HELD_PLACE: Final = " x=0i"


class Names(NamedTuple):
    """What a window has been written with besides its overall point; each sorted."""

    langs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


NO_NAMES: Final = Names()


def size_name(size_s: int) -> str:
    """A window's size in the largest whole unit: `10s`, `1m`, `15m`, `1h`, `1d`."""
    for seconds, unit in _UNITS:
        if size_s % seconds == 0:
            return f"{size_s // seconds}{unit}"
    raise AssertionError("every size is whole seconds")


def names_of(pulse: Pulse) -> Names:
    """What a window holds."""
    return Names(tuple(sorted(pulse.by_lang)), tuple(sorted(pulse.by_source)), tuple(sorted(pulse.by_model)))


def window_lines(pulse: Pulse, *, before: Names = NO_NAMES, late: bool = True) -> list[str]:
    """A window's points: overall, by language and by source.

    Args:
        pulse: the window.
        before: what it was written with earlier. What is gone of that is written as zeros, since a point that stands in
            InfluxDB stays until something replaces its fields.
        late: whether `pulse` knows the task's count of late posts; else that field is left as it is.
    """
    size = size_name(pulse.size_s)
    task = pulse.task
    tail = f",revision={pulse.revision}i,final={int(pulse.final)}i"
    at = f" {pulse.start_ms}"
    models = {**dict.fromkeys(before.models, 0), **pulse.by_model}
    more = f",late={pulse.late}i" if late else ""
    more += "".join(f",{_model_key(model)}={count}i" for model, count in sorted(models.items()))
    overall = _fields(pulse.overall, before != NO_NAMES)
    lines = [f"{_series(task, 'overall', 'all', size)} {overall}{tail}{more}{at}"]
    for by, parts, earlier in (("lang", pulse.by_lang, before.langs), ("source", pulse.by_source, before.sources)):
        for key in sorted({*parts, *earlier}):
            lines.append(f"{_series(task, by, key, size)} {_fields(parts.get(key, EMPTY), key in earlier)}{tail}{at}")
    return lines


def insight_line(window: tuple[str, int, int], numbers: Mapping[str, float]) -> str:
    """Insights as more fields of a closed window's overall point (see `insights.fields`); not for no numbers."""
    task, size_s, start_ms = window
    return f"{_series(task, 'overall', 'all', size_name(size_s))} {as_text(numbers)[1:]} {start_ms}"


def _fields(figures: Figures, written_before: bool) -> str:
    """Counts and sums; means and score only where something is scored.

    A point that was written before may have had means: where nothing is scored any more they become 0.0, since a field
    cannot be taken away.
    """
    scored, unscored, positive, neutral, negative, mixed, pos, neu, neg = figures
    text = (
        f"scored={scored}i,unscored={unscored}i,total={scored + unscored}i,positive={positive}i,neutral={neutral}i,"
        f"negative={negative}i,mixed={mixed}i,pos_e6={pos}i,neu_e6={neu}i,neg_e6={neg}i"
    )
    if scored:
        sums = scored * 1_000_000
        return f"{text},pos={pos / sums!r},neu={neu / sums!r},neg={neg / sums!r},score={(pos - neg) / sums!r}"
    return f"{text},pos=0.0,neu=0.0,neg=0.0,score=0.0" if written_before else text


@lru_cache(_MOST_SERIES)
def _series(task: str, by: str, key: str, size: str) -> str:
    """Measurement and tags. A key that is empty has no tag: InfluxDB knows no empty values."""
    point = Point(PULSE).tag("task", task).tag("by", by).tag("key", key).tag("size", size).field("x", 0)
    return str(point.to_line_protocol()).removesuffix(_HELD_PLACE)


@lru_cache(_MOST_SERIES)
def _model_key(model: str) -> str:
    """`model:NAME/VERSION`, escaped."""
    return _field_key(f"model:{model}")


def _field_key(field: str) -> str:
    """A field's name, escaped."""
    return str(Point("m").field(field, 0).to_line_protocol()).removeprefix("m ").removesuffix("=0i")


def pipeline_line(part: str, name: str, fields: Mapping[str, int | float], at_ms: int) -> str:
    """A point of the pipeline's own health; the type of each value is the type of its field for good."""
    point = Point(PIPELINE).tag("part", part).tag("name", name)
    for field, value in fields.items():
        point.field(field, value)
    return f"{point.to_line_protocol()} {at_ms}"


def time_of(line: str) -> int:
    """When a line's point is, in ms since the epoch."""
    return int(line[line.rindex(" ") + 1 :])


def has_field(line: str, field: str) -> bool:
    """Whether a line has a field of this name (as InfluxDB calls it: not escaped)."""
    key = _field_key(field)
    return f",{key}=" in line or f" {key}=" in line


def body_of(lines: Iterable[str]) -> bytes:
    """Lines as they are sent."""
    return "\n".join(lines).encode()
