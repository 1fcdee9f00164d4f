"""`heartbeat predict`: lines in, JSON out, for people and for pipes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from heartbeat.cli.predict import batches, predict
from tests.models.tiny_models import graph_bytes, write_model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_model(tmp_path, name="language", kind="language")
    write_model(tmp_path, name="sentiment-fast")
    write_model(tmp_path, name="gloomy", graph=graph_bytes({}, (2, 0, 0)), languages=["de", "en", "tr"])
    write_model(tmp_path, name="sure", kind="language", graph=graph_bytes({"d": (9, 0, 0, 0)}, (0, 0, 0, 0)))
    monkeypatch.setenv("HEARTBEAT_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("HEARTBEAT_SENTIMENT_MODEL", "sentiment-fast")
    return tmp_path


def run(*arguments: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(predict, arguments, input=given)


def answers(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout_bytes.splitlines()]


@pytest.mark.usefixtures("models")
def test_language_of_each_line_in_order() -> None:
    found = answers(run("language", given=b"dd\n\nee\r\nt\nd"))
    assert [answer["lang"] for answer in found] == ["de", "und", "en", "tr", "de"]
    assert all(list(answer) == ["lang", "confidence", "model"] for answer in found)
    assert found[0]["confidence"] == 0.610296 and found[0]["model"] == "language/1"


@pytest.mark.usefixtures("models")
def test_sentiment_of_each_line_in_order() -> None:
    found = answers(run("sentiment", given=b"ee+++\nttt+\n\ndd---\n??\n"))
    assert [answer["lang"] for answer in found] == ["en", "tr", "und", "de", "und"]
    assert [answer["label"] for answer in found] == ["positive", None, None, "negative", None]
    assert list(found[0]) == ["lang", "label", "pos", "neu", "neg", "model"]
    assert round(1e6 * found[0]["pos"]) + round(1e6 * found[0]["neu"]) + round(1e6 * found[0]["neg"]) == 1_000_000
    assert found[1] == {
        "lang": "tr",
        "label": None,
        "pos": None,
        "neu": None,
        "neg": None,
        "model": None,
        "unscored_reason": "no model for language tr",
    }
    assert [found[2]["unscored_reason"], found[4]["unscored_reason"]] == ["no text", "language not recognised"]


@pytest.mark.usefixtures("models")
def test_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(run("language", "--model", "sure", given=b"d\n"))[0]["confidence"] > 0.99
    monkeypatch.setenv("HEARTBEAT_SENTIMENT_BY_LANG", '{"en": "none"}')
    found = answers(run("sentiment", "--model", "gloomy/1", given=b"ee+++\nttt+++\n"))
    assert [(answer["label"], answer["model"]) for answer in found] == [("negative", "gloomy/1")] * 2
    monkeypatch.delenv("HEARTBEAT_SENTIMENT_BY_LANG")
    (alone,) = answers(run("sentiment", "--model", "sentiment-fast", given=b"ttt+++\n"))
    assert alone["unscored_reason"] == "no model for language tr", "no other model steps in"


@pytest.mark.usefixtures("models")
def test_the_settings_choose_by_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_SENTIMENT_BY_LANG", '{"tr": "gloomy", "en": "none"}')
    found = answers(run("sentiment", given=b"ttt+\nee+++\ndd+++\ntttt\n"))
    assert [answer["model"] for answer in found] == ["gloomy/1", None, "sentiment-fast/1", "gloomy/1"]
    assert [answer["label"] for answer in found] == ["negative", None, "positive", "negative"]


@pytest.mark.usefixtures("models")
def test_no_input_is_no_output_and_no_error() -> None:
    assert answers(run("language")) == []


@pytest.mark.usefixtures("models")
def test_bytes_that_are_no_text_are_replaced_and_the_rest_is_answered() -> None:
    found = answers(run("language", given=b"\xff\xfe\x80\n\xed\xa0\x80\ndd\xc3\n\xef\xbb\xbfe\n\x00\n"))
    assert [answer["lang"] for answer in found] == ["und", "und", "de", "en", "und"]


@pytest.mark.usefixtures("models")
def test_thousands_of_lines_stay_in_order() -> None:
    lines = [("d", "e", "t")[n % 3] * (1 + n % 40) * 3 for n in range(5000)]
    found = answers(run("language", given="\n".join(lines).encode()))
    assert [answer["lang"] for answer in found] == [{"d": "de", "e": "en", "t": "tr"}[line[0]] for line in lines]


@pytest.mark.parametrize("arguments", [(), ("mood",), ("language", "--nonsense"), ("language", "sentiment")])
@pytest.mark.usefixtures("models")
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2 and result.stdout_bytes == b"" and "Usage:" in result.stderr


@pytest.mark.usefixtures("models")
def test_a_model_that_is_not_there_is_1_and_says_what_is() -> None:
    for what in ("language", "sentiment"):
        result = run(what, "--model", "nowhere/7", given=b"x\n")
        assert result.exit_code == 1 and result.stdout_bytes == b""
        assert "there is no model 'nowhere/7'" in result.stderr and "gloomy/1, language/1" in result.stderr


@pytest.mark.usefixtures("models")
def test_a_model_of_the_other_kind_is_1() -> None:
    result = run("sentiment", "--model", "language", given=b"x\n")
    assert (
        result.exit_code == 1
        and "it is a language model of the family ngram; name a sentiment model of the family ngram instead"
        in result.stderr
    )


def test_a_damaged_model_is_1(models: Path) -> None:
    path = models / "language" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    result = run("language", given=b"x\n")
    assert result.exit_code == 1 and f"model language/1 is damaged: {path}" in result.stderr
    assert "Traceback" not in result.stderr


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """As a user's shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", "from heartbeat.cli import main; main()", "predict", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )


