"""Kinds of values of settings that have rules of their own; a `ValueError` says what is wrong with one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

CENTURY_DAYS: Final = 100 * 366
_DAY_S: Final = 86_400
_JETSTREAM_HOST: Final = re.compile(r"(wss?://)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?(/[^\s?#]*)?")
_WEB_HOST: Final = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_TOKEN: Final = re.compile(r"[!-~]{16,1000}")


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("holds a NUL character")
    return Path(os.path.abspath(path.expanduser()))


def _dividing_a_day(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if not sizes or any(size < 1 or _DAY_S % size for size in sizes) or len(set(sizes)) != len(sizes):
        raise ValueError("each size has to divide a day, and stand once")
    return tuple(sorted(sizes))


def _of_jetstream(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not _JETSTREAM_HOST.fullmatch(host):
            raise ValueError(f"{host!r} has to be a host's name, or ws:// or wss:// and a path without a query")
    return hosts


def _of_pages(hosts: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(host.lower() for host in hosts)
    for host in named:
        if not _WEB_HOST.fullmatch(host):
            raise ValueError(
                f"{host!r} is no host: write a name as it stands in the address, such as pulse.example.org"
            )
    return named


def _long_enough(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError(
            "has to have 16 to 1000 letters, digits and signs without spaces; `openssl rand -hex 24` makes one"
        )
    return token


def _longer_for_larger(days: Mapping[int, int]) -> Mapping[int, int]:
    ordered = [days[size] for size in sorted(days)]
    if any(size < 1 for size in days) or any(not 1 <= each <= CENTURY_DAYS for each in ordered):
        raise ValueError(f"sizes are in seconds, from 1; days from 1 to {CENTURY_DAYS}")
    if ordered != sorted(ordered):
        raise ValueError("a larger size has to be kept at least as long as a smaller one")
    return days


def _embedded(url: str) -> str:
    if url != "sqlite:":
        raise ValueError(f"{url!r}: only `sqlite:` (the log in the data directory) is there; it takes no path")
    return url


def _of_a_server(url: str) -> str:
    if not url:
        return url
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("has to be the address of a server, such as http://127.0.0.1:8086") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("has to be the address of a server, such as http://127.0.0.1:8086")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("may hold no user, password or query: the token goes into HEARTBEAT_INFLUX_TOKEN")
    return url.rstrip("/")


def _fit_for_a_header(token: SecretStr) -> SecretStr:
    if not token.get_secret_value().isascii() or not token.get_secret_value().isprintable():
        raise ValueError("is no token: it holds characters that no HTTP header can carry")
    return token


Folder = Annotated[Path, AfterValidator(_absolute)]
WindowSizes = Annotated[tuple[int, ...], AfterValidator(_dividing_a_day)]
JetstreamHosts = Annotated[tuple[str, ...], AfterValidator(_of_jetstream)]
WebHosts = Annotated[tuple[str, ...], AfterValidator(_of_pages)]
WebToken = Annotated[SecretStr, AfterValidator(_long_enough)]
DaysBySize = Annotated[Mapping[int, int], AfterValidator(_longer_for_larger)]
Broker = Annotated[str, AfterValidator(_embedded)]
InfluxUrl = Annotated[str, AfterValidator(_of_a_server)]
InfluxToken = Annotated[SecretStr, AfterValidator(_fit_for_a_header)]
