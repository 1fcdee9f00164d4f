"""The models that the settings name, loaded when they are needed: an app can be built, and listed, without them.

Others may take over while requests come and go. A batch asks with the references that it was given when it began, so
the models of before stay until nobody has asked them for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from heartbeat.errors import Retry
from heartbeat.models.api import LanguageGuess, Sentiment

if TYPE_CHECKING:
    from heartbeat.models.api import SentimentModel
    from heartbeat.models.chosen import Chosen, Key
    from heartbeat.settings import Settings

KEEP_S: Final = 5.0
"""How long models stay after their last request, once others have taken over. An agent asks one round of the event loop
after it was given a reference; this is for slower callers."""


class _Serving:
    """Models, and how many requests they owe an answer."""

    def __init__(self, chosen: Chosen) -> None:
        self.chosen, self.owed, self.last_s = chosen, 0, time.monotonic()

    @contextmanager
    def asked(self) -> Iterator[Chosen]:
        self.owed += 1
        try:
            yield self.chosen
        finally:
            self.owed -= 1
            self.last_s = time.monotonic()


class ConfiguredModels:
    """A `LanguageIdentifier` and a `SentimentScorer`; `load` comes before anything is asked of them.

    Args:
        settings: name the models.
        keep_s: how long models that others have taken over from stay after their last request.
        inferred: told of each inference: the model (NAME/VERSION), how many posts, how many seconds.

    Attributes:
        changing: held by who prepares other models, so that none of those there are is let go meanwhile.
    """

    def __init__(
        self, settings: Settings, *, keep_s: float = KEEP_S, inferred: Callable[[str, int, float], None] | None = None
    ) -> None:
        self._settings, self._keep_s, self._inferred = settings, keep_s, inferred
        self._now: _Serving | None = None
        self._before: list[_Serving] = []
        self._let_go: set[str] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self.changing = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """The settings whose models are asked now."""
        return self._settings

    @property
    def chosen(self) -> Chosen:
        """What is asked now."""
        return self._serving.chosen

    @property
    def loaded(self) -> dict[Key, SentimentModel]:
        """Every model that is there, those that have been taken over from included."""
        serving = self._before if self._now is None else [*self._before, self._now]
        return {key: model for each in serving for key, model in each.chosen.models.items()}

    def load(self) -> None:
        """Load every model that the settings name.

        Raises:
            ModelError: one is missing, damaged or unfit.
        """
        from heartbeat.models.chosen import Chosen

        self._now = _Serving(self._observed(Chosen.load(self._settings)))

    def take_over(self, chosen: Chosen) -> None:
        """Ask these from now on; requests by older references are still answered. Who calls holds `changing`."""
        before, self._now, self._settings = self._serving, _Serving(self._observed(chosen)), chosen.settings
        self._before.append(before)
        before.last_s = time.monotonic()
        task = asyncio.get_running_loop().create_task(self._retire(before), name="models retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def identify(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """See `api.LanguageIdentifier`."""
        with self._serving.asked() as chosen:
            return await chosen.language.identify(texts)

    def model_for(self, task: str, lang: str) -> str | None:
        """See `api.SentimentScorer`."""
        return self._serving.chosen.sentiment.model_for(task, lang)

    def fast_model_for(self, task: str, lang: str) -> str | None:
        """See `api.SentimentScorer`."""
        return self._serving.chosen.sentiment.fast_model_for(task, lang)

    async def score(self, model: str | None, texts: Sequence[str], langs: Sequence[str]) -> list[Sentiment]:
        """See `api.SentimentScorer`.

        Raises:
            Retry: the model has been let go since its reference was given; asked anew, there is another.
        """
        with self._knowing(model).asked() as chosen:
            return await chosen.sentiment.score(model, texts, langs)

    async def close(self) -> None:
        """Let the models go; a second call, or one before `load`, does nothing."""
        retiring = [*self._retiring]
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        models = self.loaded
        self._before.clear()
        for model in models.values():
            await model.close()

    @property
    def _serving(self) -> _Serving:
        if self._now is None:
            raise RuntimeError("the models have not been loaded; call load() first")
        return self._now

    def _observed(self, chosen: Chosen) -> Chosen:
        if self._inferred is not None:
            for model in chosen.models.values():
                model.observe(partial(self._inferred, model.reference))
        return chosen

    def _knowing(self, model: str | None) -> _Serving:
        now = self._serving
        if model is None or model in now.chosen.scoring:
            return now
        for before in reversed(self._before):
            if model in before.chosen.scoring:
                return before
        if model in self._let_go:
            raise Retry(f"model {model} is not loaded any more: others have taken over")
        return now  # which says that it never heard of it

    async def _retire(self, serving: _Serving) -> None:
        while serving.owed or time.monotonic() - serving.last_s < self._keep_s:
            await asyncio.sleep(max(self._keep_s / 4, 0.01))
        async with self.changing:
            self._before.remove(serving)  # from here on it is asked nothing more
            self._let_go |= serving.chosen.scoring
            kept = self.loaded
            for key, model in serving.chosen.models.items():
                if key not in kept:
                    await model.close()
