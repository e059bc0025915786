"""Graphs on the CPU, through ONNX Runtime."""

from __future__ import annotations

import functools
import mmap
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ModelError
from mmsearch.media.filesystem import check_regular, open_regular, read_regular

Rows = TypeVar("Rows", NDArray[np.uint8], NDArray[np.float32])

EXACT = "session.x64quantprecision"  # int8 products by way of uint8: takes 1.7 times as long with VNNI instructions
# Operators whose sums some CPUs clip: of ONNX, and of ONNX Runtime's own.
INTEGER_PRODUCTS = (b"MatMulInteger", b"QLinearMatMul", b"QGemm", b"DynamicQuantize", b"ConvInteger", b"QLinearConv")
_GRAPH, _FUNCTIONS, _NODE = 7, 25, 1  # numbers of fields in onnx.proto: of a model twice, of its graph
LARGEST = 2**31  # bytes of a graph: protobuf's limit
FEW = 8  # rows; the time that a quick load saves is lost again on about so many


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
        clips = clips_products()
        quick = quick and not (clips and has_integer_products(files))
        options = session_options(threads, quick, clips)
        for file in files:
            check_regular(file)
        parts = [read_regular(file, LARGEST) for file in files] if len(files) > 1 else []
        graph = b"".join(parts) if parts else str(files[0])
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{' with '.join(map(str, files))} cannot be loaded: {reason}") from error


def run(
    session: Any, file: Path, outputs: Sequence[str] | None, feeds: dict[str, NDArray[Any]]
) -> list[NDArray[np.float32]]:
    """These outputs of the graph in ``file``, or all.  Raises ModelError where it cannot be run on that."""
    try:
        rows: list[NDArray[np.float32]] = session.run(outputs and list(outputs), feeds)
    except Exception as error:  # onnxruntime raises classes of its own that share no base
        raise ModelError(f"{file} cannot be run: {' '.join(str(error).split())[:200]}") from error
    return rows


def session_options(threads: int, quick: bool, clips: bool) -> Any:
    """The ``SessionOptions`` of a graph; ``clips`` says that this CPU clips sums of int8 products by itself.

    Never ``quick`` and ``clips`` for a graph with such products: what ``EXACT`` asks for is an optimisation, and is off
    with the others.
    """
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # Threads that wait keep no core busy: those of one graph took it from the next, which costs more than waking up.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if clips:
        options.add_session_config_entry(EXACT, "1")
    if quick:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def has_integer_products(files: Sequence[Path]) -> bool:
    """Whether a graph, which may lie in parts, multiplies integers.  Reads its nodes and skips its weights."""
    for file in files:
        with open_regular(file) as opened:
            if not file.stat().st_size:
                continue
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for node in _nodes(content):
                    if any(name in node for name in INTEGER_PRODUCTS):
                        return True
    return False


def _nodes(content: mmap.mmap) -> Iterator[bytes]:
    """The nodes and functions of a serialised ``ModelProto``, each as it stands in the file."""
    for field, start, stop in _fields(content, 0, len(content)):
        if field == _GRAPH:
            for inner, first, last in _fields(content, start, stop):
                if inner == _NODE:
                    yield content[first:last]
        elif field == _FUNCTIONS:
            yield content[start:stop]


def _fields(content: mmap.mmap, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field with a length in a protobuf message.  Raises IndexError for a cut one."""

    def number() -> int:
        nonlocal at
        found = shift = 0
        while True:
            byte = content[at]
            at += 1
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7

    while at < stop:
        key = number()
        kind = key & 7
        if kind == 2:  # its length, then that many bytes
            length = number()
            yield key >> 3, at, at + length
            at += length
        elif kind == 0:
            number()
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"{kind} is no kind of a protobuf field")


@functools.cache
def clips_products() -> bool:
    """Whether sums of two int8 products are clipped to 16 bits on this CPU, unless it is told otherwise."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as opened:
            facts = opened.read(8192)  # of the first core; on machines of many, all take a while
    except OSError:
        facts = ""
    return clips(platform.machine(), facts)


def clips(machine: str, facts: str) -> bool:
    """Whether such a CPU clips: an x86 one without VNNI instructions, or of which it is not known (``facts`` is empty).

    ``machine`` is as ``platform.machine`` names it, ``facts`` what Linux says in ``/proc/cpuinfo``.
    """
    flags = set(facts.split())
    return machine.lower() in ("x86_64", "amd64", "x86", "i386", "i686") and not flags & {"avx512_vnni", "avx_vnni"}


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


class Graph:
    """A graph that is loaded when it is used; where it is ``quick``, quickly for the first few rows, and then to last.

    Both give the same numbers up to rounding.  Safe to use from several threads.
    """

    def __init__(self, files: Sequence[Path], threads: int = 0, quick: bool = False) -> None:
        self._files, self._threads, self._few = files, threads, FEW if quick else 0
        self._lock = threading.Lock()
        self._rows = 0  # that it was used for
        self._session: Any = None

    def session(self, rows: int = 1) -> Any:
        """An ``InferenceSession`` for a run on so many rows.  Raises ModelError."""
        with self._lock:
            before, self._rows = self._rows, self._rows + max(rows, 1)
            if self._session is None or before <= self._few < self._rows:
                self._session = load(self._files, self._threads, quick=self._rows <= self._few)
            return self._session
