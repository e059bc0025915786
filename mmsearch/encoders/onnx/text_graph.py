"""The graph of texts, and whoever reads other tensors of it: one run gives all of them.

A reranker reads states of words that are computed on the way to a text's vector.  A search needs both of one text, so
they come of one run, and the graph is in memory once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.errors import ModelError

FEW = 4  # texts in a run whose other outputs are kept …
KEPT = 16  # … of so many runs: 100 kB each


class TextGraph:
    """``text.onnx`` of a model folder, loaded when it is first used.  Safe to use from several threads."""

    def __init__(self, file: Path, threads: int = 0, quick: bool = False) -> None:
        """``threads`` limits those of one run, 0 takes all; ``quick`` is for a program that asks a few texts."""
        self._file, self._threads, self._quick = file, threads, quick
        self._graph = onnx_session.Graph([file], threads, quick)
        self._upper: tuple[Path, ...] = ()  # files that name further outputs
        self._kept: OrderedDict[tuple[bytes, int], dict[str, NDArray[np.float32]]] = OrderedDict()
        self._lock = threading.Lock()

    def also(self, upper: Path) -> None:
        """Give what this file says too: it is appended to the graph, and names tensors of it as outputs."""
        with self._lock:
            if upper not in self._upper:
                self._upper = (*self._upper, upper)
                self._graph = onnx_session.Graph([self._file, *self._upper], self._threads, self._quick)

    def session(self, rows: int) -> Any:
        """An ``InferenceSession`` for a run on so many rows.  Raises ModelError."""
        with self._lock:
            graph = self._graph
        return graph.session(rows)

    def width(self, output: str) -> int | None:
        """The last dimension of an output; None where the graph has no such one."""
        found = next((one for one in self.session(0).get_outputs() if one.name == output), None)
        return found.shape[-1] if found is not None and isinstance(found.shape[-1], int) else None

    def run(self, ids: NDArray[np.int64], output: str) -> NDArray[np.float32]:
        """An output for rows of ids (n, t).  Of the last few runs on few rows all outputs are still there.

        Raises ModelError.
        """
        key = ids.tobytes(), ids.shape[1]
        with self._lock:
            kept, several = self._kept.get(key, {}), bool(self._upper)
        if output in kept:
            return kept[output]
        session = self._session_for(output, len(ids))
        if not several or len(ids) > FEW:
            (alone,) = onnx_session.run(session, self._file, [output], {"ids": ids})
            return alone
        names = [one.name for one in session.get_outputs()]
        rows = onnx_session.run(session, self._file, names, {"ids": ids})
        found: dict[str, NDArray[np.float32]] = dict(zip(names, rows, strict=True))
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if output not in found:
            raise ModelError(f"{self._file} gives no {output}")
        return found[output]

    def _session_for(self, output: str, rows: int) -> Any:
        """A session; for vectors also where a damaged file that was appended keeps the graph from being loaded."""
        try:
            return self.session(rows)
        except ModelError:
            if output != "vectors" or not self._upper:
                raise
        with self._lock:
            self._graph, self._upper = onnx_session.Graph([self._file], self._threads, self._quick), ()
        return self.session(rows)
