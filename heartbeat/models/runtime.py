"""Runs an ONNX graph on the CPU, off the event loop.

One thread a graph: ONNX Runtime lets go of the interpreter while it computes, so this is what a second core is for.
The arrays are made on the event loop, not in the thread: making them needs the interpreter anyway, and a thread that
has to take it back from a busy event loop waits a switch interval each time. With Python's 5 ms it may wait far longer:
an event loop whose rounds are shorter than that lets go and takes back before the thread has woken. Where the loop is
busy, `sys.setswitchinterval(0.0005)` keeps inference from starving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbeat.errors import ModelUnfit

if TYPE_CHECKING:
    from heartbeat.models.catalogue import Entry, Tensor

_TYPES: Final = {"tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(float)": "float32"}


class Graph:
    """A loaded graph with one input and one output.

    Args:
        entry: the model; its files have been verified.
        threads: how many threads one run may use. With 1 a run stays in the graph's own thread.

    Raises:
        ModelUnfit: it is no ONNX file, or has other inputs and outputs than its card says.
    """

    def __init__(self, entry: Entry, *, threads: int = 1) -> None:
        self._session = _session(entry, threads)
        card = entry.card
        _hold_against(entry, "input", self._session.get_inputs(), card.input)
        _hold_against(entry, "output", self._session.get_outputs(), card.output)
        self._input, self._output = card.input.name, card.output.name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"model-{card.name}")

    async def run(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The output for each input, in order, one after the other in the graph's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_here, arrays)

    def run_here(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """As `run`, in the caller's thread."""
        run, names = self._session.run, [self._output]
        return [run(names, {self._input: array})[0] for array in arrays]

    def close(self) -> None:
        """Let a run that has begun finish, and end the thread."""
        self._thread.shutdown(wait=True)


def _session(entry: Entry, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
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


def _hold_against(entry: Entry, what: str, found: Sequence[Any], promised: Tensor) -> None:
    shapes = {tensor.name: (_TYPES.get(tensor.type, tensor.type), len(tensor.shape)) for tensor in found}
    expected = (promised.type, len(promised.shape))
    if shapes != {promised.name: expected}:
        there = ", ".join(f"{name}: {kind} with {rank} dimensions" for name, (kind, rank) in shapes.items())
        raise ModelUnfit(
            f"model {entry.reference} cannot be used: its {what} has to be {promised.name}: {expected[0]} with "
            f"{expected[1]} dimensions, and nothing else; the graph has {there or 'none'}"
        )
