"""Other models take over while requests come and go: none is lost, none is answered by a model it did not ask."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from heartbeat import settings as _settings
from heartbeat.errors import ModelMissing, Retry
from heartbeat.feeds import demo
from heartbeat.health import HealthBoard, State
from heartbeat.models.catalogue import Catalogue, Entry
from heartbeat.models.configured import KEEP_S, ConfiguredModels
from heartbeat.models.ngram import NgramModel
from heartbeat.models.swap import PART, ModelSwap
from heartbeat.models.trial import LEAST_CORRELATED, Sample
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from tests.models.tiny_models import SENTIMENT_WEIGHTS, graph_bytes, write_encoder, write_model

SIGNS = {"negative": "-", "neutral": "=", "positive": "+"}
SAMPLES = [
    Sample(lang[0] * 2 + sign * (number % 5 + 3), lang)
    for number in range(20)
    for lang in ("de", "en")
    for sign in SIGNS.values()
]
SHIPPED = Path(__file__).parents[2] / "onnx_models"
LANGUAGES = {"de": "d", "en": "e"}


class World:
    """A folder of models, a settings' file, and what follows it."""

    def __init__(self, folder: Path, *, keep_s: float = KEEP_S, **settings: Any) -> None:
        self.models_dir, self.config_dir = folder / "models", folder / "config"
        self.config_dir.mkdir(parents=True)
        write_model(self.models_dir, name="language", kind="language")
        write_model(self.models_dir, name="sentiment-fast")
        self.write(**settings)
        self.board = HealthBoard(FakeClock())
        self.models = ConfiguredModels(_settings.load(self.config_dir), keep_s=keep_s)
        self.models.load()
        self.followed: list[Settings] = []
        self.swap = ModelSwap(self.models, self.board, samples=SAMPLES, took_over=self.followed.append)

    def write(self, **settings: Any) -> None:
        usual = {"models_dir": str(self.models_dir), "sentiment_model": "sentiment-fast"}
        text = yaml.safe_dump({**usual, **settings})
        part = self.config_dir / "part"
        part.write_text(text)
        part.replace(self.config_dir / "heartbeat.yaml")

    async def follow(self, **settings: Any) -> Any:
        self.write(**settings)
        return await self.swap.follow()

    async def let_go(self, models: int) -> None:
        """Wait until so many models are left."""
        async with asyncio.timeout(60):
            while len(self.models.loaded) != models:
                await asyncio.sleep(0.005)


Make = Callable[..., World]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[World] = []

    def world(**how: Any) -> World:
        made.append(World(tmp_path / str(len(made)), **how))
        return made[-1]

    yield world
    for each in made:
        await each.models.close()


def sure(models_dir: Path, name: str, **card: Any) -> None:
    """A model that says what `sentiment-fast` says, twice as surely: its figures tell them apart."""
    twice = {sign: [2 * weight for weight in row] for sign, row in SENTIMENT_WEIGHTS.items()}
    write_model(models_dir, name=name, graph=graph_bytes(twice, (0, 0, 0)), **card)


# -- nothing is lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_fifty_swaps_under_load(make: Make, seed: int) -> None:
    """What agents do, many at a time: ask for a reference, then for scores, in the next round of the event loop."""
    world, dice = make(), random.Random(seed)
    sure(world.models_dir, "sure")
    sure(world.models_dir, "surest", languages=["en"])
    write_model(world.models_dir, name="language", version="2", kind="language")
    choices: list[dict[str, Any]] = [
        {},
        {"sentiment_model": "sure"},
        {"sentiment_by_lang": {"en": "surest"}, "language_model": "language/1"},
        {"sentiment_by_task": {"t": "sure"}, "mixed_from": 0.4},
        {"sentiment_model": "sure", "sentiment_fast_model": "surest"},
    ]
    alone = {
        f"{name}/1": float(np.exp(weight * 4) / (np.exp(weight * 4) + 2))
        for name, weight in (("sentiment-fast", 1), ("sure", 2), ("surest", 2))
    }
    done, counts, answered = asyncio.Event(), dict.fromkeys(alone, 0), 0

    async def agent() -> None:
        nonlocal answered
        while not done.is_set():
            lang, task = dice.choice(("de", "en")), dice.choice(("t", "u"))
            labels = dice.choices(tuple(SIGNS), k=dice.randrange(1, 40))
            texts = [LANGUAGES[lang] * 2 + SIGNS[label] * 4 for label in labels]
            guesses = await world.models.identify(texts)
            assert [guess.lang for guess in guesses] == [lang] * len(texts)
            chosen = [dice.choice((world.models.model_for, world.models.fast_model_for))(task, lang) for _ in range(2)]
            found = await asyncio.gather(*(world.models.score(model, texts, [lang] * len(texts)) for model in chosen))
            for model, scores in zip(chosen, found, strict=True):
                assert model is not None
                assert [score.label for score in scores] == labels
                for label, score in zip(labels, scores, strict=True):
                    figures = {"negative": score.neg, "neutral": score.neu, "positive": score.pos}
                    assert score.model == model and figures[label] == pytest.approx(alone[model], abs=1e-5)
                counts[model] += len(scores)
            answered += 1

    agents = [asyncio.ensure_future(agent()) for _ in range(8)]
    before: dict[str, Any] = {}
    for _ in range(50):
        choice = dice.choice([each for each in choices if each != before])
        outcome = await world.follow(**choice)
        assert not outcome.refused and outcome.changed, outcome
        before, at = choice, answered
        while answered < at + 2 and not any(each.done() for each in agents):
            await asyncio.sleep(0)
    done.set()
    await asyncio.gather(*agents)
    assert all(counts.values()), counts
    assert world.board.get(PART) is None and len(world.followed) == 50


