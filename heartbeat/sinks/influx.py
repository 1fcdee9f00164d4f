"""Writes points to InfluxDB until each is there or refused for good; what passes by itself is raised as `Retry`.

Every partition writes on a lane of its own: a client, so that closing one after a write of unknown outcome does not
break the writes of others. What the lanes share is the gate (how long the server wants nothing, or a person is needed)
and one place on the health board.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.errors import Retry
from heartbeat.health import HealthBoard, State
from heartbeat.sinks.influx_answers import Answer, Kind
from heartbeat.sinks.influx_client import TIMEOUT_S, InfluxClient, InfluxPlace
from heartbeat.sinks.influx_lines import body_of, has_field, time_of

PART: Final = "sink/influx"
MOST_POINTS: Final = 5_000
"""Points of one request."""
ASK_AGAIN_S: Final = 10.0
"""How often it is looked whether a person has mended what was wrong."""
LATER_S: Final = 5.0
"""How long to wait when the server asks to, but does not say how long."""
LEAST_S: Final = 0.5
"""How long to wait at least, also when the server asks for less."""
MALFORMED_IN_A_ROW: Final = 20
"""So many points refused as malformed, and none written: it is not the points that are wrong."""
AGAIN_AFTER_MS: Final = (5_000, 55_000)
"""How long after the server has answered everything of unknown outcome is done again, and once more after that: what
was on its way then has arrived or is lost."""
_GOES_ON: Final = "nothing is lost, and it goes on by itself"
_HOUR_MS: Final = 3_600_000


class Refusal(NamedTuple):
    """A point that InfluxDB will never take: which of those given, and why."""

    at: int
    why: str


class Unwritten(Retry):
    """Not everything was written, and that passes; the same again later.

    Attributes:
        kind: what kind of answer led to it.
        unsure: some of it may have been written, or may still be.
        remedy: what a person has to do; empty where it passes by itself.
    """

    def __init__(self, answer: Answer, after_s: float | None) -> None:
        super().__init__(answer.why, after_s=after_s)
        self.kind, self.unsure, self.remedy = answer.kind, answer.unsure, answer.remedy


class InfluxSink:
    """What all lanes share.

    Args:
        place: where to write.
        clock: for the gate.
        board: told how it is, under `sink/influx`.
        timeout_s: how long one request may take.
        most_points: of one request.
    """

    def __init__(
        self,
        place: InfluxPlace,
        clock: Clock,
        board: HealthBoard,
        *,
        timeout_s: float = TIMEOUT_S,
        most_points: int = MOST_POINTS,
    ) -> None:
        self.place, self.clock, self.most_points = place, clock, most_points
        self._board, self._timeout_s = board, timeout_s
        self._lanes: dict[str, Lane] = {}
        self._trouble: dict[str, tuple[State, str, str]] = {}
        self._shut: tuple[int, Answer] | None = None
        self.waiting: Callable[[], int] = lambda: 0
        """How many records of windows are still to be written; for people."""
        self.malformed = 0
        """Points refused as malformed since one was last written."""
        self.points = 0
        """Points written since the start."""
        self.refused = 0
        """Points refused since the start."""

    def lane(self, name: str) -> Lane:
        """The lane of this name; each is used by one writer at a time."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self, name, InfluxClient(self.place, self.clock, timeout_s=self._timeout_s))
        return lane

    async def close(self) -> None:
        """Close all connections."""
        for lane in self._lanes.values():
            await lane.client.close()

    # -- the gate and the health board ----------------------------------------------------------------------------

    def shut_for_s(self) -> float:
        """How long nothing is to be sent; 0 when the gate is open."""
        if self._shut is None:
            return 0.0
        left_ms = self._shut[0] - self.clock.now_ms()
        if not 0 < left_ms <= 3_600_000:  # over, or the clock has jumped back
            self._shut = None
            return 0.0
        return left_ms / 1000

    def check_gate(self) -> None:
        """Raises `Unwritten` while the gate is shut."""
        left_s = self.shut_for_s()
        if left_s > 0 and self._shut is not None:
            shut = self._shut[1]
            raise Unwritten(Answer(shut.kind, shut.why, shut.remedy), left_s)

    def failed(self, lane: str, answer: Answer) -> Unwritten:
        """A lane could not write: what to raise."""
        after_s: float | None = None
        if answer.kind is Kind.DENIED:
            after_s = ASK_AGAIN_S
            self._report(
                lane, State.FAILED, answer.why, f"{answer.remedy} (`heartbeat influx check` tells more); {_GOES_ON}"
            )
        else:
            if answer.kind is Kind.LATER:
                after_s = LATER_S if answer.after_s is None else max(answer.after_s, LEAST_S)
            self._report(lane, State.WAITING, answer.why, _GOES_ON)
        if after_s is not None:
            self._shut = self.clock.now_ms() + round(after_s * 1000), answer
        return Unwritten(answer, after_s)

    def well(self, lane: str) -> None:
        """All that this lane had to write is written."""
        if self._trouble.pop(lane, None) is not None or self._board.get(PART) is None:
            self._show()

    def _report(self, lane: str, state: State, why: str, remedy: str) -> None:
        self._trouble[lane] = state, why, remedy
        self._show()

    @property
    def trouble(self) -> str:
        """Why nothing can be written now; empty while all is well."""
        return self._worst()[1] if self._trouble else ""

    def trouble_beside(self, lane: str) -> str:
        """Why others than this lane cannot write now; empty while they can."""
        for name, (state, why, remedy) in self._trouble.items():
            if name != lane:
                return f"{why}; {remedy}" if state is State.FAILED else why
        return ""

    def _worst(self) -> tuple[State, str, str]:
        return max(self._trouble.values(), key=lambda one: one[0] is State.FAILED)

    def _show(self) -> None:
        if not self._trouble:
            self._board.report(PART, State.OK)
            return
        (state, why, remedy), waiting = self._worst(), self.waiting()
        self._board.report(PART, state, f"{why}; {waiting:,} records of windows wait" if waiting else why, remedy)


