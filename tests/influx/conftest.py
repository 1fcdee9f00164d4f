from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.influx.server import BUCKET, ORG, Influxd


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """One server for all tests that leave it as it is."""
    server = Influxd(tmp_path_factory.mktemp("influxd"))
    server.start()
    server.set_up()
    yield server
    server.stop()


@pytest.fixture
def influxd(shared: Influxd) -> Influxd:
    """The shared server with an empty bucket."""
    for bucket in shared.ask("GET", "/api/v2/buckets?limit=100")["buckets"]:
        if bucket["type"] == "user":
            shared.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")
            org = bucket["orgID"]
    orgs = shared.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"]
    org = orgs[0]["id"]
    shared.ask("POST", "/api/v2/buckets", {"orgID": org, "name": BUCKET, "retentionRules": []})
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Influxd]:
    """A server for one test alone, started and set up."""
    server = Influxd(tmp_path / "influxd")
    server.start()
    server.set_up()
    yield server
    server.stop()
