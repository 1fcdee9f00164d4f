"""`heartbeat completion`: a script for a shell, by click's own means. The script asks `heartbeat` at every Tab."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_HEARTBEAT_COMPLETE"


_WHERE = """\b
bash  heartbeat completion bash > ~/.local/share/bash-completion/completions/heartbeat
zsh   heartbeat completion zsh > ~/.zfunc/_heartbeat  (with fpath+=~/.zfunc before compinit in ~/.zshrc)
fish  heartbeat completion fish > ~/.config/fish/completions/heartbeat.fish"""


@click.command(short_help="Have the shell complete commands and options.", epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that has SHELL complete commands, options and names (below: where it goes)."""
    from heartbeat.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "heartbeat", VARIABLE)
    # `source()` would run bash to see how old it is; the script is the same whatever comes of that
    click.echo(script.source_template % script.source_vars())
