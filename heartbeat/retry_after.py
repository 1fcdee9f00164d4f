"""HTTP's `Retry-After` (RFC 9110): how long the other side wants to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str] | None, now: datetime, *, most_s: float) -> float | None:
    """What an answer's headers ask for in seconds, `most_s` at most; None where they say nothing that can be read."""
    header = (headers or {}).get("Retry-After")
    if header is None:
        return None
    try:
        wait_s = float(header) if header.strip().isdigit() else (parsedate_to_datetime(header) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait_s, 0.0), most_s)
