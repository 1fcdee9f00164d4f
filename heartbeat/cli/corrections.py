"""`heartbeat corrections …`: what people say of posts' labels and languages, while a worker runs and when none does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import orjson

from heartbeat.cli.common import Failure, counted, printable, require_data_dir, with_settings, writing_out
from heartbeat.cli.lazy import HelpfulGroup
from heartbeat.cli.printing import print_table
from heartbeat.cli.table_output import write_table
from heartbeat.cli.times import Instant
from heartbeat.clock import SystemClock
from heartbeat.corrections import file, lines
from heartbeat.corrections.rows import Correction
from heartbeat.corrections.store import Corrections
from heartbeat.settings import Settings
from heartbeat.sinks.table_writers import Column, Format, Kind, rfc3339

BATCH: Final = 500
"""Lines of one transaction of an import: a worker that runs has its turn in between."""
_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("was_lang_confidence", "was_pos", "was_neu", "was_neg"), "number"),
    **dict.fromkeys(("corrected", "time"), "time"),
    "rev": "integer",
}
COLUMNS: Final = tuple(Column(name, _KINDS.get(name, "text")) for name in lines.COLUMNS)


@click.group(cls=HelpfulGroup, short_help="Show, export, import and delete what people say of posts.")
def corrections() -> None:
    """Show, export, import and delete corrections: what people say of posts' labels and languages on the page.

    Works while a worker runs and when none does. See docs/corrections.md; `heartbeat models verify --on corrections`
    says how right the models are by them.
    """


@corrections.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@click.option("--every", is_flag=True, help="Every correction, not only the one that stands of each post.")
@click.option("--since", "since_ms", type=Instant(), help="Made at this time or later: RFC 3339, a date, or ms.")
@click.option("--show", is_flag=True, help="With the posts' texts.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table, texts included.")
@with_settings
def list_(settings: Settings, *, limit: int, every: bool, since_ms: int | None, show: bool, as_json: bool) -> None:
    """List the newest corrections, oldest first: when, which post, what it was called and what is right."""
    with _reading(settings) as kept:
        found = deque(kept.all(every=every, since_ms=since_ms), maxlen=limit)
    with writing_out():
        if as_json:
            for each in found:
                click.echo(orjson.dumps(_object(each)).decode())
        elif found:
            print_table(("CORRECTED", "SOURCE", "ID", "MODEL", "LABEL", "LANG", *(["TEXT"] if show else [])),
                        [_cells(each, show) for each in found])  # fmt: skip
    if not found and not as_json:
        click.echo("nothing has been corrected", err=True)


@corrections.command("export")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="How to write it.",
)
@click.option(
    "--to", "output", type=click.Path(dir_okay=False, path_type=Path), help="The file  [default: standard output]."
)
@click.option("--every", is_flag=True, help="Every correction, not only the one that stands of each post.")
@click.option("--since", "since_ms", type=Instant(), help="Made at this time or later: RFC 3339, a date, or ms.")
@with_settings
def export(settings: Settings, *, format_: Format, output: Path | None, every: bool, since_ms: int | None) -> None:
    """Write corrections with the texts of their posts, in the order in which they were made."""
    with _reading(settings) as kept:
        write_table(format_, output, COLUMNS, lines.rows(kept.all(every=every, since_ms=since_ms)), False)


@corrections.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_settings
def import_(settings: Settings, *, path: Path) -> None:
    """Read corrections from a file: JSON lines as `export` writes them, also .gz.

    Needed are source, id, content, and label or lang; without `corrected`, a line was corrected when the file was
    written. Nothing is kept of a file with a line that is wrong; what is known already is passed over.
    """
    now_ms = SystemClock().now_ms()
    try:
        total = sum(1 for _ in lines.read_lines(path, now_ms=now_ms))
        with _writing(settings) as kept:
            brought, all_lines = 0, lines.read_lines(path, now_ms=now_ms)
            while some := list(islice(all_lines, BATCH)):
                brought += kept.bring_in(some)
    except (OSError, EOFError) as error:
        raise Failure(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    known = f"; {counted(total - brought, 'was', 'were')} known, or older than what is" if brought < total else ""
    click.echo(f"{counted(brought, 'correction', 'corrections')} imported{known}")


@corrections.command("delete")
@click.option("--source", required=True, help="The post's source.")
@click.option("--id", "post_id", required=True, help="The post's id.")
@with_settings
def delete(settings: Settings, *, source: str, post_id: str) -> None:
    """Delete every correction of a post, and the text that was kept for it."""
    with _writing(settings) as kept:
        removed, _ = kept.take_back(source, post_id)
    if not removed:
        raise Failure(f"no post {post_id!r} of {source!r} is corrected; `heartbeat corrections list` says which are")
    click.echo(f"{counted(removed, 'correction', 'corrections')} deleted")


@contextmanager
def _reading(settings: Settings) -> Iterator[Corrections]:
    require_data_dir(settings)
    with Corrections(settings.data_dir / file.NAME) as kept:
        yield kept


@contextmanager
def _writing(settings: Settings) -> Iterator[Corrections]:
    require_data_dir(settings)
    with Corrections(settings.data_dir / file.NAME, writing=True) as kept:
        yield kept


def _object(each: Correction) -> dict[str, Any]:
    cells = dict(zip(lines.COLUMNS, lines.row(each), strict=True))
    return {**cells, "corrected": rfc3339(cells["corrected"]), "time": rfc3339(cells["time"])}


def _cells(each: Correction, show: bool) -> tuple[str, ...]:
    post = each.post
    text = [printable(" ".join(post.content.split()))] if show else []
    return (
        rfc3339(each.corrected_ms),
        printable(post.source),
        printable(post.id),
        post.model or "–",
        _change(post.label, each.label),
        _change(post.lang, each.lang),
        *text,
    )


def _change(was: str | None, right: str | None) -> str:
    """What was said, and what is right: `neutral → mixed`, `neutral ✓`, or `neutral` where nobody said anything."""
    if right is None:
        return was or "–"
    return f"{right} ✓" if was == right else f"{was or 'unscored'} → {right}"
