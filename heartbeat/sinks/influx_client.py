"""One write to InfluxDB, through its own client; every outcome is an `Answer`.

After a write of unknown outcome the client is closed and a new one is opened: what is left on the old connection may
still be written, but nothing of ours follows it there.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from pydantic import SecretStr

from heartbeat.clock import Clock
from heartbeat.errors import InfluxError
from heartbeat.settings import PREFIX, Settings
from heartbeat.sinks.influx_answers import WRITTEN, Answer, answer_of, answer_to_error

TIMEOUT_S: Final = 10.0
_LEVEL: Final = 1
"""Of gzip: lines are so alike that more effort gains little."""
_IN_THREAD_FROM: Final = 32_768
"""Larger bodies are compressed in a thread; it gives the interpreter up meanwhile."""


class InfluxPlace:
    """Where to write: made from settings that name all of it."""

    def __init__(self, url: str, org: str, bucket: str, token: SecretStr) -> None:
        self.url, self.org, self.bucket, self.token = url, org, bucket, token

    def __repr__(self) -> str:
        return f"{self.url}, organization {self.org}, bucket {self.bucket}"

    @classmethod
    def of(cls, settings: Settings) -> InfluxPlace | None:
        """What the settings say; None if they name no InfluxDB.

        Raises:
            InfluxError: they name only part of it.
        """
        if not settings.influx_url:
            return None
        missing = [
            f"{PREFIX}{name.upper()}"
            for name in ("influx_org", "influx_bucket", "influx_token")
            if not (getattr(settings, name).get_secret_value() if name == "influx_token" else getattr(settings, name))
        ]
        if missing:
            raise InfluxError(
                f"{PREFIX}INFLUX_URL is set, but {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not; "
                "set the rest, or nothing of it (then windows go to the history alone)"
            )
        return cls(settings.influx_url, settings.influx_org, settings.influx_bucket, settings.influx_token)


class InfluxClient:
    """Writes lines to one place.

    Args:
        place: where.
        clock: for dates in `Retry-After`.
        timeout_s: how long a write may take; after that its outcome is not known.
    """

    def __init__(self, place: InfluxPlace, clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self.place, self._clock, self._timeout_s = place, clock, timeout_s
        self._client: InfluxDBClientAsync | None = None

    async def write(self, body: bytes) -> Answer:
        """Send lines, with times in ms; says what became of them."""
        if len(body) >= _IN_THREAD_FROM:
            packed = await asyncio.to_thread(gzip.compress, body, _LEVEL)
        else:
            packed = gzip.compress(body, _LEVEL)
        client = self._opened()
        try:
            await WriteService(client.api_client).post_write_async(
                self.place.org,
                self.place.bucket,
                packed,
                precision="ms",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
                async_req=False,
                _return_http_data_only=False,
            )
            return WRITTEN
        except ApiException as error:
            now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
            answer = answer_of(int(error.status or 0), error.body, error.headers, now)
        except Exception as error:
            known = answer_to_error(error)
            if known is None:
                raise
            answer = known
        except asyncio.CancelledError:
            await self._close(client)
            raise
        if answer.unsure:
            await self._close(client)
        return answer

    async def close(self) -> None:
        """Close the connections; the next write opens new ones."""
        if self._client is not None:
            await self._close(self._client)

    def _opened(self) -> InfluxDBClientAsync:
        if self._client is None:
            self._client = opened(self.place, timeout_s=self._timeout_s)
        return self._client

    async def _close(self, client: InfluxDBClientAsync) -> None:
        """Others may be writing with it, in other partitions: their writes then fail, with an outcome unknown too."""
        if self._client is client:
            self._client = None
        await client.close()


def opened(place: InfluxPlace, *, timeout_s: float = TIMEOUT_S) -> InfluxDBClientAsync:
    """A client of InfluxDB's own; has to be closed."""
    more: dict[str, Any] = {"allow_redirects": False, "ssl_context": _tls()}
    return InfluxDBClientAsync(
        place.url, place.token.get_secret_value(), place.org, timeout=round(timeout_s * 1000), **more
    )


@lru_cache(1)
def _tls() -> ssl.SSLContext:
    """Reading the machine's certificates takes some 50 ms: once is enough."""
    return ssl.create_default_context()
