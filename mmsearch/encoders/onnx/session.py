"""Graphs on the CPU, through ONNX Runtime."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ModelError

Rows = TypeVar("Rows", NDArray[np.uint8], NDArray[np.float32])

EXACT = "session.x64quantprecision"  # int8 products by way of uint8: takes 1.7 times as long with VNNI instructions
# Operators whose sums some CPUs clip: of ONNX, and of ONNX Runtime's own.
INTEGER_PRODUCTS = (b"MatMulInteger", b"QLinearMatMul", b"QGemm", b"DynamicQuantize", b"ConvInteger", b"QLinearConv")
FEW = 8  # rows; the time that a quick load saves is lost again on about so many
_few = 0  # rows for which graphs are loaded quickly, in this process


def runtime() -> Any:
    """The module onnxruntime."""
    # Its telemetry is on by default in some builds and writes an identifier into the user's home.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def load(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
    """An ``InferenceSession`` over a graph, which may lie in parts; ``threads`` limits those of one run, 0 takes all.

    Serialised protobuf messages after each other are one message with the nodes of all.  With ``quick`` the graph stays
    as it is: it is loaded in a third of the time, and runs up to four times as long.  A graph whose sums this CPU would
    clip is never loaded so.  Raises ModelError.
    """
    onnxruntime = runtime()
    try:
        quick = quick and stays_exact(has_integer_products(files), adds_exactly())
        options = session_options(threads, quick, adds_exactly())
        graph = b"".join(file.read_bytes() for file in files) if len(files) > 1 else str(files[0])
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{' with '.join(map(str, files))} cannot be loaded: {reason}") from error


def session_options(threads: int, quick: bool, exact: bool) -> Any:
    """The ``SessionOptions`` of a graph; ``exact`` says that this CPU adds int8 products exactly by itself."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # Threads that wait keep no core busy: those of one graph took it from the next, which costs more than waking up.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not exact:
        options.add_session_config_entry(EXACT, "1")
    if quick:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def stays_exact(integer_products: bool, exact: bool) -> bool:
    """Whether a graph may be left as it is: what ``EXACT`` asks for is an optimisation, and is off with the others."""
    return exact or not integer_products


def has_integer_products(files: Sequence[Path]) -> bool:
    """Whether a graph multiplies integers: the names of its operators stand in the file as they are."""
    return any(name in content for content in (file.read_bytes() for file in files) for name in INTEGER_PRODUCTS)


@functools.cache
def adds_exactly() -> bool:
    """Whether this CPU is known to have VNNI instructions; other x86 CPUs clip sums of two int8 products to 16 bits.

    Known on Linux only.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as opened:
            facts = opened.read(8192)  # of the first core; on machines of many, all take a while
    except OSError:
        return False
    return "avx512_vnni" in facts or "avx_vnni" in facts


def cores(threads: int = 0) -> int:
    """How many runs of one thread each go side by side; ``threads`` limits them, 0 takes all cores."""
    return threads or os.cpu_count() or 1


def side_by_side(
    run: Callable[[Rows], list[NDArray[np.float32]]], rows: Rows, most: int, together: int
) -> list[NDArray[np.float32]]:
    """What ``run`` makes of shares of ``most`` rows, joined again; ``together`` shares at a time.

    Runs of one thread each share nothing.  The threads of one run wait for each other at every layer, and wait by
    keeping their cores busy: 100 looks of the reranker take 40 ms so, and 24 ms as two runs side by side.
    """
    shares = [rows[start : start + most] for start in range(0, len(rows), most)]
    together = min(together, len(shares))
    if together == 1:
        parts = [run(share) for share in shares]
    else:
        with ThreadPoolExecutor(together, thread_name_prefix="mmsearch-run") as pool:
            parts = list(pool.map(run, shares))
    return [np.concatenate(joined) for joined in zip(*parts, strict=True)]


def hurry() -> None:
    """From now on graphs of this process are loaded quickly for the first few rows: for a command that asks once."""
    global _few
    _few = FEW


class Graph:
    """A graph that is loaded when it is used; after ``hurry`` quickly for the first few rows, and then to last.

    Both give the same numbers up to rounding.  Safe to use from several threads.
    """

    def __init__(self, files: Sequence[Path], threads: int = 0) -> None:
        self._files, self._threads = files, threads
        self._lock = threading.Lock()
        self._rows = 0  # that it was used for
        self._session: Any = None

    def session(self, rows: int = 1) -> Any:
        """An ``InferenceSession`` for a run on so many rows.  Raises ModelError."""
        with self._lock:
            before, self._rows = self._rows, self._rows + max(rows, 1)
            if self._session is None or before <= _few < self._rows:
                self._session = load(self._files, self._threads, quick=self._rows <= _few)
            return self._session
