"""Lets other models take over while a worker runs.

The settings are read again, when somebody asks for it or the file has changed; what they name anew is loaded beside
what is in use, off the event loop, and tried on sample posts; then it takes over, between one batch and the next. If
anything is wrong with it, everything stays as it was and the health board says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heartbeat import settings as _settings
from heartbeat.errors import ConfigError, HeartbeatError
from heartbeat.health import HealthBoard, State
from heartbeat.models.configured import ConfiguredModels
from heartbeat.models.trial import Said, Sample, check, said_by
from heartbeat.settings import Settings

if TYPE_CHECKING:
    from heartbeat.models.chosen import Chosen

logger = logging.getLogger(__name__)

PART: Final = "models/choice"
SWAPPED: Final = (
    "language_model",
    "sentiment_model",
    "sentiment_fast_model",
    "sentiment_by_lang",
    "sentiment_by_task",
    "sentiment_least_recall",
    "mixed_from",
    "mixed_neutral_to",
)
"""The settings that a running worker follows."""
_CORRECT: Final = "correct the file; until then the models in use stay"
_REMEDY: Final = (
    "name another model (`heartbeat models use`); `heartbeat models verify` and `compare` say more of this one, and a "
    "restarted worker takes it untried"
)

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reading of the settings.

    Attributes:
        changed: the settings that are followed now and were not before; `models` for models that are new alone.
        refused: why everything stays as it was; empty if nothing is wrong.
        remedy: what to do about it.
    """

    changed: tuple[str, ...] = ()
    refused: str = ""
    remedy: str = ""


class ModelSwap:
    """Follows the settings of models.

    Args:
        models: what is in use.
        board: is told what is refused, and why.
        samples: posts to try new models on.
        took_over: is told the settings that are followed from now on.
    """

    def __init__(
        self,
        models: ConfiguredModels,
        board: HealthBoard,
        *,
        samples: Sequence[Sample],
        took_over: Callable[[Settings], None] = lambda _: None,
    ) -> None:
        self._models, self._board, self._samples, self._took_over = models, board, samples, took_over
        self.file = models.settings.config_dir / "heartbeat.yaml"
        self._seen: Stamp | None = None
        self._followed: Stamp | None | str = "never"  # so that a change since the start is not missed
        self._to_restart: dict[str, object] = {}

    async def look(self) -> None:
        """Follow the file if it has changed, and is the same at two looks: an editor may be in the middle of it."""
        stamp = self._stamp()
        settled, self._seen = stamp == self._seen, stamp
        if settled and stamp != self._followed:
            await self.follow()

    async def follow(self) -> Outcome:
        """Read the settings again and have the models that they name take over, if they are fit to."""
        async with self._models.changing:
            self._followed = self._stamp()
            try:
                read = _settings.load(self._models.settings.config_dir)
            except ConfigError as error:
                return self._refuse(str(error), _CORRECT)
            self._tell_of_restart(read)
            before = self._models.settings
            wanted = before.model_copy(update={name: getattr(read, name) for name in SWAPPED})
            try:
                chosen = await self._prepare(wanted)
            except HeartbeatError as error:
                return self._refuse(str(error), _REMEDY)
            except Exception as error:  # whatever a model's files make libraries raise, those in use go on
                logger.exception("models: what the settings name cannot be loaded")
                return self._refuse(f"{type(error).__name__} while models were loaded (the log says more)", _REMEDY)
            changed = tuple(name for name in SWAPPED if getattr(wanted, name) != getattr(before, name))
            if chosen.models.keys() != self._models.chosen.models.keys():
                changed = changed or ("models",)
            if changed:
                self._models.take_over(chosen)
                self._took_over(wanted)
                references = ", ".join(sorted(model.reference for model in chosen.models.values()))
                logger.info("models in use are now: %s (changed: %s)", references, ", ".join(changed))
            if self._board.get(PART) is not None:
                self._board.report(PART, State.OK)
            return Outcome(changed)

    async def _prepare(self, wanted: Settings) -> Chosen:
        from heartbeat.models.chosen import Chosen

        chosen = await asyncio.to_thread(Chosen.load, wanted, self._models.loaded)
        if chosen.new:
            try:
                said = await said_by(self._models.chosen, self._samples)
                await asyncio.to_thread(_try, chosen, self._samples, said)
            except BaseException:
                await chosen.drop()
                raise
        return chosen

    def _refuse(self, why: str, remedy: str) -> Outcome:
        status = self._board.get(PART)
        if status is not None and status.state is State.WAITING:  # the board logs only what changes the state
            logger.warning("%s still waits: %s", PART, why)
        self._board.report(PART, State.WAITING, why, remedy)
        return Outcome(refused=why, remedy=remedy)

    def _tell_of_restart(self, read: Settings) -> None:
        now = self._models.settings
        others = {
            name: getattr(read, name)
            for name in Settings.model_fields
            if name not in SWAPPED and getattr(read, name) != getattr(now, name)
        }
        if others and others != self._to_restart:
            logger.warning("%s: %s: changed, but read at start alone; restart the worker", self.file, ", ".join(others))
        self._to_restart = others

    def _stamp(self) -> Stamp | None:
        try:
            stat = self.file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _try(chosen: Chosen, samples: Sequence[Sample], said: Said) -> None:
    """In a thread, with an event loop of its own: the models answer the worker's only once this one has ended."""
    asyncio.run(check(chosen, samples, said))
