"""Corrections as JSON lines: what goes out comes in again, and what is wrong is named by line and field."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.cli.corrections import COLUMNS
from heartbeat.corrections import lines
from heartbeat.corrections.rows import LABELS, Correction, SeenPost
from heartbeat.sinks.table_writers import write_jsonl
from tests.corrections.material import T0, opened

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = TEXTS.filter(bool)
TIMES = st.integers(0, T0)
SHARES = st.none() | st.floats(0, 1)
POSTS = st.builds(
    SeenPost, NAMES, NAMES, st.integers(0, 2**40), TEXTS, TEXTS, TIMES, st.none() | st.sampled_from(LABELS),
    st.sampled_from(["en", "war", "und"]), st.floats(0, 1), SHARES, SHARES, SHARES, st.none() | TEXTS,
)  # fmt: skip
SAID = st.builds(
    Correction, st.just(0), TIMES, st.none() | st.sampled_from(LABELS), st.sampled_from(["en", "sw", "und"]), POSTS
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SAID, max_size=5))
def test_what_goes_out_comes_in_again(tmp_path_factory: pytest.TempPathFactory, said: list[Correction]) -> None:
    path = tmp_path_factory.mktemp("lines") / "file.jsonl"
    with path.open("wb") as out:
        write_jsonl(out, COLUMNS, lines.rows(said))
    assert list(lines.read_lines(path, now_ms=T0)) == said


LINE: dict[str, Any] = {"source": "x", "id": "1", "content": "text", "label": "mixed", "corrected": "2025-11-01T00:00Z"}


def written(folder: Path, *items: Any) -> Path:
    path = folder / "file.jsonl"
    texts = (item if isinstance(item, str) else json.dumps(item) for item in items)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"label": "great"}, "label: Input should be 'positive', 'neutral', 'negative' or 'mixed'"),
        ({"lang": "English"}, "lang: String should match"),
        ({"label": None}, ":2: neither `label` nor `lang` is there"),
        ({"label": ""}, ":2: neither `label` nor `lang` is there"),
        ({"content": None}, "content: Input should be a valid string"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"source": 7}, "source: Input should be a valid string"),
        ({"corrected": "yesterday"}, "corrected: is no time"),
        ({"corrected": "2025-11-01T00:00"}, "corrected: does not say its offset"),
        ({"corrected": "2099-11-01T00:00Z"}, "corrected: is in the future"),
        ({"was_lang_confidence": 1.5}, "was_lang_confidence: Input should be less than or equal to 1"),
        ({"rev": 2**63}, "rev: Input should be less than"),
        ({"time": True}, "time: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    path = written(tmp_path, LINE, {**LINE, **wrong})
    with pytest.raises(lines.BadLine) as caught:
        list(lines.read_lines(path, now_ms=T0 + 10**9))
    assert str(caught.value).startswith(f"{path}:2: ") and said in str(caught.value)


@pytest.mark.parametrize(
    "rubbish", ["{", "[1]", "7", '"text"', "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_what_is_no_object_is_named(tmp_path: Path, rubbish: str) -> None:
    with pytest.raises(lines.BadLine, match="file.jsonl:1: (is no JSON|has to be an object)"):
        list(lines.read_lines(written(tmp_path, rubbish), now_ms=T0))


def test_no_text_of_a_post_stands_in_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, {**LINE, "content": ["SECRET"], "author": "SECRET"}, {**LINE, "id": {"SECRET": 1}})
    with pytest.raises(lines.BadLine) as caught:
        list(lines.read_lines(path, now_ms=T0))
    assert "SECRET" not in str(caught.value)


def test_a_little_is_enough_and_an_author_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl.gz"
    with gzip.open(path, "wt") as out:
        out.write('\ufeff{"source": "x", "id": "1", "content": "text", "lang": "sw", "author": "SECRET"}\n\n')
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (read,) = lines.read_lines(path, now_ms=T0)
    assert (read.corrected_ms, read.label, read.lang) == (1_700_000_000_000, None, "sw")
    with opened(tmp_path) as store:
        assert [store.bring_in([read]), store.bring_in([read])] == [1, 0]
        assert "SECRET" not in repr(store.page())
