"""What can go wrong with an export and is not the program's fault."""

from __future__ import annotations

from heartbeat.errors import ModelError


class ExportFailed(ModelError):
    """A model cannot be exported: it cannot be had, is unfit, or lost too much on the way; nothing was written."""


def first_line(error: BaseException) -> str:
    """The first line of what a library says went wrong; the name of its type where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(" .:") if text else type(error).__name__
