"""Any exported model on the CPU, through ONNX Runtime; imports neither torch nor open_clip.

A model is a folder of four files: ``model.json`` (its ``ModelCard``), ``tokenizer.json``, ``image.onnx`` (``pixels``
(n, size, size, 3) uint8 -> ``vectors`` (n, dim)) and ``text.onnx`` (``ids`` (n, t) int64 -> ``vectors``).  The embedded
model ships as such a folder; open_clip models are exported to one (``export/open_clip.py``).

Region tokens are a second output of the image graph, ``regions`` (n, side * side, dim).  Where ``image.onnx`` does not
have it, the nodes that compute it are in a fifth file, ``regions.onnx`` (``export/region_graph.py``).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.batch_tuning import Pace
from mmsearch.encoders.onnx.text_graph import TextGraph
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.types import Pixels, Regions, Vectors

# Pictures in one run, unless others are measured to be quicker.  What a small graph works with stays in the caches of a
# core for one picture only; a large one gains more by reading its weights once for several.
AT_ONCE_SMALL, AT_ONCE_LARGE = 1, 8
LARGE = 64 * 2**20  # bytes of the image graph; the embedded model has 12 MB, a ViT-B-32 350
FILES = ("model.json", "tokenizer.json", "image.onnx", "text.onnx")
REGIONS = "regions.onnx"  # optional


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: Vectors = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return rows


class OnnxEncoder:
    """An ``Encoder`` over a model folder, on the CPU.  Each tower is loaded when it is first used."""

    device = "cpu"
    batch = 0

    def __init__(self, folder: Path, threads: int = 0, quick: bool = False) -> None:
        """``threads`` limits the threads at work; 0 takes all cores.  ``quick`` is for a program that asks a few texts.

        Raises ModelError when a file is missing or unreadable.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"the model folder {folder} is incomplete: {', '.join(missing)} missing")
        files = {name: folder / name for name in FILES}
        self._start(folder, ModelCard.read(folder), files, threads, quick)
        # Written before there were region tokens.
        self.dated = self.card.regions is None and "regions" not in json.loads(read_text(folder / "model.json"))

    def _start(self, folder: Path, card: ModelCard, files: dict[str, Path], threads: int, quick: bool) -> None:
        """``files`` says where those of ``FILES`` are that are read later on."""
        self.folder, self.threads, self.card, self._files = folder, threads, card, files
        self.measured: Path | None = None  # how many pictures are best in one run
        self.dated = False
        self._most = 0  # pictures that a run may take; 0 is any number
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}
        self._sessions: dict[str, tuple[Any, bool]] = {}  # and whether its runs take one thread each
        self.text_graph = TextGraph(files["text.onnx"], threads, quick)
        self._tokens: TextEncoder | None = None

    def _session(self, tower: str, together: int = 1) -> Any:
        """Of ``image``, or of ``pictures``: the image graph with the nodes of ``regions.onnx``.

        ``image`` does without them, because ONNX Runtime 1.32 computes every output of a graph, whichever it is asked
        for (``RunOptions.only_execute_path_to_fetches`` changes nothing in it).

        For several runs ``together`` it is one whose runs take a thread each; that one then serves all runs, so that a
        graph is in memory once.
        """
        with self._lock:
            session, single = self._sessions.get(tower, (None, False))
            if session is None or (together > 1 and not single):
                parts = [self._files["image.onnx"], *([self.folder / REGIONS] if tower == "pictures" else [])]
                single = together > 1
                session = onnx_session.load(parts, 1 if single else self.threads)
                self._sessions[tower] = session, single
            return session

    def _run(self, tower: str, outputs: list[str], pixels: Pixels) -> list[NDArray[np.float32]]:
        """These outputs of a graph that takes pictures, a row a picture.

        Many pictures are shared out among runs side by side, so that threads that decode the next ones get their turn.
        """
        cores = onnx_session.cores(self.threads)
        pace = self._pace(tower)
        most = -(-len(pixels) // cores)
        size = self._most or pace.size(most)
        session = self._session(tower, min(cores, -(-len(pixels) // size)))
        if "regions" in outputs and "regions" not in {output.name for output in session.get_outputs()}:
            raise ModelError(f"the model folder {self.folder} is incomplete: {REGIONS} missing")

        file = self._files["image.onnx"]

        def run(share: Pixels) -> list[NDArray[np.float32]]:
            return self._run_pictures(session, outputs, share)

        begun = time.perf_counter()
        rows = onnx_session.side_by_side(run, pixels, size, cores)
        pace.took(size, most, (time.perf_counter() - begun) / len(pixels))
        self._check(file, rows[0], len(pixels))
        return rows

    def _run_pictures(self, session: Any, outputs: list[str], share: Pixels) -> list[NDArray[np.float32]]:
        """One run of a graph that takes pictures."""
        return onnx_session.run(session, self._files["image.onnx"], outputs, {"pixels": share})

    def _run_texts(self, ids: NDArray[np.int64]) -> Vectors:
        """The vectors of rows of ids, as the graph gives them."""
        return self.text_graph.run(ids, "vectors")

    def _check(self, file: Path, vectors: Vectors, count: int) -> None:
        """Raises ModelError for vectors that are not what the card says."""
        if vectors.shape != (count, self.card.dim):
            raise ModelError(
                f"{file} gives {vectors.shape} for {count} rows of vectors, model.json says {self.card.dim} dimensions"
            )
        if not np.isfinite(vectors).all():
            raise ModelError(f"{file} gives vectors that are not finite: the model is damaged, or its weights are")

    def _pace(self, tower: str) -> Pace:
        with self._lock:
            if tower not in self._paces:
                usual = AT_ONCE_LARGE if self._files["image.onnx"].stat().st_size > LARGE else AT_ONCE_SMALL
                cores, version = onnx_session.cores(self.threads), onnx_session.runtime().__version__
                graph = f"{self.card.fingerprint} {tower}, {cores} cores, onnxruntime {version}"
                self._paces[tower] = Pace(graph, usual, self.measured)
            return self._paces[tower]

    def encode_images(self, pixels: Pixels) -> Vectors:
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32)
        (vectors,) = self._run("image", ["vectors"], pixels)
        return unit_rows(vectors)

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        """Raises ModelError where the folder's graph lacks the regions that its card promises."""
        card = self.card.regions
        if card is None:
            return self.encode_images(pixels), None
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32), np.empty((0, card.side**2, card.dim), np.float32)
        tower = "pictures" if (self.folder / REGIONS).is_file() else "image"
        vectors, regions = self._run(tower, ["vectors", "regions"], pixels)
        if regions.shape[1:] != (card.side**2, card.dim):
            got = "x".join(map(str, regions.shape[1:]))
            raise ModelError(
                f"the model folder {self.folder} gives region tokens of {got}, its model.json says "
                f"{card.side**2}x{card.dim}"
            )
        return unit_rows(vectors), regions

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.card.dim), np.float32)
        with self._lock:
            if self._tokens is None:
                file = self._files["tokenizer.json"]
                try:
                    self._tokens = TextEncoder.load(file, self.card.tokens)
                except Exception as error:  # tokenizers raises Exception itself
                    raise ModelError(f"{file} cannot be read: {error}") from error
        vectors = self._run_texts(self._tokens(texts))
        self._check(self._files["text.onnx"], vectors, len(texts))
        return unit_rows(vectors)