async def test_a_reference_that_was_given_before_is_answered_after(make: Make) -> None:
    world = make()
    sure(world.models_dir, "sure")
    given = world.models.model_for("t", "en")
    assert given == "sentiment-fast/1"
    await world.follow(sentiment_model="sure", sentiment_fast_model="none")
    assert world.models.model_for("t", "en") == "sure/1"
    (score,) = await world.models.score(given, ["ee+++"], ["en"])
    assert (score.model, score.label) == ("sentiment-fast/1", "positive")
    (score,) = await world.models.score("sure/1", ["ee+++"], ["en"])
    assert score.model == "sure/1"


async def test_a_request_under_way_is_answered_by_whom_it_asked_and_that_one_is_closed_then(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(keep_s=0.0)
    sure(world.models_dir, "sure")
    old = next(model for model in world.models.loaded.values() if model.reference == "sentiment-fast/1")
    assert isinstance(old, NgramModel)
    run, begun, go_on = old._graph.run, threading.Event(), threading.Event()

    def slow(*arrays: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return run(*arrays)

    world.write(sentiment_model="sure", sentiment_fast_model="none")
    monkeypatch.setattr(world.swap, "_samples", ())  # the trial would wait for the old model too
    monkeypatch.setattr(old._graph, "run", slow)
    asked = asyncio.ensure_future(world.models.score("sentiment-fast/1", ["ee---"], ["en"]))
    await asyncio.to_thread(begun.wait, 60)
    outcome = await world.swap.follow()
    assert outcome.changed and not asked.done()
    for _ in range(20):  # time for what must not happen
        await asyncio.sleep(0.005)
    assert old in world.models.loaded.values() and not asked.done()
    go_on.set()
    (score,) = await asked
    assert (score.model, score.label) == ("sentiment-fast/1", "negative")
    await world.let_go(2)
    assert old not in world.models.loaded.values()
    with pytest.raises(Retry, match="sentiment-fast/1 is not loaded any more"):
        await world.models.score("sentiment-fast/1", ["ee---"], ["en"])
    with pytest.raises(Retry, match="closed"):
        await old.judge(["x"])
    with pytest.raises(ModelMissing):
        await world.models.score("never/1", ["ee---"], ["en"])


async def test_what_both_readings_name_is_loaded_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(keep_s=0.0)
    sure(world.models_dir, "sure")
    loaded: list[str] = []
    load = NgramModel.load

    def noted(entry: Entry, **how: Any) -> NgramModel:
        loaded.append(entry.reference)
        return load(entry, **how)

    monkeypatch.setattr(NgramModel, "load", noted)
    await world.follow(mixed_from=0.4)
    assert loaded == []
    await world.follow(sentiment_model="sure")
    await world.follow(sentiment_model="sure/1", sentiment_least_recall=0.1)
    assert loaded == ["sure/1"]
    await world.follow()
    await world.let_go(2)
    assert (await world.models.score("sentiment-fast/1", ["ee+"], ["en"]))[0].label == "positive"


async def test_an_encoder_takes_over(make: Make) -> None:
    world = make()
    write_encoder(world.models_dir)
    outcome = await world.follow(sentiment_by_task={"slow": "encoder"})
    # All demo posts of these tests are unknown words to it: it says one thing of all of them, and is refused.
    assert "of all 60 sample posts" in outcome.refused
    world.swap._samples = [Sample(f"{word} a b", "en") for word in ("good", "bad", "so") for _ in range(40)]
    assert (await world.follow(sentiment_by_task={"slow": "encoder"})).changed == ("sentiment_by_task",)
    assert world.models.model_for("slow", "en") == "encoder/1" and world.models.model_for("other", "en") != "encoder/1"
    (score,) = await world.models.score("encoder/1", ["so good"], ["en"])
    assert score.model == "encoder/1"


async def test_a_folder_that_was_filled_anew_is_loaded_anew(make: Make) -> None:
    world = make()
    sure(world.models_dir, "sentiment-fast")  # the same version, other files
    outcome = await world.follow()
    assert outcome.changed == ("models",)
    (score,) = await world.models.score("sentiment-fast/1", ["ee+++"], ["en"])
    assert score.pos is not None and score.pos > 0.99


async def test_a_newer_version_is_taken_when_it_is_asked_for(make: Make) -> None:
    world = make()
    sure(world.models_dir, "sentiment-fast", version="2")
    assert world.models.model_for("t", "en") == "sentiment-fast/1"
    assert (await world.swap.follow()).changed == ("models",)
    assert world.models.model_for("t", "en") == "sentiment-fast/2"
    assert (await world.swap.follow()).changed == ()


# -- what is refused -------------------------------------------------------------------------------------------------


def nothing(_: Path) -> None:
    pass


def damaged(models_dir: Path) -> None:
    entry = write_model(models_dir, name="bad")
    entry.graph.write_bytes(b"rubbish")


def no_graph(models_dir: Path) -> None:
    write_model(models_dir, name="bad", graph=b"rubbish")


def gloomy(models_dir: Path) -> None:
    write_model(models_dir, name="bad", graph=graph_bytes({}, (2, 0, 0)))


def mixed_up(models_dir: Path) -> None:
    write_model(models_dir, name="bad", labels=["positive", "neutral", "negative"])


def not_a_number(models_dir: Path) -> None:
    # Of what a graph is tried on when it is loaded, nothing has 8 signs in it.
    write_model(models_dir, name="bad", graph=graph_bytes({"=": (2**30, 0, 0)}, (0, 0, 0), softmax=False))


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (nothing, "sentiment_model: there is no model 'bad'"),
    "damaged": (damaged, "model bad/1 is damaged"),
    "no graph": (no_graph, "does not load"),
    "all the same": (gloomy, "says 'negative' of all 120 sample posts"),
    "mixed up": (
        mixed_up,
        "finds other posts positive than the model in use: over 120 sample posts their figures correlate by -0.5",
    ),
    "no probabilities": (not_a_number, "no probabilities that add up to 1"),
}


@pytest.mark.parametrize("how", BAD)
async def test_a_bad_model_is_refused_and_the_old_one_stays(
    make: Make, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = make()
    spoil, says = BAD[how]
    spoil(world.models_dir)
    before = dict(world.models.loaded)
    with caplog.at_level(logging.INFO):
        outcome = await world.follow(sentiment_model="bad")
    assert says in outcome.refused and not outcome.changed
    status = world.board.get(PART)
    assert status is not None and status.state is State.WAITING
    assert says in status.why and "heartbeat models" in status.remedy
    assert [record.levelname for record in caplog.records] == ["WARNING"] and says in caplog.text
    assert world.models.loaded == before and not world.followed
    assert (await world.models.score(world.models.model_for("t", "en"), ["ee+"], ["en"]))[0].label == "positive"
    with caplog.at_level(logging.INFO):
        await world.follow(sentiment_model="bad")
    assert len(caplog.records) == 2
    await world.follow()
    assert world.board.get(PART).state is State.OK  # type: ignore[union-attr]


async def test_mixed_up_labels_of_the_model_that_ships_are_noticed_on_the_demo(make: Make) -> None:
    """By how the figures go together: as most posts are neutral, more than half of the labels are still the same."""
    world = make()
    first = Catalogue(SHIPPED).find("sentiment-fast")
    card = yaml.safe_load((first.folder / "model.yaml").read_text())
    for version, labels in (("8", card["labels"]), ("9", ["positive", "neutral", "negative"])):
        folder = world.models_dir / "sentiment-fast" / version
        shutil.copytree(first.folder, folder)
        (folder / "model.yaml").write_text(yaml.safe_dump({**card, "version": version, "labels": labels}))
    world.swap._samples = ()  # beside the tiny model in use, no true one would do
    assert (await world.follow(sentiment_model="sentiment-fast/8", sentiment_fast_model="none")).changed
    world.swap._samples = [Sample(line.content, line.lang) for line in demo.script()]
    outcome = await world.follow(sentiment_model="sentiment-fast/9", sentiment_fast_model="none")
    assert "sentiment-fast/9 finds other posts positive than the model in use: over 415 sample posts" in outcome.refused


async def test_a_language_model_that_guesses_otherwise_is_refused(make: Make) -> None:
    world = make()
    write_model(world.models_dir, name="odd", kind="language", labels=["en", "de", "tr", "und"])
    outcome = await world.follow(language_model="odd")
    assert (
        "odd/1 guesses the same language as the one in use of 0% of 120 sample posts, and has to of 80%"
        in outcome.refused
    )
    assert (await world.models.identify(["ee"]))[0].model == "language/1"
    write_model(world.models_dir, name="even", kind="language")
    assert (await world.follow(language_model="even")).changed == ("language_model",)
    assert (await world.models.identify(["ee"]))[0].model == "even/1"


async def test_a_model_of_another_kind_is_refused(make: Make) -> None:
    world = make()
    assert "it is a language model" in (await world.follow(sentiment_model="language")).refused
    assert "it is a sentiment model" in (await world.follow(language_model="sentiment-fast")).refused


async def test_too_few_samples_say_nothing(make: Make) -> None:
    world = make()
    mixed_up(world.models_dir)
    world.swap._samples = SAMPLES[: LEAST_CORRELATED - 1]
    assert (await world.follow(sentiment_model="bad")).changed


async def test_whatever_loading_raises_is_a_refusal(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make()
    sure(world.models_dir, "sure")

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(NgramModel, "load", fail)
    assert "MemoryError" in (await world.follow(sentiment_model="sure")).refused


async def test_a_swap_that_is_cancelled_leaves_everything_as_it_was(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    sure(world.models_dir, "sure")
    begun, go_on, load = threading.Event(), threading.Event(), NgramModel.load

    def slow(entry: Entry, **how: Any) -> NgramModel:
        begun.set()
        assert go_on.wait(60)
        return load(entry, **how)

    monkeypatch.setattr(NgramModel, "load", slow)
    following = asyncio.ensure_future(world.follow(sentiment_model="sure"))
    await asyncio.to_thread(begun.wait, 60)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    go_on.set()
    monkeypatch.setattr(NgramModel, "load", load)
    assert world.models.model_for("t", "en") == "sentiment-fast/1"
    assert (await world.swap.follow()).changed == ("sentiment_model",)


# -- the file --------------------------------------------------------------------------------------------------------


async def test_the_file_is_followed_when_it_has_settled(make: Make) -> None:
    world = make()
    sure(world.models_dir, "sure")
    for _ in range(3):
        await world.swap.look()
    assert not world.followed
    world.write(sentiment_model="sure")
    await world.swap.look()
    assert not world.followed, "an editor may still be writing"
    await world.swap.look()
    assert len(world.followed) == 1 and world.models.model_for("t", "en") == "sure/1"
    for _ in range(3):
        await world.swap.look()
    (world.config_dir / "heartbeat.yaml").write_text(f"models_dir: {world.models_dir}\nsentiment_model: nowhere\n")
    for _ in range(3):
        await world.swap.look()
    assert world.board.get(PART).state is State.WAITING  # type: ignore[union-attr]
    assert len(world.followed) == 1


async def test_a_change_between_the_start_and_the_first_look_is_seen(make: Make) -> None:
    world = make()
    sure(world.models_dir, "sure")
    world.write(sentiment_model="sure")
    await world.swap.look()
    await world.swap.look()
    assert world.models.model_for("t", "en") == "sure/1"


async def test_a_file_that_is_wrong_is_said_to_be(make: Make) -> None:
    world = make()
    outcome = await world.follow(sentiment_modle="x")
    assert "heartbeat.yaml:3: sentiment_modle: is no setting" in outcome.refused
    assert "correct the file" in world.board.get(PART).remedy  # type: ignore[union-attr]
    await world.follow()
    assert world.board.get(PART).state is State.OK  # type: ignore[union-attr]


async def test_other_settings_wait_for_a_restart(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    world = make()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await world.follow(web_port=7001, grace_s=1, mixed_from=0.4)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1 and "grace_s" in lines[0] and "web_port" in lines[0] and "restart the worker" in lines[0]
    assert "mixed_from" not in lines[0]
    assert (world.models.settings.web_port, world.models.settings.mixed_from) == (6066, 0.4)


def test_the_tiny_models_differ_by_their_files(tmp_path: Path) -> None:
    """A negative control: if they did not, the tests above would say nothing."""
    sure(tmp_path, "sure")
    write_model(tmp_path, name="sentiment-fast")
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.rglob("model.onnx")}
    assert len(digests) == 2
