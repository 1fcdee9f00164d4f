"""Log lines: JSON where it is asked for, and in no failure a word of a post."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mode.utils.logging import create_logconfig

from heartbeat import topics
from heartbeat.engine import (
    faust,
    faust_lists,
    faust_web,
    faust_worker,
    transport,
    transport_consumer,
    transport_producer,
)
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.errors import LogUnavailable
from heartbeat.feeds.base import Delivery, FeedState
from heartbeat.records import Post
from heartbeat.testing.driver import Driver
from heartbeat.worklog import discreet, named, quiet
from tests.cli.commands import run
from tests.feeds.world import World, until
from tests.proof.processes import environment, free_port, kill, listens

SAID = "a secret thing that somebody said"
AUTHOR = "somebody-by-name"


@pytest.fixture(params=["text", "json"])
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What is logged, set up as Faust's worker sets it up."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    config = quiet("debug", request.param)
    handlers = {"default": {"class": "logging.StreamHandler", "formatter": "colored", "stream": stream}}
    made = create_logconfig(handlers=handlers, root={"level": "DEBUG", "handlers": ["default"]})
    logging.config.dictConfig({**made, "formatters": config["formatters"]})
    try:
        yield stream
    finally:
        root.handlers[:], root.level = before
    if request.param == "json":
        for line in stream.getvalue().splitlines():
            assert json.loads(line).keys() >= {"at", "level", "logger", "message"}
    assert SAID not in stream.getvalue() and AUTHOR not in stream.getvalue()


def post(number: int = 1) -> Post:
    return Post(f"p{number}", "x", "demo", ("a",), "upsert", 0, SAID, 0, 0, author=AUTHOR)


async def test_a_handler_that_quotes_a_post(logged: io.StringIO) -> None:
    async def handler(batch: Batch[Post], emit: Emit) -> None:
        raise KeyError(batch.events[0].value)

    spec = AgentSpec("language", topics.INGEST, handler)
    driver = Driver(lambda: [spec], partitions=1)
    await driver.start()
    await driver.send(topics.INGEST, post(), key="k", partition=0)
    await driver.run_until_idle()
    (letter,) = await driver.dead_letters()
    assert SAID not in str(letter.headers) and "KeyError at test_worklog.py" in letter.headers["reason"]
    assert "goes to dead letters: KeyError at test_worklog.py" in logged.getvalue()


async def test_a_feed_that_quotes_a_post(logged: io.StringIO) -> None:
    class Broken:
        name, live = "memory", True

        async def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
            if not cursor:
                raise RuntimeError(f"cannot make anything of {post()!r}")
            yield Delivery((), (), cursor, None, FeedState.CAUGHT_UP)

    world = World()
    running = asyncio.create_task((runner := world.runner(Broken())).run())
    await until(lambda: runner.info().state == "failed")
    runner.stop()
    await running
    status = world.health.get("feed/memory")
    assert status is not None and SAID not in status.why
    assert "it raised RuntimeError" in logged.getvalue()


async def test_what_nobody_caught(logged: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(SAID)

    async def fail_after() -> None:
        try:
            await fail()
        except ValueError as error:
            raise LookupError(AUTHOR) from error

    logger = logging.getLogger("mode.worker")
    try:
        await fail_after()
    except LookupError as error:
        logger.exception("Crashed reason=%r %s", error, "so it goes", exc_info=error)
    loop = asyncio.get_running_loop()
    task = loop.create_task(fail())
    await asyncio.wait({task})
    del task  # asyncio tells of it, with the exception, when it is collected
    loop.call_soon(lambda said: 1 / 0, SAID)
    loop.call_exception_handler({"message": "Exception in callback f('" + SAID + "')", "exception": ValueError(SAID)})
    await asyncio.sleep(0.01)
    said = logged.getvalue()
    assert "Crashed reason=LookupError so it goes" in said and "led to:" in said and "ValueError" in said
    assert "Task exception was never retrieved" in said and "Exception in callback" in said
    assert "test_worklog.py" in said


def test_a_command_without_a_worker_is_as_discreet(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is set up there: what is logged goes to Python's handler of last resort."""
    discreet()
    handler = logging.lastResort
    assert handler is not None
    try:
        try:
            raise KeyError(SAID)
        except KeyError as error:
            logger = logging.getLogger("heartbeat.x")
            handler.handle(logger.makeRecord("heartbeat.x", 40, "", 1, "it failed: %s", (error,), sys.exc_info()))
    finally:
        handler.setFormatter(None)
    said = capsys.readouterr().err
    assert said.startswith("it failed: KeyError\n") and "test_worklog.py" in said and SAID not in said


def test_ours_speak_for_themselves() -> None:
    assert named(LogUnavailable("log.db: the disk is full")) == "log.db: the disk is full"
    assert named(OSError(28, "No space left on device", SAID)) == "OSError: No space left on device"
    assert named(KeyError(SAID)) == "KeyError"


def test_the_parts_of_a_worker_start_in_silence() -> None:
    """Each of them would say so, under the name of its module."""
    parts = [faust_lists.ListedAgent, faust_lists.Tables, faust_web.Web, faust_worker.Worker, faust.HeartbeatApp]
    parts += [transport.Transport, transport_consumer.Consumer, transport_producer.Producer]
    assert {part.__module__ for part in parts} <= quiet("info")["loggers"].keys()


def test_a_worker_logs_json_where_it_is_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "heartbeat", "worker", "--data-dir", str(tmp_path / "data")],
            env=environment(
                HEARTBEAT_WEB_PORT=str(free_port()),
                HEARTBEAT_LOG_FORMAT="json",
                HEARTBEAT_SENTIMENT_MODEL="sentiment-fast",
                PATH=os.environ["PATH"],
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        assert listens(tmp_path / "data", process)
        second = run("worker", "--data-dir", str(tmp_path / "data"), HEARTBEAT_LOG_FORMAT="json")
        assert second.code == 1 and "is in use by process" in second.err and second.out == ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        kill(process)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"level": "info", "logger": "heartbeat.worker", "message": "stopped"}.items() <= lines[-1].items()
    told = [line["message"] for line in lines]
    assert "feed/demo is ok" in told and any(message.startswith("ready: the page is at") for message in told)
    assert all(line["at"].endswith("Z") for line in lines)
