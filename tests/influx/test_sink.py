"""What each answer leads to: which points are written, which refused, who waits for how long, and what is said."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from pydantic import SecretStr

from heartbeat.health import HealthBoard, State
from heartbeat.sinks.influx import ASK_AGAIN_S, MALFORMED_IN_A_ROW, PART, InfluxSink, Unwritten
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.sinks.influx_lines import window_lines
from heartbeat.testing.clock import FakeClock
from tests.influx.server import BUCKET, ORG, TOKEN, Influxd
from tests.influx.stand_in import StandIn
from tests.sinks.model import pulse, scored

NOW = int(time.time()) // 3600 * 3_600_000
DAY = 86_400_000


class Sinks:
    """Makes sinks with a clock and a board, and closes them."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.board = HealthBoard(self.clock)
        self.made: list[InfluxSink] = []

    def __call__(self, place: InfluxPlace, **more: float) -> InfluxSink:
        self.made.append(InfluxSink(place, self.clock, self.board, **more))  # type: ignore[arg-type]
        return self.made[-1]

    def health(self) -> tuple[State, str, str]:
        status = self.board.get(PART)
        assert status is not None
        return status.state, status.why, status.remedy


@pytest.fixture
async def sinks() -> AsyncIterator[Sinks]:
    made = Sinks()
    yield made
    for sink in made.made:
        await sink.close()


def lines_of(*starts: int) -> list[str]:
    """A window of four points for each start."""
    posts = [scored(), scored("2", lang="de")]
    return [line for start in starts for line in window_lines(pulse(10, start, posts))]


def many(count: int, begin: int = NOW) -> list[str]:
    return lines_of(*range(begin, begin + count * 10_000, 10_000))


def series(server: Influxd) -> set[tuple[str, str, str]]:
    """The points of the task `t`."""
    return {(row["by"], row["key"], row["time"]) for row in server.rows() if row["task"] == "t"}


async def fails(sink: InfluxSink, lines: list[str], lane: str = "0") -> Unwritten:
    with pytest.raises(Unwritten) as caught:
        await sink.lane(lane).write(lines)
    return caught.value


# -- points that InfluxDB refuses -------------------------------------------------------------------------------------


async def test_a_malformed_point_is_found_and_the_rest_is_written(influxd: Influxd, sinks: Sinks) -> None:
    lines = many(100)
    lines[217] = lines[217].replace("scored=", "scored==")
    lines[30] = f"pulse,task=t,by= total=1i {NOW}"
    refused = await sinks(influxd.place).lane("0").write(lines)
    assert [refusal.at for refusal in refused] == [30, 217]
    assert "400: unable to parse" in refused[1].why and "scored==" in refused[1].why
    assert len(influxd.rows()) == 398
    assert sinks.health()[0] is State.OK


async def test_where_everything_is_malformed_it_is_not_the_points(influxd: Influxd, sinks: Sinks) -> None:
    sink = sinks(influxd.place)
    error = await fails(sink, ["this is no point"] * MALFORMED_IN_A_ROW)
    assert error.after_s == ASK_AGAIN_S and not error.unsure
    assert sinks.health()[0] is State.FAILED and "20 points in a row" in sinks.health()[1]
    few = ["this is no point"] * (MALFORMED_IN_A_ROW - 1)
    sink = sinks(influxd.place)
    assert len(await sink.lane("0").write(few)) == MALFORMED_IN_A_ROW - 1
    assert await sink.lane("0").write(many(1)) == []
    assert len(await sink.lane("0").write(few)) == MALFORMED_IN_A_ROW - 1


async def test_a_conflict_of_types_takes_only_the_points_that_have_the_field(influxd: Influxd, sinks: Sinks) -> None:
    influxd.write(f'pulse,task=other late="text" {NOW}')
    lines = many(10)
    refused = await sinks(influxd.place).lane("0").write(lines)
    assert [refusal.at for refusal in refused] == list(range(0, 40, 4))
    assert 'input field "late" on measurement "pulse" is type integer, already exists as type string' in refused[0].why
    assert [by for by, _, _ in series(influxd)].count("lang") == 20
    assert [by for by, _, _ in series(influxd)].count("source") == 10 and len(series(influxd)) == 30


async def test_a_conflict_in_one_shard_takes_nothing_of_the_others(influxd: Influxd, sinks: Sinks) -> None:
    influxd.write(f"pulse,task=other scored=1.5 {NOW - 40 * DAY}")
    lines = [*many(3, NOW), *many(3, NOW - 40 * DAY), *many(3, NOW - 80 * DAY)]
    refused = await sinks(influxd.place).lane("0").write(lines)
    assert [refusal.at for refusal in refused] == list(range(12, 24))
    assert len(series(influxd)) == 24


