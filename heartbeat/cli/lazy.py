"""A group of commands whose modules are imported only when they run: `--help` and shells' completion stay quick."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem


class Place(NamedTuple):
    """Where a command is: `module:attribute`, and what the group's help says of it."""

    where: str
    help: str


class HelpfulGroup(click.Group):
    """A group that says which of its commands an unknown one may have been meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises click's usage error, with close names."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx))
            if close:
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(close)}?", ctx) from error
            raise


class LazyGroup(HelpfulGroup):
    """A group that knows its commands' places."""

    def __init__(self, *args: Any, places: Mapping[str, Place], **more: Any) -> None:
        super().__init__(*args, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order given."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin so, without importing any command; then the group's own options."""
        found = [
            CompletionItem(name, help=each.help) for name, each in self._places.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in self._places.items()])
