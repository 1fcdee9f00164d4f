"""What the answers of InfluxDB mean: which of them are for us, for the point, for a person, or for time to heal.

204             written
400             nothing of it was written: some point is malformed
413             nothing of it was written: too much at once
422             some points were refused, all others are written
401 403 404     token, rights, organization or bucket are wrong: a person has to mend that
429 503         later, when it says so
anything else   it failed, and what became of the request is not known
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import aiohttp
import orjson

from heartbeat.retry_after import retry_after_s

LONGEST_TEXT: Final = 300
LONGEST_WAIT_S: Final = 3_600.0
_DROPPED: Final = re.compile(r"dropped=(\d+)")
_FIELD: Final = re.compile(r'input field "((?:[^"\\]|\\.)*)" on measurement')
_BOUND: Final = re.compile(r"violates a [A-Za-z ]+ (Lower|Upper) Bound at (\S+?)(?:,|\s|$)")


class Kind(Enum):
    """What became of a write."""

    WRITTEN = "written"
    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    PARTIAL = "partial"
    DENIED = "denied"
    LATER = "later"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a write.

    Attributes:
        kind: see `Kind`.
        why: what happened, for people.
        remedy: what to do about it; empty where time heals it.
        after_s: how long the server asked to wait.
        unsure: the request may have been written, or may still be.
    """

    kind: Kind
    why: str = ""
    remedy: str = ""
    after_s: float | None = None
    unsure: bool = False

    @property
    def dropped(self) -> int | None:
        """Of `PARTIAL`: how many points were refused, as far as the server says."""
        found = _DROPPED.findall(self.why)  # what comes before the last is part of a name
        return int(found[-1]) if found else None

    @property
    def field(self) -> str | None:
        """Of `PARTIAL`: the field whose type is another's."""
        found = _FIELD.search(self.why)
        return found[1].replace('\\"', '"') if found else None

    @property
    def oldest_ms(self) -> int | None:
        """Of `PARTIAL`: points before this time were refused, because the bucket keeps nothing that old."""
        bounds = [_ms(bound) for side, bound in _BOUND.findall(self.why) if side == "Lower"]
        return max((bound for bound in bounds if bound is not None), default=None)


WRITTEN: Final = Answer(Kind.WRITTEN)


def answer_of(status: int, body: bytes | str | None, headers: Mapping[str, str] | None, now: datetime) -> Answer:
    """What an HTTP answer to a write means."""
    said = text_of(body)
    why = f"InfluxDB answers {status}{f': {said}' if said else ''}"
    if status in (400, 413, 422):
        return Answer({400: Kind.MALFORMED, 413: Kind.TOO_LARGE, 422: Kind.PARTIAL}[status], why)
    if status in REMEDIES or 300 <= status < 400:
        return Answer(Kind.DENIED, why, REMEDIES.get(status, _REDIRECTED))
    if status in (429, 503):
        return Answer(Kind.LATER, why, after_s=retry_after_s(headers, now, most_s=LONGEST_WAIT_S))
    return Answer(Kind.DOWN, why, unsure=True)


REMEDIES: Final = {
    401: "put a valid token into HEARTBEAT_INFLUX_TOKEN, and start again with it",
    403: "give the token in HEARTBEAT_INFLUX_TOKEN the right to write to the bucket, or use another and start again",
    404: "make the bucket with `heartbeat influx setup`, or mend HEARTBEAT_INFLUX_ORG, _BUCKET or _URL",
    405: "mend HEARTBEAT_INFLUX_URL: what answers there takes no writes",
}
_REDIRECTED: Final = "mend HEARTBEAT_INFLUX_URL: what answers there sends us elsewhere"


def answer_to_error(error: BaseException) -> Answer | None:
    """What it means that there was no HTTP answer; None if the error has nothing to do with the connection.

    While there was no connection yet (refused, no route, no such name, no TLS) nothing was sent.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        remedy = "use a certificate that this machine trusts, or mend HEARTBEAT_INFLUX_URL"
        return Answer(Kind.DENIED, f"InfluxDB cannot be trusted: {_one_line(str(error))}", remedy)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0  # of a name that is not found it is negative
        said = os.strerror(number) if number > 0 else error.os_error.strerror or type(error.os_error).__name__
        return Answer(Kind.DOWN, f"InfluxDB cannot be reached at {error.host}:{error.port}: {said}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Answer(Kind.DOWN, "InfluxDB cannot be reached: no connection in time")
    if isinstance(error, asyncio.TimeoutError):
        return Answer(Kind.DOWN, "InfluxDB does not answer in time", unsure=True)
    if isinstance(error, aiohttp.InvalidURL):
        return Answer(Kind.DENIED, "the address of InfluxDB is none", "mend HEARTBEAT_INFLUX_URL")
    if isinstance(error, aiohttp.ClientError | OSError):
        said = _one_line(str(error)) or type(error).__name__
        return Answer(Kind.DOWN, f"the connection to InfluxDB broke: {said}", unsure=True)
    return None


def text_of(body: bytes | str | None) -> str:
    """What the server says, as one short line."""
    if not body:
        return ""
    try:
        said: Any = orjson.loads(body)
        message = str(said.get("message", "")) if isinstance(said, dict) else ""
    except orjson.JSONDecodeError:
        message = body.decode(errors="replace") if isinstance(body, bytes) else body
    line = _one_line(message)
    return line if len(line) <= 2 * LONGEST_TEXT else f"{line[:LONGEST_TEXT]} … {line[-LONGEST_TEXT:]}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))


def _ms(text: str) -> int | None:
    """RFC 3339 with up to nanoseconds as ms, rounded up."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", text)
    if found is None:
        return None
    moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    nanos = int((found[2] or "").ljust(9, "0")[:9])
    return int(moment.timestamp()) * 1000 + -(-nanos // 1_000_000)
