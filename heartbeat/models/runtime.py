"""Runs an ONNX graph on the CPU, off the event loop.

One thread a graph, or a few: ONNX Runtime lets go of the interpreter while it computes, so this is what a second core
is for. Arrays of n-gram models are made on the event loop, not in the thread: making them needs the interpreter anyway,
and a thread that has to take it back from a busy event loop waits a switch interval each time. With Python's 5 ms it
may wait far longer: an event loop whose rounds are shorter than that lets go and takes back before the thread has
woken. Where the loop is busy, `sys.setswitchinterval(0.0005)` keeps inference from starving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ModelUnfit

if TYPE_CHECKING:
    from heartbeat.models.card import Tensor
    from heartbeat.models.catalogue import Entry

T = TypeVar("T")
R = TypeVar("R")

_TYPES: Final = {"tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(float)": "float32"}


class Graph:
    """A loaded graph with one output.

    Args:
        entry: the model; its files have been verified.
        lanes: threads that run the graph side by side. Each run stays in its own lane.

    Raises:
        ModelUnfit: it is no ONNX file, or has other inputs and outputs than its card says.
    """

    def __init__(self, entry: Entry, *, lanes: int = 1) -> None:
        self._session = _session(entry)
        card = entry.card
        _hold_against(entry, "inputs", self._session.get_inputs(), card.inputs)
        _hold_against(entry, "output", self._session.get_outputs(), [card.output])
        self._inputs, self._output = [tensor.name for tensor in card.inputs], card.output.name
        self._lanes = lanes
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix=f"model-{card.name}")

    async def over(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What `work` gives for each item, in order, done in the graph's lanes.

        Raises whatever `work` raises; then the other lanes have stopped as well.
        """
        found: dict[int, R] = {}
        waiting = iter(enumerate(items))  # shared by the lanes: each takes the next item when it is free

        def lane() -> None:
            for place, item in waiting:
                try:
                    found[place] = work(item)
                except BaseException:
                    for _ in waiting:
                        pass
                    raise

        loop = asyncio.get_running_loop()
        lanes = [loop.run_in_executor(self._threads, lane) for _ in range(min(self._lanes, len(items)))]
        for ended in await asyncio.gather(*lanes, return_exceptions=True):
            if ended is not None:
                raise ended
        return [found[place] for place in range(len(items))]

    def run(self, *arrays: NDArray[Any]) -> NDArray[np.float32]:
        """The output for these inputs, in the order of the card; computed in the caller's thread."""
        found: NDArray[np.float32] = self._session.run([self._output], dict(zip(self._inputs, arrays, strict=True)))[0]
        return found

    def close(self) -> None:
        """Let runs that have begun finish, and end the threads."""
        self._threads.shutdown(wait=True)


def _session(entry: Entry) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; it need not be printed as well
    # Threads that spin while they wait burn the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Every group has a shape of its own: patterns remembered for each of them would only grow.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(str(entry.graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common type of their own
        raise ModelUnfit(
            f"model {entry.reference} cannot be used: ONNX Runtime {onnxruntime.__version__} does not load "
            f"{entry.graph}: {_first_line(error, entry.graph)}; export the model again, or take another version"
        ) from error


def _first_line(error: Exception, path: Path) -> str:
    text = str(error).replace(str(path), path.name).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _hold_against(entry: Entry, what: str, found: Sequence[Any], promised: Sequence[Tensor]) -> None:
    shapes = {tensor.name: (_TYPES.get(tensor.type, tensor.type), len(tensor.shape)) for tensor in found}
    expected = {tensor.name: (tensor.type, len(tensor.shape)) for tensor in promised}
    if shapes != expected:
        raise ModelUnfit(
            f"model {entry.reference} cannot be used: its {what} should be {_named(expected)}, and nothing else; "
            f"the graph has {_named(shapes) or 'none'}"
        )


def _named(shapes: Mapping[str, tuple[str, int]]) -> str:
    return ", ".join(f"{name}: {kind} with {rank} dimensions" for name, (kind, rank) in shapes.items())
