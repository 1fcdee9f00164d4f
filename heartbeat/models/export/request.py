"""What an export is asked for, checked before anything is fetched or computed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from heartbeat.models.card import CARD
from heartbeat.models.export.errors import ExportFailed

Quantize = Literal["weights", "dynamic", "static", "none"]
Wording = Literal["tweets", "tweets-words", "plain"]

AGREEMENT: Final = 0.993
"""The share of posts that have to get the label that the original gives them."""

_HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Request:
    """One export.

    Attributes:
        model: a name on the Hugging Face hub, or a local folder.
        models_dir: the catalogue that the new model goes into.
        name, version: what it is called there; an empty name is taken from `model`.
        quantize: `weights` (8 bits, scaled in small blocks), `dynamic` (8 bits, activations scaled post by post),
            `static` (8 bits, activations scaled as calibrated), `none` (32-bit floats).
        posts: file of texts to calibrate on and to compare; None for the demo's.
        languages: ISO 639-1; empty to take them from the model's own description.
        licence: empty to take it from there too.
        labels: what the output's columns mean, in order; empty where the model's own names say it.
        wording: `tweets` makes mentions `@user` and links `http` before tokenising, `tweets-words` spells emoji too.
        max_tokens: longest post, special tokens included; None for 128 or what the model can take.
        max_chars: characters of a prepared text that are tokenised.
        revision: of a model on the hub; None for its newest.
        research_only: whether the licence of what it learned from forbids commercial use.
        agreement: the least share of posts with the label of the original.
        force: replace a model of this name and version.
    """

    model: str
    models_dir: Path
    name: str = ""
    version: str = "1"
    quantize: Quantize = "weights"
    posts: Path | None = None
    languages: tuple[str, ...] = ()
    licence: str = ""
    labels: tuple[str, ...] = ()
    wording: Wording = "tweets"
    max_tokens: int | None = None
    max_chars: int = 4000
    revision: str | None = None
    research_only: bool = False
    agreement: float = AGREEMENT
    force: bool = False

    @property
    def reference(self) -> str:
        """NAME/VERSION."""
        return f"{self.name}/{self.version}"

    @property
    def target(self) -> Path:
        """The folder that the model will be in."""
        return self.models_dir / self.name / self.version

    @property
    def local(self) -> Path | None:
        """The folder that `model` names, or None if it is a name on the hub."""
        folder = Path(self.model).expanduser()
        return folder if self.model and folder.is_dir() else None


def checked(request: Request) -> Request:
    """The request with its name filled in.

    Raises:
        ExportFailed: it cannot be carried out as it is; says what to change.
    """
    if not request.model:
        raise ExportFailed("MODEL= is missing: name a model on the Hugging Face hub (OWNER/NAME), or a local folder")
    if request.local is None and (Path(request.model).is_absolute() or not _HUB.fullmatch(request.model)):
        raise ExportFailed(
            f"MODEL={request.model}: there is no such folder, and it is no name on the hub either (OWNER/NAME); "
            "correct the path or the name"
        )
    if not request.name:
        folder = request.local.resolve().name if request.local else request.model.rpartition("/")[2]
        request = replace(request, name=re.sub(r"[^A-Za-z0-9._-]", "-", folder).lstrip("._-"))
    for what, value in (("NAME", request.name), ("VERSION", request.version)):
        if not _NAME.fullmatch(value):
            raise ExportFailed(f"{what}={value}: has to begin with a letter or digit and go on with these and . _ -")
    for language in request.languages:
        if not _LANGUAGE.fullmatch(language):
            raise ExportFailed(
                f"LANGUAGES={','.join(request.languages)}: {language!r} is no ISO 639-1 code, such as en; list the "
                "languages that the model was trained for"
            )
    if (request.target / CARD).exists() and not request.force:
        raise ExportFailed(
            f"there is a model {request.reference} in {request.models_dir} already; choose another NAME= or VERSION=, "
            "or say FORCE=1 to replace it"
        )
    return request
