"""`heartbeat predict`: what the models say of each line of standard input.

Whatever has arrived is answered before more is waited for: a person gets an answer after each line, a pipe is worked
through in batches.
"""

from __future__ import annotations

import asyncio
import os
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import IO, Any, Final, Literal

import click
import orjson

from heartbeat.cli.common import with_settings
from heartbeat.models import load_identifier, load_models
from heartbeat.models.catalogue import Catalogue
from heartbeat.settings import Settings

_CHUNK: Final = 1 << 16
_MAX_LINE: Final = 1 << 20
"""Bytes of a line that are kept: far more than any model reads, and a bound on memory whatever comes."""
_MAX_BATCH: Final = 512

Answer = dict[str, Any]
Judge = Callable[[Sequence[str]], Coroutine[Any, Any, list[Answer]]]
Close = Callable[[], Coroutine[Any, Any, None]]


@click.command(short_help="Say the language or sentiment of each line of standard input.")
@click.argument("what", type=click.Choice(["language", "sentiment"]))
@click.option("--model", metavar="NAME[/VERSION]", help="Another model than the settings name.")
@with_settings
def predict(settings: Settings, what: Literal["language", "sentiment"], model: str | None) -> None:
    """Say the language or sentiment of each line of standard input.

    For each line, a JSON object on a line of standard output, in order: `lang, confidence, model`, or
    `lang, label, pos, neu, neg, model`. Where there is nothing to score with, the figures are null and
    `unscored_reason` says why.
    """
    if model is not None:
        Catalogue(settings.models_dir).find(model)  # said here, the message is about the option and no setting
    with asyncio.Runner() as runner:
        if what == "language":
            judge, close = _languages(_with_language_model(settings, model))
        else:
            judge, close = _sentiments(_with_sentiment_model(settings, model))
        try:
            _answer_all(runner, judge)
        finally:
            runner.run(close())


def _with_language_model(settings: Settings, model: str | None) -> Settings:
    return settings if model is None else settings.model_copy(update={"language_model": model})


def _with_sentiment_model(settings: Settings, model: str | None) -> Settings:
    if model is None:
        return settings
    alone = {"sentiment_fast_model": "none", "sentiment_by_lang": {}, "sentiment_by_task": {}}
    return settings.model_copy(update={"sentiment_model": model, **alone})


def _languages(settings: Settings) -> tuple[Judge, Close]:
    identifier = load_identifier(settings)

    async def judge(texts: Sequence[str]) -> list[Answer]:
        guesses = await identifier.identify(texts)
        return [{"lang": g.lang, "confidence": g.confidence, "model": g.model} for g in guesses]

    return judge, identifier.close


def _sentiments(settings: Settings) -> tuple[Judge, Close]:
    identifier, scorer = load_models(settings)

    async def judge(texts: Sequence[str]) -> list[Answer]:
        langs = [guess.lang for guess in await identifier.identify(texts)]
        answers: list[Answer] = [{} for _ in texts]
        places: dict[str | None, list[int]] = {}
        for at, lang in enumerate(langs):
            places.setdefault(scorer.model_for("", lang), []).append(at)
        for model, chosen in places.items():
            results = await scorer.score(model, [texts[at] for at in chosen], [langs[at] for at in chosen])
            for at, result in zip(chosen, results, strict=True):
                answers[at] = {
                    "lang": langs[at],
                    "label": result.label,
                    "pos": result.pos,
                    "neu": result.neu,
                    "neg": result.neg,
                    "model": result.model,
                }
                if result.unscored_reason is not None:
                    answers[at]["unscored_reason"] = result.unscored_reason
        return answers

    async def close() -> None:
        await identifier.close()
        await scorer.close()

    return judge, close


def _answer_all(runner: asyncio.Runner, judge: Judge) -> None:
    # Reading happens outside the event loop's run: there, Ctrl-C would be noticed only after the next line.
    out = click.get_binary_stream("stdout")
    try:
        for texts in batches(click.get_binary_stream("stdin")):
            answers = runner.run(judge(texts))
            out.write(b"".join(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE) for answer in answers))
            out.flush()
    except BrokenPipeError:
        # Who read has seen enough. Python would try to flush once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def batches(stream: IO[bytes]) -> Iterator[list[str]]:
    """Lines as they arrive: whatever one read brings, in lists of at most 512.

    Bytes that are not UTF-8 become U+FFFD; a byte order mark is no text. Lines end in LF or CR LF; an empty line is a
    text too.
    """
    first = True
    rest = b""
    while chunk := stream.read1(_CHUNK):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[:_MAX_LINE]
        if first and lines:
            lines[0], first = lines[0].removeprefix(BOM_UTF8), False
        yield from _texts(lines)
    if first:
        rest = rest.removeprefix(BOM_UTF8)
    if rest:
        yield from _texts([rest])


def _texts(lines: Sequence[bytes]) -> Iterator[list[str]]:
    for at in range(0, len(lines), _MAX_BATCH):
        yield [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines[at : at + _MAX_BATCH]]
