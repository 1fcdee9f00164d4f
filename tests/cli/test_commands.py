"""All commands together: the table in docs/commands.md, `--help`, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from heartbeat.cli import cli
from tests.cli.commands import environment, run
from tests.cli.inside import inside

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = "| command | options | does |\n|---|---|---|\n"


def commands(
    command: click.Command = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    if isinstance(command, click.Group):
        if command.invoke_without_command and words:
            yield words, command
        context = click.Context(command, info_name="heartbeat")
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*words, name))
    else:
        yield words, command


def row(words: tuple[str, ...], command: click.Command) -> str:
    """A line of the table."""
    context = click.Context(command)
    arguments = [param.make_metavar(context) for param in command.params if isinstance(param, click.Argument)]
    options = [
        f"`{max(param.opts, key=len)}`"
        for param in command.params
        if isinstance(param, click.Option) and param.name != "data_dir"
    ]
    usage = " ".join(("heartbeat", *words, *arguments)).replace("|", "\\|")
    return f"| `{usage}` | {' '.join(options)} | {command.get_short_help_str(limit=120)} |\n"


def test_the_table_in_the_documentation_is_that_of_the_commands() -> None:
    table = HEAD + "".join(row(*each) for each in commands())
    assert table in DOCS.read_text(), f"docs/commands.md should hold:\n\n{table}"


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    command = dict(commands())[words]
    done = inside(*words, "--help")
    assert done.code == 0 and done.out.startswith(f"Usage: heartbeat {' '.join(words)} ")
    assert command.help and "Options:" in done.out
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{' '.join(words)} {param.opts}: says nothing of itself"
    lists = {"list", "show", "topics", "feeds", "check", "doctor"}
    if set(words[-1:]) & lists:
        assert "--json" in done.out


def test_the_first_page_names_every_command() -> None:
    done = inside("--help")
    assert done.code == 0
    for name in cli.list_commands(click.Context(cli)):
        assert f"  {name} " in done.out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("topcs",), "topics"),
        (("topics", "shw", "ingest"), "show"),
        (("deadletter", "list"), "deadletters"),
        (("deadletters", "purg", "--all"), "purge"),
        (("models", "comapre"), "compare"),
    ],
)
def test_a_mistyped_command_is_told_what_it_may_have_been(words: tuple[str, ...], meant: str) -> None:
    done = inside(*words)
    assert done.code == 2 and f"Did you mean {meant}?" in done.err


def test_what_resembles_no_command_is_not_guessed_at() -> None:
    done = inside("xyzzy")
    assert done.code == 2 and "No such command 'xyzzy'." in done.err and "Did you mean" not in done.err


def test_wrong_usage_is_exit_code_2() -> None:
    for words in (["nonsense"], ["topics", "nonsense"], ["feeds", "--nonsense"], ["backup"], ["completion", "tcsh"]):
        done = inside(*words)
        assert done.code == 2 and "Usage: heartbeat" in done.err, words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = inside("completion", shell)
    assert done.code == 0 and f"_HEARTBEAT_COMPLETE={shell}_complete" in done.out and "heartbeat" in done.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["heartbeat", "dead"], {"deadletters"}),
        (["heartbeat", "deadletters", ""], {"list", "show", "replay", "purge"}),
        (["heartbeat", "topics", "show", "s"], {"sentiment"}),
        (["heartbeat", "topics", "show", "--f"], {"--follow", "--from-offset"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], offered: set[str]) -> None:
    """With the script as it is, in a real bash."""
    (tmp_path / "script").write_text(inside("completion", "bash").out)
    (tmp_path / "heartbeat").write_text('#!/bin/sh\nexec "$PYTHON" -m heartbeat "$@"\n')
    (tmp_path / "heartbeat").chmod(0o755)
    quoted = " ".join(f"'{word}'" for word in words)
    asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _heartbeat_completion heartbeat"
    done = subprocess.run(
        ["bash", "-c", f'source {tmp_path}/script; {asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize(("shell", "words", "at"), [("zsh", "heartbeat con", "1"), ("fish", "heartbeat con", "con")])
def test_others_complete(shell: str, words: str, at: str) -> None:
    """What their scripts ask."""
    done = run(_HEARTBEAT_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=at)
    assert "config" in done.out and "worker" not in done.out
