"""Tests of models read no settings but their own."""

from __future__ import annotations

import os

import pytest

from heartbeat.settings import PREFIX


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
