"""What commands ask of InfluxDB: is it there, may the token write, is the bucket there, does its clock agree.

Buckets and rights have no asynchronous interface in the client, so its synchronous one is used; calls block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.rest import ApiException
from urllib3.util import Retry as NoRetry

from heartbeat.clock import Clock
from heartbeat.errors import InfluxError
from heartbeat.sinks.influx_answers import REMEDIES, text_of
from heartbeat.sinks.influx_client import InfluxPlace

TIMEOUT_S: Final = 10.0
MOST_SKEW_S: Final = 5.0
"""Clocks that differ by more are worth a word: retention counts by the server's, window starts by ours."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself.

    Attributes:
        version: as it reports it; empty if it does not.
        ahead_s: by how much its clock is ahead of ours, to the second; None if it does not tell.
    """

    version: str
    ahead_s: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket. `retention_s` is 0 where it keeps points for ever."""

    id: str
    name: str
    retention_s: int


class InfluxAdmin:
    """Asks one place; to be used as a context manager."""

    def __init__(self, place: InfluxPlace, clock: Clock) -> None:
        self.place, self._clock = place, clock
        self._client = InfluxDBClient(
            place.url,
            place.token.get_secret_value(),
            org=place.org,
            timeout=round(TIMEOUT_S * 1000),
            retries=NoRetry(0, redirect=False),
        )

    def __enter__(self) -> InfluxAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def server(self) -> Server:
        """Whether it is there.

        Raises:
            InfluxError: it is not, or is something else.
        """
        with self._asking("a ping"):
            _, status, headers = self._client.api_client.call_api(
                "/ping", "GET", _return_http_data_only=False, _preload_content=True, async_req=False
            )
        ahead_s: float | None = None
        try:
            there = parsedate_to_datetime(headers["Date"]).timestamp()
            ahead_s = float(round(there - self._clock.now_ms() / 1000))
        except (KeyError, TypeError, ValueError):
            pass
        return Server(str(headers.get("X-Influxdb-Version", "")), ahead_s)

    def bucket(self) -> Bucket | None:
        """The bucket, or None if there is none of that name, or the token may not see it.

        Raises:
            InfluxError: the token or the organization is wrong.
        """
        with self._asking("a question for buckets"):
            try:
                found = self._client.buckets_api().find_buckets(name=self.place.bucket, org=self.place.org).buckets
            except ApiException as error:
                if error.status == 404 and text_of(error.body).startswith("bucket "):
                    return None
                raise
        return _bucket(found[0]) if found else None

    def make_bucket(self, retention_s: int) -> Bucket:
        """Make the bucket.

        Raises:
            InfluxError: the token may not.
        """
        with self._asking("a new bucket"):
            rules = BucketRetentionRules(type="expire", every_seconds=retention_s)
            return _bucket(
                self._client.buckets_api().create_bucket(
                    bucket_name=self.place.bucket, org=self.place.org, retention_rules=rules
                )
            )

    def try_to_write(self) -> None:
        """Write nothing: an empty body is checked like any other, but leaves no trace.

        Raises:
            InfluxError: token, rights, organization or bucket are wrong.
        """
        with self._asking("a write"):
            self._client.api_client.call_api(
                "/api/v2/write",
                "POST",
                query_params=[("org", self.place.org), ("bucket", self.place.bucket), ("precision", "ms")],
                header_params={"Content-Type": "text/plain; charset=utf-8"},
                body=b"\n",
                async_req=False,
            )

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Say what an error means."""
        url = self.place.url
        try:
            yield
        except ApiException as error:
            status = int(error.status or 0)
            said = text_of(error.body)
            remedy = REMEDIES.get(status) or "see whether that is an InfluxDB of version 2"
            raise InfluxError(f"{url} answers {status} to {what}{f': {said}' if said else ''}; {remedy}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            said = str(reason).rpartition(": ")[2] or type(reason).__name__
            raise InfluxError(
                f"{url} cannot be asked for {what}: {said}; is it running there, and is HEARTBEAT_INFLUX_URL right?"
            ) from error


def _bucket(found: Any) -> Bucket:
    seconds = [rule.every_seconds for rule in found.retention_rules or [] if rule.every_seconds]
    return Bucket(str(found.id), str(found.name), int(seconds[0]) if seconds else 0)
