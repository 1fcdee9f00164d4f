"""Languages as feeds and people name them (`en-US`, `no`, `iw`, `eng`), as the codes used here."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from heartbeat.tasks.loading import LANGUAGES

_ALIASES: Final = {
    **{"no": "nb", "iw": "he", "in": "id"},
    **{"ara": "ar", "baq": "eu", "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "dan": "da", "deu": "de"},
    **{"dut": "nl", "eng": "en", "est": "et", "eus": "eu", "fas": "fa", "fin": "fi", "fra": "fr", "fre": "fr"},
    **{"ger": "de", "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja"},
    **{"kaz": "kk", "kor": "ko", "lit": "lt", "may": "ms", "msa": "ms", "nld": "nl", "nob": "nb", "nor": "nb"},
    **{"per": "fa", "pes": "fa", "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk"},
    **{"slo": "sk", "slv": "sl", "spa": "es", "srp": "sr", "swe": "sv", "tur": "tr", "ukr": "uk", "vie": "vi"},
    **{"zsm": "ms"},
}
"""Codes that ISO 639-1 has given up, and the three-letter codes."""

_TOLD: Final = LANGUAGES - {"und"}


@lru_cache(maxsize=1024)
def language_of(hint: str) -> str | None:
    """The language that a hint names (a BCP 47 tag or an ISO 639 code, in any case), or None if it names none."""
    code = hint.strip().replace("_", "-").split("-", 1)[0].lower()
    code = _ALIASES.get(code, code)
    return code if code in _TOLD else None
