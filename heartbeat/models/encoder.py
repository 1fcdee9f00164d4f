"""A model of the family `encoder`: a transformer that reads tokens, ready to be asked.

Each post is a run of its own. Padding would cost as much as text does; and in many int8 models the activations of a
whole run share one scale, so that a post's score would depend on its neighbours. Alone it costs little more than in
groups (docs/models.md). Lanes keep as many cores busy as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ModelUnfit
from heartbeat.models.api import Judgement
from heartbeat.models.batching import Limits, MicroBatcher, Rows
from heartbeat.models.encoder_text import normalise
from heartbeat.models.ngram import PROBES, check_answers
from heartbeat.models.runtime import Graph
from heartbeat.models.text import prepare

if TYPE_CHECKING:
    from heartbeat.models.card import Card
    from heartbeat.models.catalogue import Entry

TURN: Final = Limits(full_items=32, max_items=32)
"""A turn is short, so that a lone post does not wait for long and a worker that has to stop need not either."""


class EncoderModel:
    """Gives texts their labels' probabilities.

    Attributes:
        card: what `model.yaml` says.
        reference: NAME/VERSION.
    """

    def __init__(self, entry: Entry, graph: Graph, tokenizer: Any) -> None:
        self.card: Card = entry.card
        self.reference = entry.reference
        self._graph, self._tokenizer = graph, tokenizer
        self._wording, self._max_chars = entry.card.wording, entry.card.max_chars
        # The last column says whether a text was cut: it is known only in the lane.
        self._batcher = MicroBatcher(self._infer, length=len, columns=len(self.card.labels) + 1, limits=TURN)

    @classmethod
    def load(cls, entry: Entry, *, lanes: int = 1) -> EncoderModel:
        """Verify a model's files, load it and try it.

        Args:
            entry: its place in the catalogue.
            lanes: how many posts are scored side by side.

        Raises:
            ModelDamaged: a file is not what it was.
            ModelUnfit: it does not do what its card says.
        """
        entry.verify()
        graph = Graph(entry, lanes=lanes)
        try:
            model = cls(entry, graph, _tokenizer(entry))
            try:
                rows = np.concatenate([model._row(text)[None] for text in PROBES])
            except Exception as error:  # neither ONNX Runtime's nor the tokenizer's have a type of their own
                raise ModelUnfit(
                    f"model {entry.reference} cannot be used: it fails on a trial text: {error}"
                ) from error
            check_answers(entry, rows[:, :-1])
            model._try_longest()
        except BaseException:
            graph.close()
            raise
        return model

    def prepare(self, texts: Sequence[str]) -> list[str]:
        """Texts as the tokenizer reads them; nothing is left of one that has no words of its own.

        One character more than the model's most is kept, to tell a text that is cut from one that just fits.
        """
        most = self._max_chars + 1
        return [self._worded(whole(text))[:most] for text in texts]

    def _worded(self, text: str) -> str:
        own = prepare(text)
        if not own or own.isspace():
            return ""
        if self._wording == "plain":
            return text
        return normalise(text, spell_emoji=self._wording == "tweets-words")

    async def judge(self, prepared: Sequence[str]) -> Judgement:
        """See `api.SentimentModel`."""
        rows = await self._batcher.ask(prepared)
        return Judgement(rows[:, :-1], (rows[:, -1] > 0).tolist())

    def observe(self, told: Callable[[int, float], None]) -> None:
        """See `api.SentimentModel`."""
        self._batcher.observed = told

    async def close(self) -> None:
        """Answer what has been asked, and end the model's threads."""
        await self._batcher.close()
        self._graph.close()

    async def _infer(self, groups: Sequence[Sequence[str]]) -> list[Rows]:
        rows = await self._graph.over(self._row, [text for group in groups for text in group])
        return [np.stack(rows)]

    def _row(self, text: str) -> NDArray[np.float32]:
        """Probabilities, and 1 if the text was cut; computed in a lane."""
        encoding = self._tokenizer.encode(whole(text)[: self._max_chars])
        ids = np.asarray([encoding.ids], np.int64)
        (row,) = self._graph.run(ids, np.ones_like(ids))
        return np.append(row, np.float32(len(text) > self._max_chars or bool(encoding.overflowing)))

    def _try_longest(self) -> None:
        """Many graphs have a table of positions, and fail on a text that is longer than it.

        Raises:
            ModelUnfit: this one does, on a text that the card lets through.
        """
        most = self.card.max_tokens or 0
        try:
            self._row("a " * min(most, self._max_chars))
        except Exception as error:
            raise ModelUnfit(
                f"model {self.reference} cannot be used: it fails on a text of {most} tokens, which its card says that "
                f"it reads; lower max_tokens ({' '.join(str(error).split())})"
            ) from error


def whole(text: str) -> str:
    """A text that can be written as UTF-8: halves of surrogate pairs are joined, lone ones become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _tokenizer(entry: Entry) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(entry.tokenizer))
    except Exception as error:  # tokenizers raises bare `Exception`
        raise ModelUnfit(
            f"model {entry.reference} cannot be used: {entry.tokenizer} is no tokenizer that `tokenizers` reads "
            f"({error}); export the model again"
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(entry.card.max_tokens or 0)
    return tokenizer
