"""Any exported model on the CPU, through ONNX Runtime; imports neither torch nor open_clip.

A model is a folder of four files: ``model.json`` (its ``ModelCard``), ``tokenizer.json``, ``image.onnx`` (``pixels``
(n, size, size, 3) uint8 -> ``vectors`` (n, dim)) and ``text.onnx`` (``ids`` (n, t) int64 -> ``vectors``).  The embedded
model ships as such a folder; open_clip models are exported to one (``export.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import ModelError
from mmsearch.records import Pixels, Vectors

AT_ONCE = 8  # pictures in one run; the embedded model on 2 idle cores: 1: 291, 8: 291, 16: 278, 32: 246 pictures/s
FILES = ("model.json", "tokenizer.json", "image.onnx", "text.onnx")


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: Vectors = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return rows


class OnnxEncoder:
    """An ``Encoder`` over a model folder.  Each tower is loaded when it is first used."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """``threads`` limits the threads of one run; 0 takes all cores.

        Raises ModelError when a file is missing or unreadable.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"the model folder {folder} is incomplete: {', '.join(missing)} missing")
        self.folder, self.threads = folder, threads
        try:
            self.card = ModelCard.from_json((folder / "model.json").read_text("utf-8"))
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ModelError(f"{folder / 'model.json'} is no model description: {error}") from error
        self._lock = threading.Lock()
        self._sessions: dict[str, Any] = {}
        self._tokens: TextEncoder | None = None

    def _session(self, tower: str) -> Any:
        with self._lock:
            if tower not in self._sessions:
                # Its telemetry is on by default in some builds and writes an identifier into the user's home.
                os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.threads
                options.log_severity_level = 3  # errors only
                try:
                    self._sessions[tower] = onnxruntime.InferenceSession(
                        str(self.folder / f"{tower}.onnx"), options, providers=["CPUExecutionProvider"]
                    )
                except Exception as error:  # onnxruntime raises classes of its own that share no base
                    raise ModelError(f"{self.folder / tower}.onnx cannot be loaded: {error}") from error
            return self._sessions[tower]

    def encode_images(self, pixels: Pixels) -> Vectors:
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32)
        session = self._session("image")
        parts = [
            session.run(["vectors"], {"pixels": pixels[start : start + AT_ONCE]})[0]
            for start in range(0, len(pixels), AT_ONCE)
        ]
        return unit_rows(np.concatenate(parts))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.card.dim), np.float32)
        with self._lock:
            if self._tokens is None:
                file = self.folder / "tokenizer.json"
                try:
                    self._tokens = TextEncoder.load(file, self.card.tokens)
                except Exception as error:  # tokenizers raises Exception itself
                    raise ModelError(f"{file} cannot be read: {error}") from error
        (vectors,) = self._session("text").run(["vectors"], {"ids": self._tokens(texts)})
        return unit_rows(vectors)
