"""Configuration, models, and what lies outside: the port, feeds, databases."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from heartbeat.doctor.findings import Finding, ok, warning, wrong
from heartbeat.errors import ConfigError, InfluxError, ModelError
from heartbeat.models.catalogue import Catalogue
from heartbeat.models.choices import NONE
from heartbeat.settings import Settings
from heartbeat.tasks import FEEDS, LANGUAGES, Task
from heartbeat.tasks.hints import language_of

REACH_S: Final = 3.0
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def configuration(problems: Sequence[ConfigError], where: str) -> Iterator[Finding]:
    """What is wrong with the configuration."""
    for problem in problems:
        yield wrong("config", str(problem), "`heartbeat config check` looks again")
    if not problems:
        yield ok("config", f"{where} is right")


def half_of_influx(settings: Settings) -> Iterator[str]:
    """What is missing of an InfluxDB of which only part is named."""
    if settings.influx_url:
        from heartbeat.sinks.influx_client import InfluxPlace  # half a second, which most do not need

        try:
            InfluxPlace.of(settings)
        except InfluxError as error:
            yield str(error)


def idle(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that are there for nothing: a key, and why."""
    if said := settings.influx_unused:
        first = min(settings.model_fields_set & {"influx_org", "influx_bucket", "influx_token"})
        yield first, said


def unused_choices(settings: Settings, tasks: Collection[str]) -> Iterator[tuple[str, str]]:
    """Models chosen for languages and tasks that no post will have: a key, and why."""
    catalogue = Catalogue(settings.models_dir)
    for lang, name in settings.sentiment_by_lang.items():
        key = f"sentiment_by_lang.{lang}"
        if lang not in LANGUAGES:
            meant = language_of(lang)
            yield key, f"no post is in {lang!r}" + (f"; that language is {meant!r} here" if meant else "")
        elif name != NONE:
            with suppress(ModelError):  # what cannot be found or read is an error, and told of as one
                entry = catalogue.find(name)
                if lang not in entry.card.languages:
                    yield key, f"{entry.reference} does not know {lang!r}, so other models score it as without this"
    for task in settings.sentiment_by_task.keys() - set(tasks):
        yield f"sentiment_by_task.{task}", f"no task is named {task!r}; this counts for a replay with that name alone"


def models(settings: Settings, used: Sequence[str]) -> Iterator[Finding]:
    """Whether models are what they were: those that are used have to be, others should."""
    entries = Catalogue(settings.models_dir).list()
    if not entries:
        yield wrong("models", f"there are none in {settings.models_dir}", "set HEARTBEAT_MODELS_DIR to where they are")
    whole = []
    for entry in entries:
        try:
            entry.verify()
            whole.append(entry.reference)
        except ModelError as error:
            said, _, mend = str(error).partition("; ")
            finding = wrong if entry.reference in used else warning
            yield finding("models", said, mend or "get the model's folder anew")
    if whole:
        yield ok("models", f"{', '.join(whole)}: every checksum is right")


def port(host: str, number: int, *, worker: bool) -> Iterator[Finding]:
    """Whether the pages can be served, or are."""
    place = f"{host}:{number}"
    try:
        with socket.create_connection((host, number), timeout=REACH_S):
            answers = True
    except OSError:
        answers = False
    if worker:
        if answers:
            yield ok("port", f"{place} answers")
        else:
            yield warning("port", f"{place} does not answer, though a worker runs", "was it started with another port?")
        return
    if answers:
        mend = "stop what listens there, or set HEARTBEAT_WEB_PORT to another port"
        yield wrong("port", f"{place} is taken by another program", mend)
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except OSError as error:
        mend = "set HEARTBEAT_WEB_HOST to an address of this machine, and HEARTBEAT_WEB_PORT to a free port"
        yield wrong("port", f"{place} cannot be served on: {error.strerror or error}", mend)
        return
    yield ok("port", f"{place} is free")


def addresses(settings: Settings, tasks: Sequence[Task]) -> Iterator[Finding]:
    """Whether the servers that settings name can be reached; those of feeds only if some task names the feed."""
    named = {feed for task in tasks for feed in task.feeds}
    for field in type(settings).model_fields:
        about, _, kind = field.rpartition("_")
        if kind not in ("url", "urls", "host", "hosts") or not about or about == "web":
            continue
        if about in FEEDS and about not in named:
            continue
        value = getattr(settings, field)
        for url in [value] if isinstance(value, str) else list(value or ()):
            parts = urlsplit(str(url) if "://" in str(url) else f"wss://{url}" if url else "")
            if parts.hostname and parts.scheme in _PORTS:
                yield _reached(about, parts.hostname, parts.port or _PORTS[parts.scheme])
    for feed in sorted(named & {"demo"}):
        yield ok(f"feed {feed}", "needs nothing from outside")


def _reached(about: str, host: str, number: int) -> Finding:
    try:
        with socket.create_connection((host, number), timeout=REACH_S):
            return ok(about, f"{host}:{number} can be reached")
    except OSError as error:
        said = f"{host}:{number} cannot be reached: {error.strerror or error}"
        return warning(
            about, said, "check the network and the address; it is tried again by itself while a worker runs"
        )
