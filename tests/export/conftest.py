"""What tests with the real toolchain need: its Python, which is another than the one that runs the tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "HEARTBEAT_EXPORT_PYTHON"
DEMO = ROOT / "heartbeat" / "feeds" / "demo.jsonl"


class Toolchain:
    """The export environment, called as a user calls it.

    Attributes:
        originals: folders of small models with random weights, by name.
    """

    def __init__(self, python: Path, originals: Path) -> None:
        self._python, self.originals = python, originals

    def call(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment(**environment), text=True, capture_output=True
        )

    def command(self, *arguments: object) -> list[str]:
        return [str(self._python), *map(str, arguments)]

    def environment(self, **more: str) -> dict[str, str]:
        """Without a network, as everything else in the tests."""
        # one thread: small models are computed faster than threads are woken, above all on a busy machine
        return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more}

    def export(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.call("-m", "heartbeat.models.export", *arguments, **environment)

    def ask_original(self, model: Path, texts: Sequence[str], max_tokens: int) -> dict[str, Any]:
        """What transformers says: `ids` and `probabilities` of each text, and `versions`."""
        asked = json.dumps({"model": str(model), "texts": list(texts), "max_tokens": max_tokens})
        done = subprocess.run(
            self.command(Path(__file__).with_name("ask_original.py")),
            env=self.environment(),
            input=asked,
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    python = Path(os.environ.get(VARIABLE) or ROOT / ".venv-export" / "bin" / "python")
    if not python.is_file():
        pytest.skip(f"no export environment at {python}: `make test-export` makes it (6 GB), or {VARIABLE} names one")
    toolchain = Toolchain(python, tmp_path_factory.mktemp("originals"))
    done = toolchain.call(Path(__file__).with_name("make_originals.py"), DEMO, toolchain.originals)
    assert done.returncode == 0, done.stderr
    return toolchain
