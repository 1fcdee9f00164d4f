"""Query parameters: read strictly, refused with a reason that says what would be right."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn

from aiohttp import web

from heartbeat.web.problems import problem

EARLIEST_MS: Final = -62_135_596_800_000
LATEST_MS: Final = 253_402_300_799_999
_SPACE_FOR_PLUS: Final = re.compile(r" (\d\d:\d\d)$")


class Params:
    """The query of one request, in which only the named parameters may stand, each once."""

    def __init__(self, request: web.Request, known: Sequence[str], *, repeated: Collection[str] = ()) -> None:
        self._query = request.query
        for name in self._query:
            if name not in known:
                self._refuse(f"there is no parameter {_shown(name)} here", f"known are: {', '.join(known) or 'none'}")
            if name not in repeated and len(self._query.getall(name)) > 1:
                self._refuse(f"{name} stands more than once", f"give {name} once")

    def _refuse(self, reason: str, hint: str) -> NoReturn:
        raise problem(web.HTTPBadRequest, reason, hint)

    def text(self, name: str) -> str | None:
        """The value, or None where it is missing or empty."""
        return self._query.get(name) or None

    def texts(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return self._query.getall(name, [])

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number within [least, most]."""
        text = self.text(name)
        if text is None:
            return default
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            self._refuse(f"{name}={_shown(text)} is no whole number", f"give {least} to {most}, such as {default}")
        if not least <= int(text) <= most:
            self._refuse(f"{name}={int(text)} is out of range", f"give {least} to {most}")
        return int(text)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of some words; the first is the default."""
        text = self.text(name) or choices[0]
        if text not in choices:
            self._refuse(f"{name}={_shown(text)} is not known", f"known are: {', '.join(choices)}")
        return text

    def time_ms(self, name: str) -> int | None:
        """A moment: RFC 3339, or milliseconds since the epoch."""
        text = self.text(name)
        if text is None:
            return None
        hint = f"give RFC 3339 with an offset, such as {name}=2025-03-01T12:00:00Z, or milliseconds since the epoch"
        if re.fullmatch(r"-?[0-9]{1,15}", text):
            moment = int(text)
        else:
            try:
                parsed = datetime.fromisoformat(_SPACE_FOR_PLUS.sub(r"+\1", text))
            except ValueError:
                self._refuse(f"{name}={_shown(text)} is no time", hint)
            if parsed.tzinfo is None:
                self._refuse(f"{name}={_shown(text)} does not say its offset from UTC", hint)
            moment = round((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        if not EARLIEST_MS <= moment <= LATEST_MS:
            self._refuse(f"{name}={_shown(text)} is outside the years 1 to 9999", hint)
        return moment


def _shown(text: str) -> str:
    """A stranger's text, made short and harmless for an error message."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in text[:60])
    return f"{printable!r}" + ("…" if len(text) > 60 else "")
