"""Files to replay, and what has to come out: worked out from the file alone."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heartbeat.models import load_models
from heartbeat.records import Figures, Post
from heartbeat.settings import load
from heartbeat.testing.oracle import Judged, counted, windows
from tests.cli.inside import inside

TASK: Final = "proof"
FAST: Final = "sentiment-fast"
BEGIN_MS: Final = 1_763_794_800_000
SPAN_MS: Final = 2 * 3600 * 1000
QUARTER_MS: Final = 900_000
GRACE_MS: Final = 5_000
DEMO: Final = Path(__file__).parents[2] / "heartbeat" / "feeds" / "demo.jsonl"
HINT_BELOW: Final = 0.6

Row = tuple[Any, ...]


def write_posts(path: Path, count: int, seed: int, too_late: float = 0.0) -> list[dict[str, Any]]:
    """A file of about so many deliveries: duplicates, edits, deletions before and after their posts, late ones.

    A share `too_late` of the posts comes up to an hour and a half late: much of that is later than windows wait for.
    """
    dice = random.Random(seed)
    texts = [json.loads(line) for line in DEMO.read_text().splitlines()]
    due: list[tuple[float, dict[str, Any]]] = []
    for number in range(count):
        said = dice.choice(texts)
        at = BEGIN_MS + number * SPAN_MS // count
        post = {
            "id": f"p{number}",
            "source": said["source"],
            "content": f"{said['content']} {number % 97}",
            "time": at + dice.randrange(-800, 800),
        }
        if dice.random() < 0.3:
            post["lang"] = said["lang"]
        arrives = at + (dice.uniform(60_000, 240_000) if dice.random() < 0.005 else dice.uniform(0, 1000))
        if dice.random() < too_late:
            arrives += dice.uniform(0, 5_400_000)
        due.append((arrives, post))
        fate = dice.random()
        if fate < 0.02:
            due.append((arrives + dice.uniform(-2000, 60_000), dict(post)))
        elif fate < 0.05:
            edited = {**post, "content": dice.choice(texts)["content"], "rev": 1}
            due.append((arrives + dice.uniform(-2000, 120_000), edited))
        elif fate < 0.07:
            gone = {"id": post["id"], "source": post["source"], "op": "delete", "time": post["time"]}
            due.append((arrives + dice.uniform(-5000, 120_000), gone))
    deliveries = [item for _, item in sorted(due, key=lambda pair: pair[0])]
    path.write_text("".join(json.dumps(item) + "\n" for item in deliveries))
    return deliveries


def late_ones(deliveries: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """Posts that come more than 15 min after the end of their quarter of an hour, as the times in the file go.

    (source, id) of those whose newest revision did, when it came first.
    """
    newest_ms = -(2**62)
    standing: dict[tuple[str, str], tuple[int, bool]] = {}
    for item in deliveries:
        if item.get("op") == "delete":
            continue
        key, rev = (item["source"], item["id"]), item.get("rev", 0)
        if key not in standing or rev > standing[key][0]:
            end_ms = item["time"] // QUARTER_MS * QUARTER_MS + QUARTER_MS
            standing[key] = rev, newest_ms - GRACE_MS >= end_ms + QUARTER_MS
        newest_ms = max(newest_ms, item["time"])
    return {key for key, (_, late) in standing.items() if late}


def expected(
    deliveries: Sequence[dict[str, Any]], sizes_s: tuple[int, ...] = (10, 60, 900), model: str = FAST
) -> dict[Row, Row]:
    """What `export windows` has to say: (size, start, by, key) to counts and sums in 10⁻⁶."""
    return rows_of([_post(item) for item in deliveries], late_ones(deliveries), sizes_s, model)


def rows_of(
    posts: Sequence[Post],
    late: Container[tuple[str, str]] = (),
    sizes_s: tuple[int, ...] = (10, 60, 900),
    model: str = FAST,
) -> dict[Row, Row]:
    """The same for any deliveries; `late` are those that came too late for their windows, as (source, id)."""
    judged = asyncio.run(_judged({post.content: post.lang_hint for post in posts}, posts, model))
    stand = counted(posts, lambda _, post: judged[post.content, post.lang_hint])
    held = windows([post for post in stand if (post.source, post.id) not in late], (*sizes_s, 3_600, 86_400))
    rows: dict[Row, Row] = {}
    for window, what in held.items():
        parts = {("all", "all"): what.overall}
        parts |= {("lang", key): figures for key, figures in what.by_lang.items()}
        parts |= {("source", key): figures for key, figures in what.by_source.items()}
        for (by, key), figures in parts.items():
            rows[window.size_s, window.start_ms, by, key] = tuple(figures)
    return rows


def measured(rows: dict[Row, Row]) -> dict[Row, Row]:
    """Those of windows that were counted: hours and days are added up by the history alone."""
    return {key: row for key, row in rows.items() if key[0] not in (3_600, 86_400)}


def exported(data_dir: Path) -> dict[Row, Row]:
    """What the command says, in the same shape. Every window has to be final, but for hours and days that go on."""
    rows: dict[Row, Row] = {}
    for by in ("all", "lang", "source"):
        for line in _export(data_dir, "windows", "--by", by, "--format", "jsonl").splitlines():
            row = json.loads(line)
            if not row["final"] and row["window_seconds"] in (3_600, 86_400):
                continue
            assert row["final"], row
            start_ms = _milliseconds(row["window_start"])
            sums = [round((row[f"{name}_mean"] or 0) * row["scored"] * 1e6) for name in ("pos", "neu", "neg")]
            counts = [row[name] for name in ("scored", "unscored", "positive", "neutral", "negative", "mixed")]
            rows[row["window_seconds"], start_ms, by, row["key"]] = tuple(Figures(*counts, *sums))
    return rows


def exported_posts(data_dir: Path) -> list[dict[str, str]]:
    """The posts that are kept."""
    return list(csv.DictReader(_export(data_dir, "posts").splitlines()))


def difference(got: dict[Row, Row], want: dict[Row, Row]) -> str:
    """The first rows that differ; empty if none do."""
    wrong = [key for key in sorted(got.keys() | want.keys()) if got.get(key) != want.get(key)]
    return "\n".join(f"{key}: is {got.get(key)}, should be {want.get(key)}" for key in wrong[:10])


@dataclass(frozen=True)
class Material:
    """A file and what has to come out of it."""

    path: Path
    deliveries: list[dict[str, Any]]
    want: dict[Row, Row]

    @classmethod
    def make(cls, folder: Path, count: int, seed: int, *, too_late: float = 0.0, model: str = FAST) -> Material:
        path = folder / f"posts-{seed}.jsonl"
        deliveries = write_posts(path, count, seed, too_late)
        return cls(path, deliveries, expected(deliveries, model=model))

    def check(self, data_dir: Path) -> None:
        """Compare windows with the oracle, and posts with what stands."""
        assert not (wrong := difference(exported(data_dir), self.want)), wrong
        total = sum(row[0] + row[1] for key, row in self.want.items() if key[0] == 900 and key[2] == "all")
        kept = exported_posts(data_dir)
        assert len(kept) == len({(post["source"], post["id"]) for post in kept})
        assert sum(post["late"] == "false" for post in kept) == total
        late = late_ones(self.deliveries)
        assert all((post["late"] == "true") is ((post["source"], post["id"]) in late) for post in kept)


def _export(data_dir: Path, table: str, *words: str) -> str:
    done = inside("export", table, "--task", TASK, *words, "--data-dir", str(data_dir))
    assert done.code == 0, done.err
    return done.out


def _post(item: dict[str, Any]) -> Post:
    return Post(
        item["id"], item["source"], "replay:file", [TASK], item.get("op", "upsert"), item.get("rev", 0),
        item.get("content", ""), item["time"], 0, lang_hint=item.get("lang"),
    )  # fmt: skip


async def _judged(
    texts: dict[str, str | None], posts: Sequence[Post], model: str
) -> dict[tuple[str, str | None], Judged]:
    """Each text asked alone, so that nothing can depend on its neighbours."""
    identifier, scorer = load_models(load().model_copy(update={"sentiment_model": model}))
    out: dict[tuple[str, str | None], Judged] = {}
    guesses = {text: (await identifier.identify([text]))[0] for text in texts}
    for post in posts:
        key = post.content, post.lang_hint
        if key in out:
            continue
        guess = guesses[post.content]
        lang = post.lang_hint if guess.confidence < HINT_BELOW and post.lang_hint else guess.lang
        (said,) = await scorer.score(scorer.model_for(TASK, lang), [post.content], [lang])
        if said.label is None:
            out[key] = Judged(lang)
        else:
            assert said.pos is not None and said.neu is not None and said.neg is not None
            out[key] = Judged(lang, said.label, said.pos, said.neu, said.neg)
    await identifier.close()
    await scorer.close()
    return out


def _milliseconds(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)
