"""Waiting for the stream ends where somebody has to mend it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat.app import station
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.errors import HeartbeatError
from heartbeat.health import State
from heartbeat.settings import load
from heartbeat.settling import settled


async def test_an_agent_that_has_stopped_is_not_waited_for(tmp_path: Path) -> None:
    parts = station(load().model_copy(update={"data_dir": tmp_path, "sentiment_model": "sentiment-fast"}))
    log = parts.open()
    parts.engine(log)
    await log.write(UnitWrite([Append("ingest", 0, b"k", b"v")]))
    parts.board.report("agent/language", State.FAILED, "20 messages in a row failed", "find out why")
    with pytest.raises(HeartbeatError, match="language has stopped.*20 messages in a row failed.*find out why.*again"):
        await settled(parts, log, agents=["language"], unless_failed=True)
    await settled(parts, log, agents=["pulse"], unless_failed=True)  # which has nothing to do
    log.close()
    await parts.close()
