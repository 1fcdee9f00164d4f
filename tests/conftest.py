"""What holds for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from heartbeat.settings import PREFIX


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long runs come first: begun last, they would go on alone when all other tests are done."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """What only the garbage collector would close fails the last test at the latest.

    Side by side, processes of tests are not listened to any more when they end.
    """
    yield
    for _ in range(5):  # what is freed may set more free
        gc.collect()


@pytest.fixture(autouse=True)
def settings_stay() -> Iterator[None]:
    """Commands put `--data-dir` into the environment of their process: run inside a test's, it must not outlive it."""
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    yield
    for name in [name for name in os.environ if name.startswith(PREFIX) and name not in before]:
        del os.environ[name]
    os.environ.update(before)
