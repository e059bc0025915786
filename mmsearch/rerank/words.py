"""States of a text's words, as the reranker reads them; imports no torch.

They are the last states of the second branch of the embedded model's text tower, whatever model the library has.
``words.onnx`` in the reranker's folder says which.  It is no graph of its own: it reads a tensor of ``text.onnx`` by
name, and the bytes of both files after each other are one graph (protobuf merges messages that are concatenated).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.onnx.text_graph import TextGraph
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import ModelError

AT_ONCE = 64  # texts in one run


class WordEncoder:
    """Texts to word states.  Loaded when it is first used; safe to call from several threads."""

    def __init__(self, tower: Path, upper: Path, threads: int = 0, graph: TextGraph | None = None) -> None:
        """``tower`` is the embedded model's folder, ``upper`` the file that says which states.

        ``graph`` is that of the texts in this folder, where an encoder has it: then one run is enough for both.
        ``threads`` limits those of one that is made here.
        """
        self.tower, self.upper = tower, upper
        self._lock = threading.Lock()
        self._graph = graph or TextGraph(tower / "text.onnx", threads)
        self._graph.also(upper)
        self._tokens: TextEncoder | None = None

    def _texts(self) -> TextEncoder:
        with self._lock:
            if self._tokens is None:
                try:
                    card = ModelCard.read(self.tower)
                    self._tokens = TextEncoder.load(self.tower / "tokenizer.json", card.tokens)
                except Exception as error:  # tokenizers raises Exception itself
                    raise ModelError(f"the tokenizer in {self.tower} cannot be loaded: {error}") from error
            return self._tokens

    def tokenize(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """n texts -> ids (n, t), padded with 0."""
        return self._texts()(texts)

    @property
    def mask_id(self) -> int:
        """The token that stands for a hidden word."""
        return self._texts().token_id("[MASK]")

    def pieces(self, ids: NDArray[np.int64]) -> tuple[str, ...]:
        """The pieces of words that ids (t,) stand for."""
        return self._texts().pieces(ids.tolist())

    def run(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Ids (n, t) -> states (n, t, width)."""
        width = self._graph.width("words")
        if width is None:
            raise ModelError(f"{self.upper} is no part of a reranker: it gives no states of words")
        parts = [np.empty((0, ids.shape[1], width), np.float32)]  # the graph cannot run on no texts
        for start in range(0, len(ids), AT_ONCE):
            parts.append(self._graph.run(ids[start : start + AT_ONCE], "words"))
        states: NDArray[np.float32] = np.concatenate(parts)
        return states

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """n texts -> states (n, t, width) float32 and a mask (n, t), True where a word counts."""
        ids = self.tokenize(texts)
        return self.run(ids), ids != 0
