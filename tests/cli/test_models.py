"""`heartbeat models …`: what there is, whether it is whole, how fast and how alike, and which one is used."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from heartbeat.cli import cli
from tests.models.tiny_models import graph_bytes, write_encoder, write_model
from tests.proof.processes import environment

Run = Callable[..., "Done"]


class Done:
    """What a command said and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """The two models of the defaults, a second version, and models that say other things."""
    folder = tmp_path / "models"
    write_model(folder, name="language", kind="language")
    write_model(folder, name="sentiment-fast", recall={"en": 0.61}, description="Counts signs.")
    write_model(folder, name="sentiment-fast", version="2", licence="MIT; all of it")
    write_model(folder, name="gloomy", graph=graph_bytes({}, (2, 0, 0)), languages=["en", "tr"])
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings' file with a comment."""
    path = tmp_path / "config" / "heartbeat.yaml"
    path.parent.mkdir()
    path.write_text("# mine\nsentiment_model: sentiment-fast/1  # for now\n")
    return path


@pytest.fixture
def run(models_dir: Path, config: Path, tmp_path: Path) -> Run:
    def command(*args: str, **env: str) -> Done:
        env = {"HEARTBEAT_MODELS_DIR": str(models_dir), "HEARTBEAT_CONFIG_DIR": str(config.parent), **env}
        env.setdefault("HEARTBEAT_DATA_DIR", str(tmp_path / "data"))
        return Done(
            subprocess.run(
                [sys.executable, "-m", "heartbeat", "models", *args],
                env=environment(**env),
                capture_output=True,
                text=True,
                timeout=120,
            )
        )

    return command


# -- list, show ------------------------------------------------------------------------------------------------------


def test_list(run: Run, config: Path) -> None:
    config.write_text(
        "sentiment_model: sentiment-fast/1\nsentiment_fast_model: none\n"
        "sentiment_by_lang: {tr: gloomy, de: none}\nsentiment_by_task: {brand: sentiment-fast}\n"
    )
    done = run("list", "--json")
    assert done.code == 0
    found = {model["model"]: model for model in done.json}
    assert list(found) == ["gloomy/1", "language/1", "sentiment-fast/2", "sentiment-fast/1"]
    assert {name: model["used_for"] for name, model in found.items()} == {
        "gloomy/1": ["texts in tr"],
        "language/1": ["language"],
        "sentiment-fast/2": ["task brand"],
        "sentiment-fast/1": ["sentiment"],
    }
    assert found["gloomy/1"]["languages"] == ["en", "tr"] and found["gloomy/1"]["research_only"] is False
    assert found["gloomy/1"]["bytes"] > 100 and found["language/1"]["kind"] == "language"
    done = run("list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["MODEL", "KIND", "FAMILY", "LANGUAGES", "SIZE", "LICENCE", "USED", "FOR"]
    assert any(line.startswith("sentiment-fast/2") and "MIT" in line and "task brand" in line for line in lines)


def test_list_says_what_is_wrong(run: Run, models_dir: Path) -> None:
    (models_dir / "gloomy" / "1" / "model.yaml").write_text("name: gloomy\n")
    done = run("list", HEARTBEAT_SENTIMENT_MODEL="nowhere")
    assert done.code == 1
    assert "unusable" in done.out and "sentiment-fast/2" in done.out
    assert "model gloomy/1 cannot be used" in done.err and "sentiment_model: there is no model 'nowhere'" in done.err
    assert [model["problem"] is None for model in run("list", "--json").json] == [False, True, True, True]


def test_list_says_that_a_setting_names_the_wrong_kind(run: Run) -> None:
    done = run("list", HEARTBEAT_LANGUAGE_MODEL="gloomy", HEARTBEAT_SENTIMENT_BY_LANG='{"tr": "language"}')
    assert done.code == 1
    assert "language_model: gloomy/1 is a sentiment model; name a language model" in done.err
    assert "sentiment_by_lang.tr: language/1 is a language model; name a sentiment model" in done.err


def test_list_of_nothing(run: Run, tmp_path: Path) -> None:
    done = run("list", HEARTBEAT_MODELS_DIR=str(tmp_path / "none"))
    assert done.code == 1 and "there are no models in" in done.err


def test_show(run: Run, models_dir: Path) -> None:
    done = run("show", "sentiment-fast/1")
    assert done.code == 0
    for said in ("Counts signs.", "used for:  sentiment", "2: de, en", "en 0.61", "made by hand", "50 characters"):
        assert said in done.out
    assert run("show", "sentiment-fast", "--json").json["version"] == "2"
    changed = yaml.safe_load((models_dir / "gloomy" / "1" / "model.yaml").read_text())
    changed |= {
        "description": "\x1b[31mred",
        "licence": "a\x1b[1mb",
        "changes": ["c\x07"],
        "figures": {"d\x1b": "e\x1b"},
    }
    (models_dir / "gloomy" / "1" / "model.yaml").write_text(yaml.safe_dump(changed))
    for words in (("show", "gloomy"), ("list",)):
        done = run(*words)
        assert done.code == 0 and "\x1b" not in done.out and "\x07" not in done.out
    done = run("show", "nowhere")
    assert done.code == 1 and "there is: gloomy/1, language/1" in done.err


def test_nothing_heavy_is_imported_to_list_and_show(models_dir: Path) -> None:
    script = (
        "import sys\nfrom heartbeat.cli import main\n"
        "for words in (['models', '--help'], ['models', 'list'], ['models', 'show', 'language'], "
        "['models', 'use', '--help']):\n"
        "    try:\n        main(words)\n    except SystemExit as done:\n        assert done.code in (0, 1), words\n"
        "print([name for name in ('onnxruntime', 'numpy', 'tokenizers', 'faust') if name in sys.modules])"
    )
    env = environment(HEARTBEAT_MODELS_DIR=str(models_dir))
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["list", "show", "verify", "bench", "compare", "use"])
def test_each_has_help_and_takes_a_data_directory(command: str) -> None:
    done = CliRunner().invoke(cli, ["models", command, "--help"])
    assert done.exit_code == 0 and "--data-dir" in done.output and len(done.output.splitlines()) > 6


