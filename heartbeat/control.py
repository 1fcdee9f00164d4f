"""How commands reach a running worker: a Unix socket in the data directory, readable by its owner alone (0600).

A request is one JSON line `{"call": NAME, …arguments}`; the answer is a JSON object a line until the end of the stream.
An error of ours comes as `{"error": TEXT}`. A caller that hangs up cancels what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

from heartbeat.errors import HeartbeatError

logger = logging.getLogger(__name__)

NAME: Final = "worker.sock"
_LONGEST_PATH: Final = 100
"""A Unix socket's path may have 104 bytes (macOS) or 108 (Linux)."""
_LONGEST_LINE: Final = 2**20

Call = Callable[[Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]


class ControlServer:
    """The worker's side: answers calls by name."""

    def __init__(self, data_dir: Path, calls: Mapping[str, Call]) -> None:
        self._path, self._calls = data_dir / NAME, calls
        self._server: asyncio.Server | None = None
        self._folder: Path | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The caller owns the data directory, so a socket that lies there is a dead worker's."""
        self._path.unlink(missing_ok=True)
        place = self._path
        if len(os.fsencode(place)) > _LONGEST_PATH:
            self._folder = Path(tempfile.mkdtemp(prefix="heartbeat-"))
            place = self._folder / NAME
            self._path.symlink_to(place)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._answer, place, limit=_LONGEST_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Hang up on everybody and take the socket away."""
        if self._server is not None:
            self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        self._path.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        hung_up: asyncio.Task[bytes] | None = None
        try:
            line = await reader.readline()
            if not line:
                return
            request = orjson.loads(line)
            call = self._calls.get(request.pop("call", ""))
            if call is None:
                raise HeartbeatError("the running worker is of another version: it does not know this call")
            hung_up = asyncio.create_task(reader.read())
            hung_up.add_done_callback(lambda _: task.cancel())
            async for part in call(request):
                writer.write(orjson.dumps(part) + b"\n")
                await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass
        except HeartbeatError as error:
            writer.write(orjson.dumps({"error": str(error)}) + b"\n")
        except Exception:
            logger.exception("a call over the control socket failed")
            writer.write(orjson.dumps({"error": "the worker failed at this call; its log says how"}) + b"\n")
        finally:
            self._answering.discard(task)
            if hung_up is not None:
                hung_up.cancel()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                writer.close()
                await writer.wait_closed()


def connect(data_dir: Path) -> socket.socket | None:
    """A connection to the worker that owns this data directory, or None if none answers."""
    place = data_dir / NAME
    with contextlib.suppress(OSError):
        place = Path(os.readlink(place))
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.path.relpath(place) if len(os.fsencode(place)) > _LONGEST_PATH else str(place))
    except OSError:
        connection.close()
        return None
    return connection


def call(connection: socket.socket, name: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Make a call and yield the parts of its answer.

    Raises:
        HeartbeatError: the worker said so, or went away before it was done.
    """
    done = False
    with connection, cast(BinaryIO, connection.makefile("rb")) as stream:
        for line in _lines(connection, stream, orjson.dumps({"call": name, **arguments}) + b"\n"):
            part = orjson.loads(line)
            if "error" in part:
                raise HeartbeatError(part["error"])
            done = bool(part.get("done"))
            yield part
    if not done:
        raise HeartbeatError("the worker went away in the middle; start the command again and it goes on")


def _lines(connection: socket.socket, stream: BinaryIO, request: bytes) -> Iterator[bytes]:
    """The whole lines that come for a request, until the other side hangs up or is gone, however that shows."""
    try:
        connection.sendall(request)
        for line in stream:
            if not line.endswith(b"\n"):
                return  # it was cut off in the middle
            yield line
    except ConnectionError:  # it was killed with something still unread
        return
