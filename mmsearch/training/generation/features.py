"""Pictures and captions as a frozen model sees them, written once: what generators learn from and are judged by.

A folder of arrays, float16 and memory-mapped: ``vectors.npy`` (p, dim) and ``regions.npy`` (p, side², width) of
pictures, ``texts.npy`` (c, dim) and ``words.npy`` (tokens, width) of captions, ``starts.npy`` (c + 1,) and
``owner.npy`` (c,).  Arrays grow under another name with a note of how far they got, so a killed run goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import OnnxEncoder, unit_rows
from mmsearch.errors import ImageError, ModelError, SourceError, TrainingError
from mmsearch.media.decode import decode
from mmsearch.media.filesystem import atomic_write, read_array, read_text
from mmsearch.rerank.words import WordEncoder
from mmsearch.search.retrieval import without_end_mark
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.contrastive.prefix_cache import TokenStates
from mmsearch.types import Regions, Vectors

log = logging.getLogger(__name__)

PICTURES, TEXTS = 16, 32  # encoded together
FLUSH = 16  # batches between two notes of how far it got
Report = Callable[[int, int], None]  # done, total
Arrays = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True)
class Features:
    """What a model says of p pictures and of their c captions."""

    vectors: NDArray[np.float16]  # (p, dim), unit rows; zeros for a picture that could not be read
    regions: NDArray[np.float16]  # (p, side², width)
    texts: NDArray[np.float16]  # (c, dim), unit rows
    words: TokenStates  # of the captions
    owner: NDArray[np.int64]  # (c,): the picture of each caption

    def usable(self) -> NDArray[np.int64]:
        """The captions whose pictures could be read."""
        readable = np.abs(self.vectors[:, :8].astype(np.float32)).sum(axis=1) > 0
        return np.flatnonzero(readable[self.owner])

    def captions(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (n, dim), word states (n, t, width) and their mask (n, t) of some captions."""
        lengths = self.words.starts[rows + 1] - self.words.starts[rows]
        mask = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        vectors = torch.from_numpy(self.texts[rows].astype(np.float32))
        return vectors, self.words.batch(rows), torch.from_numpy(mask)


