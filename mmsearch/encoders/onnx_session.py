"""Graphs on the CPU, through ONNX Runtime."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError

FEW = 8  # rows; the time that a quick load saves is lost again on about so many
_few = 0  # rows for which graphs are loaded quickly, in this process


def load(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
    """An ``InferenceSession`` over a graph, which may lie in parts; ``threads`` limits those of one run, 0 takes all.

    Serialised protobuf messages after each other are one message with the nodes of all.  With ``quick`` the graph stays
    as it is: it is loaded in a third of the time, and runs up to four times as long.  Raises ModelError.
    """
    # Its telemetry is on by default in some builds and writes an identifier into the user's home.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    if quick:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait keep no core busy
    try:
        graph = b"".join(file.read_bytes() for file in files) if len(files) > 1 else str(files[0])
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{' with '.join(map(str, files))} cannot be loaded: {reason}") from error


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