@pytest.mark.parametrize("words", [("verify", "--nope"), ("show",), ("bench",), ("compare", "a"), ("frobnicate",)])
def test_wrong_words(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["models", *words]).exit_code == 2


# -- verify, bench ---------------------------------------------------------------------------------------------------


def test_verify(run: Run, models_dir: Path) -> None:
    write_encoder(models_dir)
    (models_dir / "sentiment-fast" / "1" / "model.onnx").write_bytes(b"rubbish")
    done = run("verify", "language", "sentiment-fast/1")
    assert done.code == 1
    assert "language/1: ok" in done.out and "sentiment-fast/1: FAILED" in done.out
    assert "has SHA-256" in done.err and "git checkout" in done.err and "1 of 2 models cannot be used" in done.err
    done = run("verify", "--models", "language, language/1")
    assert done.code == 0 and not done.err and done.out.count("language/1: ok") == 2
    done = run("verify")
    assert done.code == 1 and "gloomy/1 says 'negative' of all" in done.err  # it does not look at the text


def test_verify_of_the_models_that_ship(run: Run) -> None:
    done = run("verify", HEARTBEAT_MODELS_DIR="")
    assert done.code == 0, done.err
    assert "FAILED" not in done.out and "sentiment-fast/" in done.out


def test_bench(run: Run, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("ee+++\ndd---\n\nsomething else\n")
    done = run("bench", "sentiment-fast", "--on", str(texts), "--seconds", "0.1", "--json")
    assert done.code == 0
    found = done.json
    assert (found["model"], found["texts"]) == ("sentiment-fast/2", 3)
    assert found["batched_texts_per_second"] > 0 and found["single_texts_per_second"] > 0
    assert 0 < found["latency_ms_p50"] <= found["latency_ms_p95"] and found["memory_bytes"] > 0
    texts.write_text("https://example.org @who\n")
    done = run("bench", "sentiment-fast", "--on", str(texts), "--seconds", "0.1")
    assert done.code == 1 and "holds no words" in done.err
    labelled = tmp_path / "posts.jsonl"
    labelled.write_text('{"content": "ee+++", "label": "whatever it is"}\n')
    done = run("bench", "language", "--on", str(labelled), "--seconds", "0.1", "--json")
    assert done.code == 0 and done.json["texts"] == 1
    done = run("bench", "language", "--seconds", "0.1")
    assert done.code == 0 and "450 texts" in done.out and "texts/s" in done.out


# -- compare ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.jsonl"
    items = [
        *({"content": f"secret{n} ee+++", "lang": "en", "label": "positive"} for n in range(6)),
        *({"content": f"secret{n} ee---", "lang": "en", "label": "neg"} for n in range(3)),
        {"content": "secret dd+", "lang": "de", "label": "neutral"},
        {"content": "secret tt+", "lang": "tr"},
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_compare(run: Run, posts: Path) -> None:
    done = run("compare", "sentiment-fast/1", "gloomy", "--on", str(posts), "--json")
    assert done.code == 0
    found = done.json
    assert (found["a"], found["b"], found["posts"]) == ("sentiment-fast/1", "gloomy/1", 11)
    assert (found["judged_by_a"], found["judged_by_b"], found["judged_by_both"]) == (10, 10, 9)
    assert found["agreement"] == round(3 / 9, 4)
    assert found["by_language"] == {"en": {"posts": 9, "agreement": round(3 / 9, 4)}}
    assert found["confusion"] == {"negative": {"negative": 3}, "positive": {"negative": 6}}
    assert found["gold"]["posts"] == 10
    assert found["gold"]["a"] == {
        "accuracy": 0.9,
        "macro_recall": round(2 / 3, 4),
        "recall_negative": 1.0,
        "recall_neutral": 0.0,
        "recall_positive": 1.0,
    }
    assert found["gold"]["b"]["accuracy"] == 0.3
    assert "secret" not in done.out and "farthest_apart" not in found


def test_texts_are_shown_only_when_asked_for(run: Run, posts: Path) -> None:
    done = run("compare", "sentiment-fast/1", "gloomy", "--on", str(posts))
    assert done.code == 0 and "secret" not in done.out + done.err and "macro recall" in done.out
    done = run("compare", "sentiment-fast/1", "gloomy", "--on", str(posts), "--show", "2")
    assert done.out.count("secret") == 2 and "A positive, B negative, gold positive" in done.out
    shown = run("compare", "sentiment-fast/1", "gloomy", "--on", str(posts), "--show", "1", "--json").json
    assert [each["content"] for each in shown["farthest_apart"]] == ["secret0 ee+++"]


def test_compare_on_lines_and_on_tsv(run: Run, tmp_path: Path) -> None:
    plain, tsv, packed = tmp_path / "a", tmp_path / "b", tmp_path / "c.tsv.xz"
    plain.write_text("ee+++\nee---\n\nee=\ta\n")
    found = run("compare", "sentiment-fast/1", "sentiment-fast/2", "--on", str(plain), "--json").json
    assert (found["posts"], found["agreement"], found["gold"]) == (3, 1.0, None)
    tsv.write_bytes(b"positive\tee+++\r\n0\tee---\r\n\r\nneutral\tee+\r\n")
    packed.write_bytes(lzma.compress(tsv.read_bytes()))
    for path in (tsv, packed):
        found = run("compare", "sentiment-fast/1", "sentiment-fast/2", "--on", str(path), "--json").json
        assert found["posts"] == found["gold"]["posts"] == 3
        assert found["gold"]["a"]["accuracy"] == round(2 / 3, 4)


def test_compare_language_models(run: Run, models_dir: Path, tmp_path: Path) -> None:
    write_model(models_dir, name="odd", kind="language", labels=["en", "de", "tr", "und"])
    path = tmp_path / "posts.jsonl"
    path.write_text('{"content": "dd", "lang": "de"}\n{"content": "tt", "lang": "tr"}\n')
    found = run("compare", "language", "odd", "--on", str(path), "--json").json
    assert found["agreement"] == 0.5
    corrections = path.read_text().replace('"lang"', '"label": "positive", "lang"')
    path.write_text(corrections.replace('"positive"', "null", 1))
    assert run("compare", "language", "odd", "--on", str(path), "--json").json == found
    assert (found["gold"]["a"]["accuracy"], found["gold"]["b"]["accuracy"]) == (1.0, 0.5)


def test_languages_of_a_file_are_read_as_feeds_write_them(run: Run, models_dir: Path, tmp_path: Path) -> None:
    write_model(models_dir, name="odd", kind="language", labels=["en", "de", "tr", "und"])
    path = tmp_path / "posts.jsonl"
    path.write_text('{"content": "dd", "lang": "DE"}\n{"content": "tt", "lang": "tr-TR"}\n')
    plain = tmp_path / "plain.jsonl"
    plain.write_text(path.read_text().lower().replace("tr-tr", "tr"))
    found, same = (run("compare", "language", "odd", "--on", str(each), "--json").json for each in (path, plain))
    assert found == same
    # Neither has Swahili, so `und` is right: as `verify` on corrections has it.
    path.write_text('{"content": "uu", "lang": "sw"}\n{"content": "dd", "lang": "sw"}\n')
    posts = run("compare", "language", "odd", "--on", str(path), "--json").json
    assert posts["gold"]["a"]["recall_und"] == posts["gold"]["a"]["accuracy"]


def test_what_cannot_be_compared(run: Run, posts: Path, tmp_path: Path) -> None:
    done = run("compare", "language", "gloomy", "--on", str(posts))
    assert done.code == 2 and "one kind" in done.err
    assert run("compare", "sentiment-fast", "gloomy", "--on", str(tmp_path / "none")).code == 2
    for text, code, says in (
        ('{"content": "x"}\n{"content": 1}\n', 2, ":2: has to be an object with a text `content`"),
        ('{"content": "x", "label": "fine"}\n', 2, ":1: 'fine' is none of the labels"),
        ("positive\tx\nno tab\n", 2, ":2: has no tab"),
        (f"{'secret ' * 9}\tpositive\n", 0, ""),
        ("positive\tx\n" + "secret " * 9 + "\tpositive\n", 2, ":2: a label of 63 characters is none of the labels"),
        ("a\0b\n", 1, "is no text file: there are zero bytes in it; save it as UTF-8"),
        ("\n \n", 1, "holds no text"),
    ):
        file = tmp_path / "file"
        file.write_text(text)
        done = run("compare", "sentiment-fast", "gloomy", "--on", str(file))
        assert done.code == code and says in done.err and "secret" not in done.err, done.err
    damaged, csv = tmp_path / "a.txt.gz", tmp_path / "c.csv.gz"
    packed = bytearray(gzip.compress(bytes(range(256)) * 400))
    packed[40:200] = b"\7" * 160
    damaged.write_bytes(packed)
    csv.write_bytes(gzip.compress(b"content,label\nee+++,positive\n"))
    for file, says in ((damaged, "cannot be read: Error -3 while decompressing"), (csv, "is CSV, which is not read")):
        done = run("compare", "sentiment-fast", "gloomy", "--on", str(file))
        assert done.code == 1 and says in done.err, done.err


# -- use, without a worker ---------------------------------------------------------------------------------------------


def test_use_writes_the_choice_and_nothing_else(run: Run, config: Path) -> None:
    done = run("use", "sentiment-fast/2")
    assert done.code == 0 and "no worker runs on" in done.out
    assert config.read_text() == "# mine\nsentiment_model: sentiment-fast/2  # for now\n"
    assert run("use", "gloomy", "--for-lang", "tr").code == 0
    assert run("use", "none", "--for-lang", "de").code == 0
    assert run("use", "gloomy", "--for-task", "brand").code == 0
    assert run("use", "language/1").code == 0
    assert config.read_text().startswith("# mine\nsentiment_model: sentiment-fast/2  # for now\n")
    assert yaml.safe_load(config.read_text()) == {
        "sentiment_model": "sentiment-fast/2",
        "sentiment_by_lang": {"tr": "gloomy", "de": "none"},
        "sentiment_by_task": {"brand": "gloomy"},
        "language_model": "language/1",
    }


def test_use_refuses_what_makes_no_sense(run: Run, config: Path, models_dir: Path) -> None:
    (models_dir / "sentiment-fast" / "2" / "model.onnx").write_bytes(b"rubbish")
    write_model(models_dir, name="other", graph=b"no graph")
    before = config.read_text()
    for words, code, says in (
        (("other",), 1, "does not load"),
        (("nowhere",), 1, "there is no model 'nowhere'"),
        (("sentiment-fast/2",), 1, "is damaged"),
        (("gloomy", "--for-lang", "de"), 1, "does not know the language de; it knows en, tr"),
        (("gloomy", "--for-lang", "German"), 2, "no language's code"),
        (("none", "--for-lang", "no"), 2, "no post is found to be in it; that language is nb here"),
        (("none", "--for-lang", "xx"), 2, "no post is found to be in it; it can be ar, bg"),
        (("gloomy", "--for-task", "a b"), 2, "a task's name has"),
        (("gloomy", "--for-task", "a", "--for-lang", "en"), 2, "not both"),
        (("language", "--for-task", "a"), 2, "finds languages"),
    ):
        done = run("use", *words)
        assert done.code == code and says in done.err, (words, done.err)
        assert config.read_text() == before


def test_use_says_that_the_environment_overrules_the_file(run: Run, config: Path) -> None:
    before = config.read_text()
    done = run("use", "gloomy", HEARTBEAT_SENTIMENT_MODEL="sentiment-fast")
    assert done.code == 1 and "HEARTBEAT_SENTIMENT_MODEL is set and overrules" in done.err
    done = run("use", "gloomy", "--for-lang", "en", HEARTBEAT_SENTIMENT_BY_LANG="{}")
    assert done.code == 1 and "HEARTBEAT_SENTIMENT_BY_LANG" in done.err
    assert config.read_text() == before
    assert run("use", "gloomy", "--for-task", "en", HEARTBEAT_SENTIMENT_BY_LANG="{}").code == 0


def test_use_does_not_touch_a_file_that_is_wrong(run: Run, config: Path) -> None:
    config.write_text("a: [1\n")
    done = run("use", "gloomy")
    assert done.code == 2 and "heartbeat.yaml:2: is not valid YAML" in done.err and config.read_text() == "a: [1\n"
