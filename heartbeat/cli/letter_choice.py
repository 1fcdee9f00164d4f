"""Which dead letters a command is about: some by name, or all that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from heartbeat.cli.common import Misuse
from heartbeat.cli.times import Span
from heartbeat.engine.letters import Letter, LetterId

F = TypeVar("F", bound=Callable[..., Any])


class Id(click.ParamType):
    """A letter's name."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> LetterId:
        """Raises click's usage error if it is none."""
        if isinstance(value, LetterId):
            return value
        try:
            return LetterId.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was said of them."""

    ids: Sequence[LetterId]
    topic: str | None
    agent: str | None
    reason: str | None
    older_than_ms: int | None
    everything: bool

    @property
    def by_name(self) -> bool:
        """Whether they are named one by one."""
        return bool(self.ids)

    def check(self) -> None:
        """Make sure that it chooses something, in one way.

        Raises:
            Misuse: it does not.
        """
        filters = any(each is not None for each in (self.topic, self.agent, self.reason, self.older_than_ms))
        if self.by_name + self.everything + filters == 0:
            raise Misuse("say which: ids as `deadletters list` shows them, --agent, --topic, --reason, or --all")
        if self.by_name and (self.everything or filters):
            raise Misuse("give ids, or say which by --agent, --topic, --reason or --all; not both")

    def fits(self, one: Letter, now_ms: int) -> bool:
        """Whether a letter is one of them; names are not looked at."""
        return (
            (self.topic is None or one.topic == self.topic)
            and (self.agent is None or one.agent == self.agent)
            and (self.reason is None or self.reason.casefold() in one.reason.casefold())
            and (self.older_than_ms is None or one.at_ms <= now_ms - self.older_than_ms)
        )


def choosing(command: F) -> F:
    """The options that make a `Choice`."""
    for option in reversed(
        (
            click.argument("ids", nargs=-1, type=Id(), metavar="[ID]..."),
            click.option("--topic", help="Those of this topic, or feed."),
            click.option("--agent", help="Those that this agent failed at; `feed` for what is no post."),
            click.option("--reason", help="Those whose reason holds this text."),
            click.option("--older-than", "older_than_ms", type=Span(), metavar="7d", help="Those set aside before."),
            click.option("--all", "everything", is_flag=True, help="All of them."),
        )
    ):
        command = option(command)
    return command