@pytest.mark.usefixtures("models")
def test_a_person_gets_an_answer_after_each_line() -> None:
    with start("sentiment") as process:
        assert process.stdin and process.stdout and process.stderr
        for line, label in ((b"ee+\n", "positive"), (b"ee---\n", "negative"), (b"\n", None)):
            process.stdin.write(line)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == label
        process.stdin.write(b"dd=")
        process.stdin.close()
        assert json.loads(process.stdout.readline())["label"] == "neutral"
        assert process.stdout.read() == b"" and process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.usefixtures("models")
def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    with start("language") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"d\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"d\n" * 2000)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


class Chunks(io.RawIOBase):
    """A pipe: each read brings what the other side wrote at once."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)

    def read1(self, size: int) -> bytes:
        return next(self._chunks, b"")


def as_stream(chunks: list[bytes]) -> IO[bytes]:
    return cast(IO[bytes], Chunks(chunks))


@example([b"\xef\xbb\xbf"])
@example([b"\xef\xbb", b"\xbf\n"])
@given(
    st.lists(
        st.binary(min_size=1, max_size=12)
        | st.sampled_from([b"\n", b"\r\n", b"a\r", b"\xc3", b"\xa9", b"\xef\xbb", b"\xbf"])
    )
)
def test_lines_do_not_depend_on_how_they_arrive(chunks: list[bytes]) -> None:
    whole = b"".join(chunks).removeprefix(b"\xef\xbb\xbf")
    lines = whole.split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]
    assert [text for batch in batches(as_stream(chunks)) for text in batch] == expected


def test_what_has_arrived_is_answered_before_more_is_read() -> None:
    def arriving() -> Iterator[bytes]:
        yield b"one\ntwo\nthr"
        seen.append("read on")
        yield b"ee\n"

    seen: list[str] = []
    stream = Chunks([])
    stream._chunks = arriving()
    for texts in batches(cast(IO[bytes], stream)):
        seen.extend(texts)
    assert seen == ["one", "two", "read on", "three"]


def test_batches_are_bounded_and_so_is_a_line() -> None:
    assert [len(texts) for texts in batches(as_stream([b"x\n" * 1200]))] == [512, 512, 176]
    endless = [b"x" * 65536] * 40 + [b"\nnext\n"]
    ((long, after),) = batches(as_stream(endless))
    assert len(long) == 1 << 20 and after == "next"
