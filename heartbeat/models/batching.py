"""Merges requests into turns for one worker thread.

Handlers of several partitions ask at the same time, with 1 to 512 texts each. What is waiting when the thread is free
becomes its next turn. While a turn runs the next one gathers by itself; a turn that is not full waits for company no
longer than the linger, so that a lone post is answered in time.

Within a turn, items are sorted by length and cut into groups of like length, because padding costs as much as text
does.

Nothing here outlives its work: the task that serves exists only while somebody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import Retry

T = TypeVar("T")
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a micro-batcher.

    Attributes:
        max_cells: the most cells (items times the longest of them) of a group: beyond what the processor's cache
            holds, a cell costs more.
        max_padding: the most of these that may be padding. A group more costs what about 2,000 cells do, and in a
            busy process the wait for the interpreter after its run; with 4,000, posts make 4 groups of 512 with 32 %
            padding, close to the best that 4 groups can do.
        full_items: a turn with this many items waits for no more.
        max_items: the most items a request may bring into one turn; a larger one takes several.
        linger_s: how long a turn that is not full waits for company, counted from its oldest request. 0 is best for
            n-grams: what comes while a turn runs gathers by itself, and lingering up to 3 ms beside that saved no
            time at any load, while the lone post waited.
        max_requests: how many requests may be waiting; who comes then waits until there is room, in order.
    """

    max_cells: int = 32_000
    max_padding: int = 4_000
    full_items: int = 256
    max_items: int = 1024
    linger_s: float = 0.0
    max_requests: int = 64


@dataclass(slots=True)
class _Request(Generic[T]):
    items: Sequence[T]
    asked_s: float
    answer: asyncio.Future[Rows]


class MicroBatcher(Generic[T]):
    """Answers requests of several callers by turns.

    It serves one event loop at a time; one that has ended may be followed by another.

    Args:
        infer: answers groups of items: one array [len(group), columns] for each group. It is called for one turn
            after the other, never twice at the same time.
        length: an item's length in cells.
        columns: the length of an answer's rows.

    A request that fails fails alone: a merged turn that raises is run again, request by request. A caller that is
    cancelled disturbs nobody.

    Attributes:
        observed: told of each turn: how many items, and how many seconds `infer` took.
    """

    def __init__(
        self,
        infer: Callable[[Sequence[Sequence[T]]], Awaitable[Sequence[Rows]]],
        *,
        length: Callable[[T], int],
        columns: int,
        limits: Limits | None = None,
    ) -> None:
        self._infer, self._length, self._columns = infer, length, columns
        self._limits = limits or Limits()
        self._waiting: deque[_Request[T]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Task[None] | None = None
        self._closed = False
        self.observed: Callable[[int, float], None] = lambda items, seconds: None

    async def ask(self, items: Sequence[T]) -> Rows:
        """One row for each item, in order.

        Raises:
            Retry: it was closed.
            Exception: whatever `infer` raised for these items.
        """
        most = self._limits.max_items
        if len(items) <= most:
            return await self._ask(items)
        return np.concatenate([await self._ask(items[at : at + most]) for at in range(0, len(items), most)])

    async def close(self) -> None:
        """Answer what has been taken in; refuse who comes later, or still waits for room."""
        self._closed = True
        if self._server is not None and self._loop is asyncio.get_running_loop():
            self._full.set()
            await asyncio.wait({self._server})

    async def _ask(self, items: Sequence[T]) -> Rows:
        if not items:
            return np.empty((0, self._columns), np.float32)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        async with self._room:
            if self._closed:
                raise Retry("the model is closed: the worker is stopping")
            request = _Request(items, loop.time(), loop.create_future())
            self._waiting.append(request)
            if sum(len(waiting.items) for waiting in self._waiting) >= self._limits.full_items:
                self._full.set()
            if self._server is None:
                self._server = loop.create_task(self._serve(), name="models")
            return await request.answer

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError("a model answers one event loop at a time, and another one is using it")
        self._loop, self._server = loop, None
        self._waiting.clear()
        self._room, self._full = asyncio.Semaphore(self._limits.max_requests), asyncio.Event()

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._gather_company(self._waiting[0].asked_s + self._limits.linger_s)
                if turn := self._next_turn():
                    await self._answer(turn)
        finally:
            self._server = None
            for request in self._waiting:  # only when this task was cancelled: its loop is ending
                request.answer.cancel()
            self._waiting.clear()

    async def _gather_company(self, until_s: float) -> None:
        if self._full.is_set() or self._limits.linger_s == 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._full.wait()

    def _next_turn(self) -> list[_Request[T]]:
        turn: list[_Request[T]] = []
        items = 0
        while self._waiting and items < self._limits.full_items:
            request = self._waiting.popleft()
            if not request.answer.done():  # else its caller was cancelled
                turn.append(request)
                items += len(request.items)
        if not self._closed and sum(len(request.items) for request in self._waiting) < self._limits.full_items:
            self._full.clear()
        return turn

    async def _answer(self, turn: Sequence[_Request[T]]) -> None:
        try:
            rows = await self._rows([item for request in turn for item in request.items])
        except asyncio.CancelledError:
            for request in turn:
                request.answer.cancel()
            raise
        except Exception as error:
            if len(turn) > 1:
                for request in turn:
                    await self._answer([request])
            elif not turn[0].answer.done():
                turn[0].answer.set_exception(error)
            return
        at = 0
        for request in turn:
            if not request.answer.done():
                request.answer.set_result(rows[at : at + len(request.items)])
            at += len(request.items)

    async def _timed(self, groups: Sequence[Sequence[T]]) -> Sequence[Rows]:
        began = perf_counter()
        answers = await self._infer(groups)
        self.observed(sum(map(len, groups)), perf_counter() - began)
        return answers

    async def _rows(self, items: Sequence[T]) -> Rows:
        """Answers in the order of the items, from groups in the order of their lengths."""
        if len(items) == 1:
            return (await self._timed([items]))[0]
        groups = self._groups([self._length(item) for item in items])
        answers = await self._timed([[items[index] for index in group] for group in groups])
        rows = np.empty((len(items), self._columns), np.float32)
        rows[[index for group in groups for index in group]] = np.concatenate(answers)
        return rows

    def _groups(self, lengths: Sequence[int]) -> list[list[int]]:
        groups: list[list[int]] = [[]]
        used = 0
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            used += lengths[index]
            cells = (len(groups[-1]) + 1) * lengths[index]
            if groups[-1] and (cells > self._limits.max_cells or cells - used > self._limits.max_padding):
                groups.append([])
                used = lengths[index]
            groups[-1].append(index)
        return groups
