"""Models: which there are, how they are run, and what they say of a text.

`api` is what the rest of Heartbeat knows: `LanguageIdentifier` and `SentimentScorer`. `load_models` makes both from the
settings; ONNX Runtime is imported only then, so that what needs no model starts fast.

- `card` is what a model says of itself (docs/model-yaml.md); `catalogue` finds models, and holds their files against it
- `text` prepares texts, the same way as in training; `ngram` runs a model of the character n-gram family
- `batching` merges requests; `runtime` runs a graph off the event loop
- `language`, `sentiment` are the two uses; `choices` says which sentiment model scores what
- `configured` is what agents ask; `chosen`, `trial` and `swap` let other models take over while they do
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartbeat.models.language import NgramLanguageIdentifier
    from heartbeat.models.sentiment import ConfiguredScorer
    from heartbeat.settings import Settings

__all__ = ["load_identifier", "load_models", "load_scorer"]


def load_models(settings: Settings) -> tuple[NgramLanguageIdentifier, ConfiguredScorer]:
    """Load every model that the settings name, each once. Close both when done.

    Raises:
        ModelMissing: a model that is named is not in the catalogue.
        ModelDamaged: a file is not what it was.
        ModelUnfit: a model is not fit for what it is named for.
    """
    return load_identifier(settings), load_scorer(settings)


def load_identifier(settings: Settings) -> NgramLanguageIdentifier:
    """Load the language model alone; raises as `load_models` does."""
    from heartbeat.models.catalogue import Catalogue
    from heartbeat.models.language import NgramLanguageIdentifier
    from heartbeat.models.ngram import NgramModel

    catalogue = Catalogue(settings.models_dir)
    return NgramLanguageIdentifier(NgramModel.load(catalogue.find(settings.language_model), kind="language"))


def load_scorer(settings: Settings) -> ConfiguredScorer:
    """Load the sentiment models alone; raises as `load_models` does."""
    from heartbeat.models.sentiment import ConfiguredScorer

    return ConfiguredScorer.from_settings(settings)