async def test_what_is_too_old_for_the_bucket_is_refused_and_nothing_else(influxd: Influxd, sinks: Sinks) -> None:
    bucket = influxd.ask("GET", f"/api/v2/buckets?name={BUCKET}")["buckets"][0]
    keep = {"retentionRules": [{"type": "expire", "everySeconds": 30 * 86_400}]}
    influxd.ask("PATCH", f"/api/v2/buckets/{bucket['id']}", keep)
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        lines = [*many(3, NOW - 40 * DAY), *many(3), *many(1, NOW - 31 * DAY)]
        refused = await sinks(stand_in.place).lane("0").write(lines)
        assert [refusal.at for refusal in refused] == [*range(12), *range(24, 28)]
        assert "outside retention policy" in refused[0].why
        assert len(stand_in.requests) == 1, "what was written has been repeated"
    assert len(influxd.rows()) == 12


async def test_several_reasons_at_once_are_told_apart(influxd: Influxd, sinks: Sinks) -> None:
    bucket = influxd.ask("GET", f"/api/v2/buckets?name={BUCKET}")["buckets"][0]
    keep = {"retentionRules": [{"type": "expire", "everySeconds": 30 * 86_400}]}
    influxd.ask("PATCH", f"/api/v2/buckets/{bucket['id']}", keep)
    influxd.write(f'pulse,task=other late="text" {NOW}')
    influxd.write(f"pulse,task=other mixed=0.5 {NOW - 14 * DAY}")
    lines = [*many(2, NOW - 40 * DAY), *many(2), *many(2, NOW - 14 * DAY), *many(2, NOW - 21 * DAY)]
    lines[9] = lines[9].replace(" scored", "  scored==")
    refused = await sinks(influxd.place).lane("0").write(lines)
    assert [refusal.at for refusal in refused] == [*range(8), 8, 9, 12, *range(16, 24)]


# -- what a person has to mend ----------------------------------------------------------------------------------------


async def test_a_wrong_token_stops_the_sink_until_it_is_mended(influxd: Influxd, sinks: Sinks) -> None:
    org = influxd.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    rights = [{"action": "write", "resource": {"type": "buckets", "orgID": org}}]
    made = influxd.ask("POST", "/api/v2/authorizations", {"orgID": org, "permissions": rights})
    influxd.ask("PATCH", f"/api/v2/authorizations/{made['id']}", {"status": "inactive"})
    sink = sinks(InfluxPlace(influxd.url, ORG, BUCKET, SecretStr(made["token"])))
    error = await fails(sink, many(1))
    state, why, remedy = sinks.health()
    assert state is State.FAILED and "403" in why and "`heartbeat influx check`" in remedy
    assert "nothing is lost" in remedy and made["token"] not in str((error, why, remedy, sink.place))
    influxd.ask("PATCH", f"/api/v2/authorizations/{made['id']}", {"status": "active"})
    assert (await fails(sink, many(1), "1")).after_s == ASK_AGAIN_S, "another lane asks although the gate is shut"
    sinks.clock.advance(ASK_AGAIN_S)
    assert await sink.lane("1").write(many(1)) == []
    assert sinks.health()[0] is State.FAILED, "one lane is through, the other has not been"
    assert await sink.lane("0").write(many(1)) == []
    assert sinks.health() == (State.OK, "", "")


@pytest.mark.parametrize(
    ("org", "bucket", "token", "status", "says"),
    [
        (ORG, BUCKET, "wrong", 401, "HEARTBEAT_INFLUX_TOKEN"),
        (ORG, "nowhere", TOKEN, 404, "heartbeat influx setup"),
        ("nobody", BUCKET, TOKEN, 404, "HEARTBEAT_INFLUX_ORG"),
    ],
)
async def test_what_is_wrong_and_what_to_do(
    influxd: Influxd, sinks: Sinks, org: str, bucket: str, token: str, status: int, says: str
) -> None:
    await fails(sinks(InfluxPlace(influxd.url, org, bucket, SecretStr(token))), many(1))
    state, why, remedy = sinks.health()
    assert state is State.FAILED and str(status) in why and says in remedy


async def test_a_token_that_may_only_read(influxd: Influxd, sinks: Sinks) -> None:
    org = influxd.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    rights = [{"action": "read", "resource": {"type": "buckets", "orgID": org}}]
    made = influxd.ask("POST", "/api/v2/authorizations", {"orgID": org, "permissions": rights})
    await fails(sinks(InfluxPlace(influxd.url, ORG, BUCKET, SecretStr(made["token"]))), many(1))
    assert sinks.health()[0] is State.FAILED and "403" in sinks.health()[1]


async def test_a_bucket_that_is_made_later(influxd: Influxd, sinks: Sinks) -> None:
    org = influxd.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    sink = sinks(InfluxPlace(influxd.url, ORG, "later", SecretStr(TOKEN)))
    await fails(sink, many(1))
    influxd.ask("POST", "/api/v2/buckets", {"orgID": org, "name": "later", "retentionRules": []})
    sinks.clock.advance(ASK_AGAIN_S)
    assert await sink.lane("0").write(many(1)) == [] and len(influxd.rows(bucket="later")) == 4


