"""Where the original comes from: a local folder, or one that is fetched from the Hugging Face hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from heartbeat.models.export.errors import ExportFailed, first_line
from heartbeat.models.export.request import Request

_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")
"""The first of these that there is gets read; weights of other frameworks are not."""

_NO_WEIGHTS: Final = (".safetensors", ".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt", ".pth", ".gguf", ".tflite")
_SMALL: Final = 30_000_000
"""Bytes: vocabularies and tokenizers are smaller, what is larger is weights."""

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Source:
    """The original's files.

    Attributes:
        folder: where they are.
        name: for people: the hub's name, or the local folder's.
        address: for `model.yaml`: never a path of this machine.
        licence, languages: as its README says; empty where it does not.
        size: of the weights, in bytes.
    """

    folder: Path
    name: str
    address: str
    licence: str
    languages: tuple[str, ...]
    size: int


def find(request: Request) -> Source:
    """The original's files, fetched if they are on the hub and not yet in its cache.

    Raises:
        ExportFailed: they cannot be had, or something is missing among them.
    """
    if request.local is not None:
        folder = request.local.resolve()
        name, address = folder.name, f"a local folder, {folder.name}"
    else:
        folder = _fetched(request.model, request.revision)
        # the cache names the folder by the commit, so that the very files can be found again
        name, address = request.model, f"https://huggingface.co/{request.model}/tree/{folder.name}"
    if not (folder / "config.json").is_file():
        raise ExportFailed(f"MODEL={request.model}: has no config.json, so it is no model of the transformers library")
    weights = next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), None)
    if weights is None:
        raise ExportFailed(
            f"MODEL={request.model}: has no PyTorch weights (model.safetensors or pytorch_model.bin); weights of "
            "TensorFlow or Flax alone cannot be exported: convert them first, or choose another model"
        )
    described = _description(folder / "README.md")
    licence = described.get("license")
    spoken = described.get("language")
    spoken = [spoken] if isinstance(spoken, str) else spoken if isinstance(spoken, list) else []
    return Source(
        folder,
        name,
        address,
        licence if isinstance(licence, str) else "",
        tuple(code for code in spoken if isinstance(code, str) and _LANGUAGE.fullmatch(code)),
        sum(file.stat().st_size for file in weights),
    )


def _description(readme: Path) -> dict[str, Any]:
    """What stands in the head of a model's README; nothing if there is none, or it cannot be read."""
    try:
        found = re.match(r"---\r?\n(.*?)\r?\n---\s", readme.read_text(encoding="utf-8"), re.DOTALL)
        head = yaml.safe_load(found[1]) if found else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return head if isinstance(head, dict) else {}


def _fetched(name: str, revision: str | None) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        patterns = _wanted(name, revision)
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except GatedRepoError:
        raise ExportFailed(
            f"MODEL={name}: its owner wants its terms accepted first: do that on https://huggingface.co/{name}, then "
            "log in with `huggingface-cli login`"
        ) from None
    except RevisionNotFoundError:
        raise ExportFailed(f"MODEL={name}: has no revision {revision!r}; leave REVISION= out for the newest") from None
    except RepositoryNotFoundError:
        raise ExportFailed(
            f"MODEL={name}: there is no such model on the Hugging Face hub, nor a folder of this name here; correct "
            "the name, or log in with `huggingface-cli login` if it is a private one"
        ) from None
    except LocalEntryNotFoundError:
        raise ExportFailed(_unreachable(name)) from None
    except HfHubHTTPError as error:
        raise ExportFailed(
            f"MODEL={name}: the Hugging Face hub refused: {first_line(error)}; try again later"
        ) from None
    except OSError as error:  # of requests: no name server, no route, no answer, a proxy that refuses
        if error.errno is not None:
            raise
        raise ExportFailed(_unreachable(name)) from None


def _wanted(name: str, revision: str | None) -> list[str]:
    """Patterns of the files to fetch: one set of weights, and what is small."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        there = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
    except HfHubHTTPError:
        raise
    except (OSError, OfflineModeIsEnabled):
        # without a network the cache may still hold what an earlier export fetched
        folder = Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True))
        return [file.name for file in folder.iterdir()]
    files = {file.rfilename: file.size or 0 for file in there if "/" not in file.rfilename}
    weights: list[str] = []
    for pattern in _WEIGHTS:
        stem, ending = pattern.split("*")
        if weights := [file for file in files if file.startswith(stem) and file.endswith(ending)]:
            break
    return weights + [file for file, size in files.items() if size <= _SMALL and not file.endswith(_NO_WEIGHTS)]


def _unreachable(name: str) -> str:
    return (
        f"MODEL={name}: the Hugging Face hub cannot be reached, and there is no folder of this name here; connect to "
        "the network, or fetch the model's files elsewhere and name their folder"
    )
