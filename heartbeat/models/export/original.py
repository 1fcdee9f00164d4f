"""The original, read and run as the `transformers` library does it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.models.export.errors import ExportFailed, first_line
from heartbeat.models.export.labels import in_order
from heartbeat.models.export.source import Source

TYPES: Final = ("bert", "distilbert", "roberta", "xlm-roberta")
_TOKENIZERS: Final = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("sentencepiece.bpe.model",))
_DEFAULT_TOKENS: Final = 128
_NO_LIMIT: Final = 1_000_000
"""Tokenizers without a limit of their own carry a number far above this."""


class Original:
    """A sequence classifier and its tokenizer.

    Args:
        source: its files.
        labels: what its outputs mean, where its own names for them do not say it.
        max_tokens: longest text in tokens; None for 128, or what the model can take if that is less.

    Attributes:
        model: the PyTorch module, in evaluation mode, in 32-bit floats on the CPU.
        type: what kind of encoder it is, such as `roberta`.
        labels: what each column of the output means.
        max_tokens, pad_id: of the tokenizer.

    Raises:
        ExportFailed: it is no model that can be exported, its weights are not whole, or it has no fast tokenizer.
    """

    def __init__(self, source: Source, labels: Sequence[str] = (), max_tokens: int | None = None) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        config = _config(source, transformers)
        self.type: str = config.model_type
        self.labels = in_order({int(column): str(name) for column, name in config.id2label.items()}, labels)
        self._tokenizer = _tokenizer(source, transformers)
        self.model = _model(source, config, transformers)
        most = self._longest(config)
        if max_tokens is not None and not 8 <= max_tokens <= most:
            raise ExportFailed(f"MAX_TOKENS={max_tokens}: {source.name} takes 8 to {most}")
        self.max_tokens = min(max_tokens or _DEFAULT_TOKENS, most)
        self.pad_id = int(self._tokenizer.pad_token_id or 0)

    def tokenizer_json(self) -> str:
        """The tokenizer in the format of the `tokenizers` library."""
        return str(self._tokenizer.backend_tokenizer.to_str())

    def ids(self, text: str) -> list[int]:
        """A prepared text's tokens, special ones included, cut to `max_tokens`."""
        return list(self._tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"])

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [N, K] for prepared texts, scored one by one."""
        import torch

        rows = []
        with torch.inference_mode():
            for text in texts:
                given = self._tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")
                rows.append(torch.softmax(self.model(**given).logits.float(), -1)[0].numpy())
        return np.stack(rows)

    def _longest(self, config: Any) -> int:
        positions = int(getattr(config, "max_position_embeddings", 512))
        if self.type in ("roberta", "xlm-roberta"):  # whose positions are counted from behind the padding's number
            positions -= int(config.pad_token_id) + 1
        own = int(self._tokenizer.model_max_length)
        return min(positions, own) if own < _NO_LIMIT else positions


def _config(source: Source, transformers: Any) -> Any:
    try:
        config = transformers.AutoConfig.from_pretrained(source.folder)
    except Exception as error:  # the library raises whatever its parts raise
        raise ExportFailed(f"{source.name}: its config.json cannot be read: {first_line(error)}") from error
    if config.model_type not in TYPES:
        raise ExportFailed(
            f"{source.name} is a {config.model_type} model; what can be exported is {', '.join(TYPES[:-1])} and "
            f"{TYPES[-1]}: choose another model"
        )
    built = ", ".join(config.architectures or ()) or "nothing"
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        raise ExportFailed(
            f"{source.name} is no sequence classifier (its config.json says {built}): it was not trained to tell "
            "sentiments apart; choose a model that was"
        )
    if config.problem_type in ("regression", "multi_label_classification"):
        raise ExportFailed(
            f"{source.name} does {config.problem_type.replace('_', ' ')}: its outputs are no probabilities of which "
            "exactly one holds; choose another model"
        )
    return config


def _tokenizer(source: Source, transformers: Any) -> Any:
    if not any(all((source.folder / file).is_file() for file in files) for files in _TOKENIZERS):
        wanted = " or ".join(" with ".join(files) for files in _TOKENIZERS)
        raise ExportFailed(
            f"{source.name} has no tokenizer ({wanted}): copy the files of the model that it was trained from into a "
            "copy of its folder, and name that"
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.folder, use_fast=True)
    except Exception as error:  # the library raises whatever its parts raise
        raise ExportFailed(f"{source.name}: its tokenizer cannot be loaded: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ExportFailed(
            f"{source.name} has a slow tokenizer only ({type(tokenizer).__name__}, written in Python), which cannot be "
            "run without transformers: choose a model that has a tokenizer.json"
        )
    return tokenizer


def _model(source: Source, config: Any, transformers: Any) -> Any:
    import torch

    try:
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            source.folder,
            config=config,
            torch_dtype=torch.float32,
            output_loading_info=True,
            attn_implementation="eager",
            use_safetensors=any(Path(source.folder).glob("*.safetensors")),
        )
    except Exception as error:  # the library raises whatever its parts raise
        raise ExportFailed(
            f"{source.name}: its weights cannot be loaded: {first_line(error)}; fetch its files anew"
        ) from error
    if lacking := sorted(report["missing_keys"]):
        raise ExportFailed(
            f"{source.name}: its weights lack {', '.join(lacking[:3])}{' …' if lacking[3:] else ''}, which would be "
            "made up at random; it is not a whole, trained classifier: choose another model"
        )
    return model.eval()