# -- what passes ------------------------------------------------------------------------------------------------------


async def test_a_full_cache_is_waited_for(own: Influxd, sinks: Sinks) -> None:
    own.stop()
    own.start("--storage-cache-max-memory-size", "4096")
    sink = sinks(own.place)
    error = await fails(sink, many(200))
    assert error.after_s is None and "500" in str(error)
    assert sinks.health()[0] is State.WAITING and "nothing is lost" in sinks.health()[2]
    own.stop()
    assert "cannot be reached" in str(await fails(sink, many(200)))
    own.start()
    assert await sink.lane("0").write(many(200)) == [] and len(own.rows()) == 800
    assert sinks.health()[0] is State.OK


async def test_a_server_that_stands_still_is_of_unknown_outcome(own: Influxd, sinks: Sinks) -> None:
    sink = sinks(own.place, timeout_s=1.5)
    assert await sink.lane("0").write(many(1)) == []
    own.hold()
    error = await fails(sink, many(3))
    assert error.unsure and error.after_s is None and "does not answer in time" in str(error)
    own.release()
    assert await sink.lane("0").write(many(3)) == [] and len(own.rows()) == 12


async def test_nothing_was_sent_where_nobody_listens(sinks: Sinks) -> None:
    for url in ("http://127.0.0.1:9", "http://no-such-host.invalid:8086"):
        error = await fails(sinks(InfluxPlace(url, ORG, BUCKET, SecretStr(TOKEN))), many(1))
        assert not error.unsure and error.after_s is None and "cannot be reached" in str(error)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured_by_all(influxd: Influxd, sinks: Sinks, status: int) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        stand_in.answer = lambda *_: web.Response(status=status, headers={"Retry-After": "17"}, text="later")
        sink = sinks(stand_in.place)
        error = await fails(sink, many(1))
        assert error.after_s == 17 and not error.unsure and sinks.health()[0] is State.WAITING
        stand_in.answer = lambda *_: None
        assert (await fails(sink, many(1), "1")).after_s == 17
        sinks.clock.advance(16.5)
        assert (await fails(sink, many(1), "1")).after_s == 0.5
        assert len(stand_in.requests) == 1
        sinks.clock.advance(0.5)
        assert await sink.lane("0").write(many(1)) == []


@pytest.mark.parametrize(
    ("header", "waits_s"),
    [("Thu, 01 Jan 1970 00:00:00 GMT", 0.5), ("soon", 5.0), (None, 5.0), ("0", 0.5), ("999999", 3600.0)],
)
async def test_a_strange_retry_after(influxd: Influxd, sinks: Sinks, header: str | None, waits_s: float) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        headers = {} if header is None else {"Retry-After": header}
        stand_in.answer = lambda *_: web.Response(status=503, headers=headers)
        assert (await fails(sinks(stand_in.place), many(1))).after_s == waits_s


async def test_what_is_too_large_is_halved(influxd: Influxd, sinks: Sinks) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        stand_in.answer = lambda _, body: web.Response(status=413) if len(body.split(b"\n")) > 30 else None
        assert await sinks(stand_in.place).lane("0").write(many(50)) == []
        assert max(len(body.split(b"\n")) for body in stand_in.requests[-2:]) <= 30
        assert len(influxd.rows()) == 200
        stand_in.answer = lambda *_: web.Response(status=413)
        assert len(await sinks(stand_in.place).lane("0").write(many(1))) == 4


async def test_a_request_holds_no_more_points_than_it_may(influxd: Influxd, sinks: Sinks) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        assert await sinks(stand_in.place, most_points=150).lane("0").write(many(100)) == []
        assert [len(body.split(b"\n")) for body in stand_in.requests] == [150, 150, 100]


async def test_a_connection_that_breaks_is_closed_and_opened_anew(influxd: Influxd, sinks: Sinks) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        stand_in.reset = True
        sink = sinks(stand_in.place)
        assert (await fails(sink, many(1))).unsure
        stand_in.reset = False
        assert await sink.lane("0").write(many(1)) == []


@pytest.mark.parametrize(
    ("status", "state", "unsure"),
    [(301, State.FAILED, False), (405, State.FAILED, False), (500, State.WAITING, True), (502, State.WAITING, True)],
)
async def test_other_answers(influxd: Influxd, sinks: Sinks, status: int, state: State, unsure: bool) -> None:
    stand_in = StandIn(influxd)
    async with stand_in.serving():
        headers = {"Location": "http://127.0.0.1:9/elsewhere"}
        stand_in.answer = lambda *_: web.Response(status=status, headers=headers, text="<html>\n\x1b[31m what? </html>")
        assert (await fails(sinks(stand_in.place), many(1))).unsure is unsure
        assert sinks.health()[0] is state and sinks.health()[1].isprintable()
