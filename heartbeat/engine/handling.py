"""Calls the handler and the tick of an agent for one partition, each inside a unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from heartbeat.engine.log import TP
from heartbeat.engine.unit import Unit, current

if TYPE_CHECKING:
    from heartbeat.engine.runner import AgentRunner

T = TypeVar("T")


class HandlerCancelled(Exception):
    """Something inside a handler was cancelled, though nobody had asked the pipeline to stop."""


class Handling:
    """One partition's units, from their beginning until they are sealed or undone.

    Attributes:
        is_under_way: whether a handler or a tick runs right now.
    """

    def __init__(self, runner: AgentRunner, tp: TP) -> None:
        self._runner, self._tp = runner, tp
        self.is_under_way = False

    def unit(self, start: int | None, end: int, messages: int) -> Unit:
        """A new unit that moves the offset from `start` to `end`."""
        context, runner = self._runner.context, self._runner
        return Unit(
            runner.spec.name,
            runner.group,
            self._tp,
            start,
            end,
            encode=context.codec.encode,
            partitions=context.partitions,
            messages=messages,
        )

    async def call(self, unit: Unit, work: Awaitable[T]) -> T:
        """Run a handler or a tick inside its unit and seal that; rolled back if anything is raised.

        Raises:
            HandlerCancelled: it was cancelled from within.
        """
        token, began = current.set(unit), perf_counter()
        self.is_under_way = True
        try:
            result = await work
            unit.seal()
            return result
        except asyncio.CancelledError as error:
            unit.rollback()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise HandlerCancelled("something inside the handler was cancelled") from error
        except BaseException:
            unit.rollback()
            raise
        finally:
            self.is_under_way = False
            current.reset(token)
            seconds = perf_counter() - began
            self._runner.stats.handler_s += seconds
            if unit.messages:
                self._runner.context.observer.handled(self._runner.spec.name, seconds)
