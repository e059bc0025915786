"""Graphs on the CPU, through ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError


def load(files: Sequence[Path], threads: int = 0) -> Any:
    """An ``InferenceSession`` over a graph, which may lie in parts; ``threads`` limits those of one run, 0 takes all.

    Serialised protobuf messages after each other are one message with the nodes of all.  Raises ModelError.
    """
    # Its telemetry is on by default in some builds and writes an identifier into the user's home.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    try:
        graph = b"".join(file.read_bytes() for file in files) if len(files) > 1 else str(files[0])
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{' with '.join(map(str, files))} cannot be loaded: {reason}") from error