class _Growing:
    """Arrays of the same number of rows that appear complete, or with a note of how far they got."""

    def __init__(self, folder: Path, label: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._folder, self._note = folder, folder / f"{label}.rows"
        self._files = {name: folder / f"{name}.npy" for name in shapes}
        self.complete = all(file.is_file() for file in self._files.values())
        self.done = 0
        self.arrays: dict[str, NDArray[np.float16]] = {}
        if self.complete:
            return
        begun = self._note.is_file() and all(self._partial(name).is_file() for name in shapes)
        self.done = int(read_text(self._note)) if begun else 0
        for name, shape in shapes.items():
            if begun:
                self.arrays[name] = np.lib.format.open_memmap(self._partial(name), "r+")
                if self.arrays[name].shape != shape:
                    raise TrainingError(
                        f"{self._partial(name)} was made of other data (shape {self.arrays[name].shape}, wanted "
                        f"{shape}); remove {folder} and run again"
                    )
            else:
                self.arrays[name] = np.lib.format.open_memmap(self._partial(name), "w+", np.float16, shape)

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}.partial.npy"

    def note(self, done: int) -> None:
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]  # it is a memmap
        atomic_write(self._note, str(done).encode())

    def finish(self) -> None:
        for name in tuple(self.arrays):
            self.arrays.pop(name).flush()  # type: ignore[attr-defined]
            os.replace(self._partial(name), self._files[name])
        self._note.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Growth:
    """Where arrays grow, and who is told how far they got."""

    folder: Path
    every: int  # batches between two notes
    report: Report | None

    def after(self, growing: _Growing, start: int, step: int, total: int) -> None:
        """The batch of ``step`` rows that began at ``start`` is written."""
        done = min(start + step, total)
        if (start // step) % self.every == self.every - 1:
            growing.note(done)
        if self.report is not None:
            self.report(done, total)


def unique_texts(pairs: Pairs) -> Pairs:
    """Each caption of a photo once, without a full stop at its end, as a search would ask for it."""
    texts = tuple(tuple(dict.fromkeys(map(without_end_mark, own))) for own in pairs.texts)
    return Pairs(pairs.folder, pairs.names, texts, pairs.skipped, pairs.members)


def write(
    encoder: OnnxEncoder, words: Path, pairs: Pairs, folder: Path, report: Report | None = None,
    parts: Sequence[str] = ("texts", "pictures"), every: int = FLUSH,
) -> None:  # fmt: skip
    """The features of all photos and captions of ``pairs`` into ``folder``; goes on where an earlier run was killed.

    ``words`` names the word states in the encoder's text graph (``WordEncoder``); after ``every`` batches a killed run
    would not do them again.  Raises ModelError for an encoder
    without region tokens, TrainingError where the folder has features of other data.
    """
    if encoder.card.regions is None:
        raise ModelError(f"the model {encoder.card.name} gives no region tokens, which a generator learns to imagine")
    folder.mkdir(parents=True, exist_ok=True)
    said = f"{encoder.card.fingerprint} {pairs.digest}"
    made_of = folder / "made_of.txt"
    if made_of.is_file() and read_text(made_of) != said:
        raise TrainingError(f"{folder} holds features of other photos or another model; remove it, or give another")
    atomic_write(made_of, said.encode())
    if "texts" in parts:
        _write_texts(encoder, words, pairs, _Growth(folder, every, report))
    if "pictures" in parts:
        _write_pictures(encoder, pairs, _Growth(folder, every, report))


def _write_texts(encoder: OnnxEncoder, words: Path, pairs: Pairs, growth: _Growth) -> None:
    folder = growth.folder
    reader = WordEncoder(encoder.folder, words, graph=encoder.text_graph)
    texts = [text for own in pairs.texts for text in own]
    ids = [row[: int((row != 0).sum())] for at in range(0, len(texts), 1024) for row in
           reader.tokenize(texts[at : at + 1024])]  # fmt: skip
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
    np.save(folder / "starts.npy", starts)
    np.save(folder / "owner.npy", np.repeat(np.arange(len(pairs)), [len(own) for own in pairs.texts]))
    session = encoder.text_graph.session(TEXTS + 1)
    width = encoder.text_graph.width("words")
    assert width is not None
    shapes = {"texts": (len(texts), encoder.card.dim), "words": (int(starts[-1]), width)}
    growing = _Growing(folder, "texts", shapes)
    if growing.complete:
        return
    order = np.array(sorted(range(len(ids)), key=lambda text: (len(ids[text]), text)), np.int64)  # little padding
    for start in range(growing.done, len(order), TEXTS):
        rows = order[start : start + TEXTS]
        padded = np.zeros((len(rows), len(ids[rows[-1]])), np.int64)
        for place, row in enumerate(rows):
            padded[place, : len(ids[row])] = ids[row]
        vectors, states = onnx_session.run(session, words, ["vectors", "words"], {"ids": padded})
        growing.arrays["texts"][rows] = unit_rows(vectors)
        for place, row in enumerate(rows):
            growing.arrays["words"][starts[row] : starts[row + 1]] = states[place, : len(ids[row])]
        growth.after(growing, start, TEXTS, len(order))
    growing.finish()


def _write_pictures(encoder: OnnxEncoder, pairs: Pairs, growth: _Growth) -> None:
    card = encoder.card.regions
    assert card is not None
    shapes = {"vectors": (len(pairs), encoder.card.dim), "regions": (len(pairs), card.side**2, card.dim)}
    growing = _Growing(growth.folder, "pictures", shapes)
    if growing.complete:
        return
    for start in range(growing.done, len(pairs), PICTURES):
        rows, pixels = [], []
        for row in range(start, min(start + PICTURES, len(pairs))):
            try:
                with pairs.open(row) as file:
                    pixels.append(decode(file, pairs.names[row], encoder.card.preprocess).pixels)
                rows.append(row)
            except (ImageError, OSError) as error:
                log.warning("skipped %s: %s", pairs.names[row], getattr(error, "reason", error))
        if rows:
            vectors, regions = encoder.encode_pictures(np.stack(pixels))
            growing.arrays["vectors"][rows], growing.arrays["regions"][rows] = vectors, regions
        growth.after(growing, start, PICTURES, len(pairs))
    growing.finish()


def load(folder: Path) -> Features:
    """What ``write`` made, memory-mapped.  Raises SourceError where it is not complete."""
    names = ("vectors", "regions", "texts", "words", "starts", "owner")
    missing = [name for name in names if not (folder / f"{name}.npy").is_file()]
    if missing:
        raise SourceError(f"{folder} lacks features: {', '.join(missing)}; write them first")
    vectors, regions, texts, words, starts, owner = (
        read_array(folder / f"{name}.npy", mapped=name not in ("starts", "owner")) for name in names
    )
    return Features(vectors, regions, texts, TokenStates(words, starts), owner)


def one_text(
    encoder: OnnxEncoder, words: WordEncoder, texts: Sequence[str]
) -> tuple[Vectors, Regions, NDArray[np.bool_]]:
    """Vectors (n, dim), word states (n, t, width) and their mask (n, t) of texts, in the form captions are stored."""
    asked = [without_end_mark(text) for text in texts]
    states, mask = words(asked)
    return encoder.encode_texts(asked), states, mask


def sample(pairs: Pairs, photos: int, seed: int = 0) -> Pairs:
    """So many photos, drawn by ``seed``; all of them where there are no more, or for 0."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    return pairs.keep(order[: photos or len(pairs)].tolist())
