"""The file of corrections against a plain model of it, whatever is done in whatever order."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartbeat.corrections.rows import Correction, Gone, SeenPost
from heartbeat.corrections.store import ANY, Corrections
from heartbeat.errors import CorrectedMeanwhile, CorrectionsUnusable, PostNotThere
from tests.corrections.material import T0, correction, in_all_files, opened, seen

IDS = st.sampled_from(["1", "1", "2", "é"])
LABELS = st.sampled_from(["positive", "neutral", "mixed", None])
LANGS = st.sampled_from(["en", "und"])
REVS = st.sampled_from([0, 0, 0, 1, 2, 3])


class Kept(NamedTuple):
    """What the model remembers of a post: the revision and text that it is of, and what was said."""

    rev: int
    content: str
    made: list[Correction]

    @property
    def stands(self) -> Correction:
        return max(self.made, key=lambda each: (each.corrected_ms, each.number))


class AgainstModel(RuleBasedStateMachine):
    """Two connections write, as a worker and a command do; what a third reads has to be what the model says."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.stores = [opened(self.folder), opened(self.folder)]
        self.now_ms = T0
        self.model: dict[str, Kept] = {}

    def teardown(self) -> None:
        for store in getattr(self, "stores", ()):
            store.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(
        which=st.integers(0, 1),
        post_id=IDS,
        rev=REVS,
        label=LABELS,
        lang=LANGS,
        seen_number=st.sampled_from([ANY, 0, 1, 2, 3]),
    )
    def correct(self, which: int, post_id: str, rev: int, label: str | None, lang: str, seen_number: int) -> None:
        post = seen(post_id, f"text {rev} of {post_id}", rev=rev)
        before = self.model.get(post_id)
        same = before is not None and before.content == post.content
        stands = before.stands if same and before else None
        try:
            made = self.stores[which].correct(lambda: post, label, lang, over=seen_number, now_ms=self.now_ms)
        except CorrectedMeanwhile:
            assert seen_number not in (ANY, stands.number if stands else 0)
            return
        assert seen_number in (ANY, stands.number if stands else 0)
        assert (made.label, made.lang, made.post) == (label, lang, post)
        self._add(made)
        assert self.model[post_id].stands == made

    @rule(which=st.integers(0, 1), post_id=IDS, rev=REVS, label=LABELS, back_ms=st.integers(-5, 500))
    def bring_in(self, which: int, post_id: str, rev: int, label: str | None, back_ms: int) -> None:
        post = seen(post_id, f"text {rev} of {post_id}", rev=rev)
        each = correction(post, label, "en", self.now_ms - back_ms)
        before = self.model.get(post_id)
        if before is None:
            wanted = 1
        elif before.content == post.content:
            said = [(made.corrected_ms, made.label, made.lang) for made in before.made]
            wanted = int((each.corrected_ms, label, "en") not in said)
        else:
            wanted = int(before.stands.corrected_ms < each.corrected_ms)
        assert self.stores[which].bring_in([each]) == wanted
        if wanted:
            with Corrections(self.folder / "corrections.db") as reader:
                self._add(list(reader.all(every=True))[-1])

    def _add(self, made: Correction) -> None:
        before = self.model.get(made.post.id)
        if before is None or before.content != made.post.content:
            self.model[made.post.id] = Kept(made.post.rev, made.post.content, [made])
        else:
            before.made.append(made)
        self.now_ms = max(self.now_ms, made.corrected_ms)

    @rule(which=st.integers(0, 1), post_id=IDS)
    def take_back(self, which: int, post_id: str) -> None:
        kept = self.model.pop(post_id, None)
        assert self.stores[which].take_back("x", post_id) == (len(kept.made) if kept else 0, None)

    @rule(which=st.integers(0, 1), post_id=IDS, at=st.integers(0, 3))
    def take_one_back(self, which: int, post_id: str, at: int) -> None:
        kept = self.model.get(post_id)
        number = kept.made[at].number if kept and at < len(kept.made) else 999_999
        removed, stands = self.stores[which].take_back("x", post_id, number)
        assert removed == (number != 999_999)
        if kept and removed:
            kept.made[:] = [made for made in kept.made if made.number != number]
            if not kept.made:
                del self.model[post_id]
        left = self.model.get(post_id)
        assert stands == (left.stands if left else None)

    @rule(which=st.integers(0, 1), post_id=IDS, rev=st.none() | REVS)
    def retract(self, which: int, post_id: str, rev: int | None) -> None:
        kept = self.model.get(post_id)
        due = kept is not None and (rev is None or rev >= kept.rev)
        others = [Gone("y", post_id, None), Gone("x", "nobody", 9)]
        assert self.stores[which].retract([*others, Gone("x", post_id, rev)]) == int(due)
        if due:
            del self.model[post_id]

    @rule(seconds=st.integers(-30, 300))
    def time_goes_by(self, seconds: int) -> None:
        self.now_ms += seconds

    @rule(which=st.integers(0, 1), age=st.integers(0, 400))
    def sweep(self, which: int, age: int) -> None:
        before_ms = self.now_ms - age
        old = [made for kept in self.model.values() for made in kept.made if made.corrected_ms < before_ms]
        assert self.stores[which].sweep(before_ms) == len(old)
        for post_id, kept in list(self.model.items()):
            kept.made[:] = [made for made in kept.made if made.corrected_ms >= before_ms]
            if not kept.made:
                del self.model[post_id]

    @rule(which=st.integers(0, 1))
    def begin_again(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = opened(self.folder)

    @invariant()
    @precondition(lambda self: hasattr(self, "model"))
    def what_is_read_is_what_the_model_says(self) -> None:
        every = sorted(made.number for kept in self.model.values() for made in kept.made)
        stands = {("x", post_id): kept.stands for post_id, kept in self.model.items()}
        with Corrections(self.folder / "corrections.db") as reader:
            assert [each.number for each in reader.all(every=True)] == every
            assert sorted(reader.all()) == sorted(stands.values())
        keys = [("x", "1"), ("x", "2"), ("x", "é"), ("x", "nobody"), ("y", "1")]
        for store in self.stores:
            assert store.standing(keys) == stands
        texts = in_all_files(self.folder)
        for post_id in ("1", "2", "é"):
            for rev in range(4):
                text = f"text {rev} of {post_id}"
                kept = self.model.get(post_id)
                if kept is None or kept.content != text:
                    assert text.encode() not in texts


AgainstModel.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestAgainstModel = AgainstModel.TestCase


def test_nobody_is_corrected_that_is_not_found(tmp_path: Path) -> None:
    def find() -> SeenPost:
        raise PostNotThere

    with opened(tmp_path) as store:
        with pytest.raises(PostNotThere, match="there is no such post"):
            store.correct(find, "mixed", None, now_ms=T0)
        assert store.page() == []


def test_a_post_is_looked_up_while_nobody_can_retract_it(tmp_path: Path) -> None:
    """The order that keeps a deleted post's text away: out of where it is found first, then `retract`."""
    there, began = {"1"}, threading.Event()
    store = opened(tmp_path)

    def find() -> SeenPost:
        assert "1" in there
        began.set()
        threading.Event().wait(0.1)  # the other has all the time to come in between
        return seen()

    def take_away() -> None:
        began.wait()
        there.remove("1")
        store.retract([Gone("x", "1", 0)])

    other = threading.Thread(target=take_away)
    other.start()
    store.correct(find, "mixed", None, now_ms=T0)
    other.join()
    assert store.page() == []
    store.close()


def test_texts_leave_no_fragment(tmp_path: Path) -> None:
    """Rows in the tree are moved from page to page when others go; without room before them, some of these are left."""
    chance, left, number = random.Random(1), list[str](), 0
    with opened(tmp_path) as store:
        for _ in range(12):
            new = [f"{number + at:06}" for at in range(1_000)]
            number += len(new)
            store.bring_in(
                [correction(seen(name, f"SECRET{name}" + "x" * chance.choice((10, 40, 200, 600)))) for name in new]
            )
            left = _thinned_out(store, left + new, 600, chance)
        while len(left) > 300:
            left = _thinned_out(store, left, 300, chance)
        assert sorted(each.post.id for each in store.all()) == sorted(left)
    there = {match.decode() for match in re.findall(rb"SECRET(\d{6})", in_all_files(tmp_path))}
    assert there == set(left)


def _thinned_out(store: Corrections, names: list[str], count: int, chance: random.Random) -> list[str]:
    gone = set(chance.sample(names, count))
    assert store.retract([Gone("x", name, None) for name in gone]) == count
    return [name for name in names if name not in gone]


def test_a_clock_that_is_put_back_does_not_bring_an_older_correction_back(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.correct(seen, "mixed", "en", now_ms=T0)
        made = store.correct(seen, "positive", "en", now_ms=T0 - 3_600_000)
        assert made.corrected_ms == T0 and store.page() == [made]


def test_a_text_is_kept_to_the_letter(tmp_path: Path) -> None:
    for text in ("", "\0", "a\0b", "👀 שלום", "x" * 100_000):
        with opened(tmp_path) as store:
            store.correct(lambda text=text: seen("1", text), "mixed", "en", now_ms=T0)  # type: ignore[misc]
            assert [each.post.content for each in store.page()] == [text]


def test_what_is_closed_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    store.close()
    with pytest.raises(CorrectionsUnusable, match="are closed"):
        store.take_back("x", "1")