class Lane:
    """Writes in order, one request at a time; see `InfluxSink`."""

    def __init__(self, sink: InfluxSink, name: str, client: InfluxClient) -> None:
        self.client, self._sink, self._name = client, sink, name

    async def write(self, lines: Sequence[str]) -> list[Refusal]:
        """Write points; returns when each is in InfluxDB or refused for good.

        To write a point again changes nothing, so after an error all of it may be written again.

        Returns:
            The points that were refused.

        Raises:
            Unwritten: the server is away, wants to wait, or a person has to mend something first.
        """
        sink = self._sink
        refused: list[Refusal] = []
        for at in range(0, len(lines), sink.most_points):
            refused += await self._write(lines, list(range(at, min(at + sink.most_points, len(lines)))))
        sink.well(self._name)
        sink.refused += len(refused)
        return refused

    async def _write(self, lines: Sequence[str], indexes: list[int]) -> list[Refusal]:
        """Write some of the lines."""
        sink = self._sink
        sink.check_gate()
        answer = await self.client.write(body_of(lines[index] for index in indexes))
        if answer.kind is Kind.WRITTEN:
            sink.malformed = 0
            sink.points += len(indexes)
            return []
        if answer.kind is Kind.PARTIAL:
            sink.malformed = 0
            sink.points += len(indexes) - (answer.dropped or 0)
            return await self._find_refused(lines, indexes, answer)
        if answer.kind not in (Kind.MALFORMED, Kind.TOO_LARGE):
            raise sink.failed(self._name, answer)
        if len(indexes) > 1:
            half = len(indexes) // 2
            return [*await self._write(lines, indexes[:half]), *await self._write(lines, indexes[half:])]
        if sink.malformed + 1 >= MALFORMED_IN_A_ROW:
            why = f"{MALFORMED_IN_A_ROW} points in a row were refused, the last one so: {answer.why}"
            remedy = f"see whether {sink.place.url} is an InfluxDB of version 2"
            raise sink.failed(self._name, Answer(Kind.DENIED, why, remedy))
        sink.malformed += 1
        return [Refusal(indexes[0], answer.why)]

    async def _find_refused(self, lines: Sequence[str], indexes: list[int], answer: Answer) -> list[Refusal]:
        """After a 422: which points were refused. All others are written.

        What the server says settles it wherever it can: it names the reason and the number of one shard's points, or
        of those that are too old. Only if that does not add up are suspects and others written again, apart from each
        other, until it does.
        """
        suspects = _suspects(lines, indexes, answer)
        if len(suspects) == answer.dropped and (
            answer.oldest_ms is not None
            or len(suspects) == len(indexes)
            or len({time_of(lines[index]) // _HOUR_MS for index in indexes}) == 1
        ):
            return [Refusal(index, answer.why) for index in suspects]
        if len(indexes) == 1:
            return [Refusal(indexes[0], answer.why)]
        if not 0 < len(suspects) < len(indexes):
            suspects = indexes[: len(indexes) // 2]
        chosen = set(suspects)
        others = [index for index in indexes if index not in chosen]
        return sorted([*await self._write(lines, suspects), *await self._write(lines, others)])


def _suspects(lines: Sequence[str], indexes: list[int], answer: Answer) -> list[int]:
    """The points that what the server says may be about."""
    oldest_ms, field = answer.oldest_ms, answer.field
    if oldest_ms is not None:
        return [index for index in indexes if time_of(lines[index]) < oldest_ms]
    if field is not None:
        return [index for index in indexes if has_field(lines[index], field)]
    return indexes
