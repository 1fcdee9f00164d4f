"""`heartbeat corrections …` and `models verify --on corrections`, against figures that are worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heartbeat.corrections.store import Corrections
from tests.cli.commands import Done, run
from tests.corrections.material import T0, correction, seen
from tests.models.tiny_models import write_encoder, write_model

Run = Callable[..., Done]
SEPTEMBER, OCTOBER, NOVEMBER = 1_756_720_800_000, 1_759_312_800_000, T0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def command(tmp_path: Path, data: Path) -> Run:
    def command(*words: str, **env: str) -> Done:
        places = {"HEARTBEAT_DATA_DIR": str(data), "HEARTBEAT_MODELS_DIR": str(tmp_path / "models")}
        return run(*words, **{**places, **env})

    return command


def keep(data: Path, *said: Any) -> None:
    with Corrections(data / "corrections.db", writing=True) as store:
        assert store.bring_in(said) == len(said)


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# -- list, export, import, delete ------------------------------------------------------------------------------------


def test_list_export_import_delete(command: Run, data: Path, tmp_path: Path) -> None:
    one, two = seen("1", "first\n\x1b[31mred"), seen("2", "second", label=None, model=None)
    said = (one, "mixed", "de"), (two, "positive", None), (one, "neutral", "en")
    keep(data, *(correction(*each, T0 + at) for at, each in enumerate(said)))
    done = command("corrections", "list", "--show")
    assert done.code == 0
    head, *shown = done.out.splitlines()
    assert head.split() == ["CORRECTED", "SOURCE", "ID", "MODEL", "LABEL", "LANG", "TEXT"]
    assert [line.split()[0][-5:] for line in shown] == [".001Z", ".002Z"], "what stands, in the order of making"
    assert "unscored → positive" in shown[0] and "neutral ✓" in shown[1] and "\x1b" not in done.out
    assert "second" not in command("corrections", "list").out
    every = lines_of(command("corrections", "list", "--json", "--every").out)
    assert [(line["id"], line["label"]) for line in every] == [("1", "mixed"), ("2", "positive"), ("1", "neutral")]
    assert len(lines_of(command("corrections", "list", "--json", "--limit", "1").out)) == 1
    assert lines_of(command("corrections", "list", "--json", "--since", str(T0 + 2)).out) == every[2:]

    done = command("corrections", "export")
    assert lines_of(done.out) == every[1:]
    file = tmp_path / "kept.jsonl"
    done = command("corrections", "export", "--every", "--to", str(file))
    assert (done.code, done.out) == (0, "") and "3 rows in" in done.err and lines_of(file.read_text()) == every
    csv = command("corrections", "export", "--format", "csv").out
    assert csv.startswith("source,id,content,label,lang,corrected,was_label")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    there = {"HEARTBEAT_DATA_DIR": str(elsewhere)}
    assert command("corrections", "import", str(file), **there).out == "3 corrections imported\n"
    again = command("corrections", "import", str(file), **there)
    assert again.out == "0 corrections imported; 3 were known, or older than what is\n"
    assert lines_of(command("corrections", "export", "--every", **there).out) == every

    assert command("corrections", "delete", "--source", "x", "--id", "1").out == "2 corrections deleted\n"
    done = command("corrections", "delete", "--source", "x", "--id", "1")
    assert done.code == 1 and "no post '1' of 'x' is corrected" in done.err
    assert len(lines_of(command("corrections", "export").out)) == 1


def test_a_file_with_a_wrong_line_changes_nothing(command: Run, tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    good = {"source": "x", "id": "1", "content": "SECRET", "label": "mixed"}
    file.write_text(f"{json.dumps(good)}\n\n{json.dumps({**good, 'label': 'great'})}\n")
    done = command("corrections", "import", str(file))
    assert done.code == 1 and f"{file}:3: label: Input should be" in done.err and "SECRET" not in done.err
    done = command("corrections", "list")
    assert (done.code, done.out) == (0, "") and "nothing has been corrected" in done.err


@pytest.mark.parametrize("words", [("list",), ("export",), ("delete", "--source", "x", "--id", "1")])
def test_without_a_data_directory(command: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = command("corrections", *words, HEARTBEAT_DATA_DIR=str(tmp_path / "nowhere"))
    assert done.code == 1 and "there is no data directory" in done.err


def test_export_needs_little_memory(data: Path) -> None:
    """A hundred times as much, and next to nothing more."""
    keep(data, *(correction(seen(f"{at}", "x" * 20_000), at_ms=T0 + at) for at in range(2_000)))
    script = (
        "import resource, sys\nfrom heartbeat.cli import cli\n"
        f"cli(['corrections', 'export', '--data-dir', {str(data)!r}] + sys.argv[1:], standalone_mode=False)\n"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    )
    used = []
    for since_ms in (T0 + 1_980, T0):
        done = subprocess.run(
            [sys.executable, "-c", script, "--since", str(since_ms)], capture_output=True, text=True, check=True
        )
        used.append((done.stdout.count("\n"), int(done.stderr)))
    assert [count for count, _ in used] == [20, 2_000]
    assert used[1][1] - used[0][1] < 30_000, "kB, of 40 MB of texts"


# -- models verify --on corrections ----------------------------------------------------------------------------------


def verify(command: Run, *words: str, **env: str) -> dict[str, Any]:
    done = command("models", "verify", "--on", "corrections", "--json", *words, **env)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_figures_worked_out_by_hand(command: Run, data: Path, tmp_path: Path) -> None:
    """`signs` says positive for more `+`, negative for more `-`, neutral for more `=`, mixed for as many of both."""
    models = tmp_path / "models"
    write_model(models, name="signs")
    write_model(models, name="language", kind="language")
    texts = [
        # text, right label, right language, when; what signs/1 says of it
        ("+++", "positive", "en", SEPTEMBER),  # positive
        ("---", "negative", "de", SEPTEMBER),  # negative
        ("===", "positive", "en", OCTOBER),  # neutral: wrong
        ("+++---", "mixed", "en", OCTOBER),  # mixed: 0.49 each, and 0.02
        ("+++", "mixed", "de", NOVEMBER),  # positive: wrong
        ("+++", "positive", "sw", NOVEMBER),  # left out: it does not know the language
        ("@you", "positive", "en", NOVEMBER),  # left out: no words
        ("+" * 60, "positive", "en", NOVEMBER),  # positive, and longer than it reads
        ("+++", None, "en", NOVEMBER),  # nothing said of the label
    ]
    keep(data, *(
        correction(seen(f"{at}", text, model="signs/1" if at < 2 else "other/1"), label, lang, at_ms)
        for at, (text, label, lang, at_ms) in enumerate(texts)
    ))  # fmt: skip
    found = verify(command)
    assert found["corrections"] == 9 and found["confirm"] == 1 and found["by"] == "month"
    assert (found["from"][:7], found["to"][:7]) == ("2025-09", "2025-11")
    assert "no accuracy in general" in found["caution"]
    by_model = {each["model"]: each for each in found["models"]}
    assert list(by_model) == ["language/1", "signs/1"]
    signs = by_model["signs/1"]
    assert {name: signs[name] for name in ("posts", "judged", "right", "language_not_known", "no_text", "own")} == {
        "posts": 8, "judged": 6, "right": 4, "language_not_known": 1, "no_text": 1, "own": 2,
    }  # fmt: skip
    assert signs["cut"] == 1 and signs["enough"] is False and signs["trend"] == "too few to tell"
    assert signs["accuracy"] == 0.6667
    assert signs["interval"] == [0.3, 0.9032], "Wilson's of 4 in 6"
    assert signs["recall"] == {"mixed": 0.5, "negative": 1.0, "positive": 0.6667}
    assert signs["macro_recall"] == 0.7222
    assert {lang: (each["right"], each["judged"]) for lang, each in signs["by_language"].items()} == {
        "en": (3, 4), "de": (1, 2),
    }  # fmt: skip
    periods = [(each["period"], each["right"], each["judged"]) for each in signs["by_period"]]
    assert periods == [("2025-09", 2, 2), ("2025-10", 1, 2), ("2025-11", 1, 2)]

    weeks = verify(command, "--models", "signs", "--by", "week", "--since", str(OCTOBER))
    assert [each["model"] for each in weeks["models"]] == ["signs/1"]
    assert [each["period"] for each in weeks["models"][0]["by_period"]] == ["2025-W40", "2025-W47"]
    strict = verify(command, "signs", HEARTBEAT_MIXED_FROM="0.5")
    assert strict["models"][0]["recall"]["mixed"] == 0.0, "the rule for mixed posts is that of the settings"


def test_languages_worked_out_by_hand(command: Run, data: Path, tmp_path: Path) -> None:
    """`language` says de, en or tr for more of `d`, `e` or `t`, and und where there is none."""
    write_model(tmp_path / "models", name="language", kind="language")
    texts = [
        ("ddd", "de"),  # de
        ("eee", "de"),  # en: wrong
        ("ttt", "tr"),  # tr
        ("xxx", "sw"),  # und, which is right of a language that it does not know
        ("ddd", "sw"),  # de: wrong
        ("xxx", "und"),  # und
        ("@you", "und"),  # und, without being asked
        ("eee", None),
    ]
    keep(data, *(correction(seen(f"{at}", text), "mixed", lang) for at, (text, lang) in enumerate(texts)))
    (model,) = verify(command)["models"]
    assert (model["kind"], model["posts"], model["judged"], model["right"]) == ("language", 7, 7, 5)
    assert model["recall"] == {"de": 0.5, "tr": 1.0, "und": 0.75}
    assert model["macro_recall"] == 0.75 and model["accuracy"] == 0.7143
    assert model["by_language"]["sw"]["right"] == 1 and model["by_language"]["und"]["judged"] == 2


def test_an_encoder_says_what_it_had_to_cut(command: Run, data: Path, tmp_path: Path) -> None:
    write_encoder(tmp_path / "models")
    keep(data, correction(seen("1", "good good good"), "positive"), correction(seen("2", "good " * 40), "positive"))
    (model,) = verify(command)["models"]
    assert (model["right"], model["cut"]) == (2, 1)


def test_a_model_that_gets_worse_is_told(command: Run, data: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "models", name="signs")
    said = [correction(seen(f"o{at}", "+++"), "positive", "en", OCTOBER) for at in range(40)]
    said += [correction(seen(f"n{at}", "+++" if at < 20 else "==="), "positive", "en", NOVEMBER) for at in range(40)]
    keep(data, *said)
    (model,) = verify(command)["models"]
    assert [each["accuracy"] for each in model["by_period"]] == [1.0, 0.5] and model["trend"] == "worse"
    done = command("models", "verify", "--on", "corrections")
    assert done.code == 0 and "the newest month beside all before it: worse" in done.out
    assert "too few to tell" not in done.out and "no accuracy in general" in done.out
    assert [line.split()[:4] for line in done.out.splitlines() if line.startswith("2025-")] == [
        ["2025-10", "40", "40", "100.0"], ["2025-11", "40", "20", "50.0"],
    ]  # fmt: skip


def test_nothing_to_verify_on(command: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "models", name="signs")
    assert verify(command) == {
        "on": "corrections", "corrections": 0, "confirm": 0, "from": None, "to": None, "by": "month",
        "caution": verify(command)["caution"], "models": [],
    }  # fmt: skip
    done = command("models", "verify", "--on", "corrections")
    assert (done.code, done.out) == (0, "") and "nothing has been corrected, so" in done.err
    done = command("models", "verify", "--on", "corrections", "--since", "2100-01-01")
    assert (done.code, done.out) == (0, "") and "nothing has been corrected since 2100-01-01T00:00:00" in done.err


def test_a_model_that_cannot_be_used_is_told(command: Run, data: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, name="signs")
    write_model(models, name="broken")
    (models / "broken" / "1" / "model.onnx").write_bytes(b"no graph")
    keep(data, correction(seen("1", "+++")))
    done = command("models", "verify", "--on", "corrections", "--json")
    assert done.code == 1 and "broken/1 is damaged" in done.err
    assert [each["model"] for each in json.loads(done.out)["models"]] == ["signs/1"]


@pytest.mark.parametrize("words", [("--json",), ("--since", "2025-01-01"), ("--by", "week"), ("--on", "fire")])
def test_wrong_words(command: Run, words: tuple[str, ...]) -> None:
    assert command("models", "verify", *words).code == 2
