"""A fixed set of texts that nobody asked for: how near a picture is to them is its hubness (``search/hubness.py``).

A model folder may bring the vectors of the querybank as ``background.npy``, float16 (m, dim): those of the embedded
model are 512 centroids of the captions it was trained with (``mmsearch/training/common/calibrate.py``).  For other
models some of the plain sentences of ``language/prompts.py`` are encoded once.  Which gains what is measured in
``docs/search.md``.
"""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path

import numpy as np

from mmsearch.encoders.factory import EMBEDDED, embedded
from mmsearch.encoders.protocol import Encoder, said
from mmsearch.errors import ModelError
from mmsearch.language.prompts import scenes
from mmsearch.media.filesystem import atomic_file, read_array
from mmsearch.types import Vectors

VERSION = "2"  # part of an index's name: another one for each change of a querybank; a test knows the files of each
_BANK = re.compile(r"background-[0-9a-f]{16}-[0-9]+b?\.npy")
FILE = "background.npy"  # in a model folder; the name is from before hubness was called so
NEAREST = 10  # texts of the querybank that make a picture's hubness
EVERY = 3  # every 3rd sentence of ``language/prompts.py`` is in the querybank of other models: all gain no more
AT_ONCE = 64  # texts encoded together


def texts() -> list[str]:
    """The sentences whose vectors are the querybank of a model that brings none."""
    return list(scenes()[::EVERY])


def vectors(encoder: Encoder) -> Vectors:
    """The querybank in the space of an encoder, (m, dim) float32, unit rows.  Encoding it takes seconds.

    Raises ModelError for a damaged one in the model's folder.
    """
    if encoder.folder is not None and (encoder.folder / FILE).is_file():
        try:
            return load(encoder.folder / FILE, encoder.card.dim)
        except (OSError, ValueError, EOFError) as error:
            raise ModelError(f"{encoder.folder / FILE} cannot be used: {said(error)}") from error
    wanted = texts()
    rows = [encoder.encode_texts(wanted[start : start + AT_ONCE]) for start in range(0, len(wanted), AT_ONCE)]
    return np.concatenate(rows)


@functools.cache  # each search asks
def version(folder: Path, fingerprint: str) -> str:
    """Names the querybank of the model with this fingerprint in the library ``folder``, in the names of its files.

    Until 2026-11 a GPU that indexed first left the sentences as the querybank of the embedded model, which brings its
    own, and an index with hubness by them: such a querybank is not taken any more, and the index is built again under
    this name.
    """
    file = folder / bank_file(fingerprint, VERSION)
    if not file.is_file():
        return VERSION
    with contextlib.suppress(ModelError, OSError, ValueError, EOFError):
        stored, brought = (len(read_array(rows, mapped=True)) for rows in (file, EMBEDDED / FILE))
        if fingerprint == embedded().card.fingerprint and stored != brought:
            return f"{VERSION}b"
    return VERSION


def bank_file(fingerprint: str, version: str) -> str:
    """The name of a querybank that a library keeps: it is needed without the encoder too."""
    return f"background-{fingerprint}-{version}.npy"


def bank_files(folder: Path) -> list[Path]:
    """The querybanks that a library keeps in its folder, by their names."""
    return [file for file in sorted(folder.glob("background-*.npy")) if _BANK.fullmatch(file.name)]


def load(file: Path, dim: int | None = None) -> Vectors:
    """A stored querybank, (m, dim) float32, rows scaled to length 1.

    Raises OSError; ValueError or EOFError for what is none, or has vectors of another dimension than ``dim``.
    """
    rows = read_array(file).astype(np.float32)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all() or dim not in (None, rows.shape[1]):
        raise ValueError(f"{file} holds no querybank of {dim} dimensions: {rows.shape}")
    found: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found


def save(file: Path, rows: Vectors) -> None:
    """Write a querybank for ``load``, whole or not at all."""
    with atomic_file(file) as draft, draft.open("wb") as opened:
        np.save(opened, rows.astype(np.float16))
