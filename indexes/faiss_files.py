"""FAISS indexes in files: of any name, and written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import LibraryError
from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.media.filesystem import atomic_file, open_regular

BLOCK = 2**20  # bytes read or written at a time


def read(file: Path) -> Any:
    """Raises LibraryError for a file that is damaged, FileNotFoundError."""
    try:
        with open_regular(file) as opened:  # FAISS itself takes only some file names
            return faiss.read_index(faiss.PyCallbackIOReader(opened.read, BLOCK))
    except RuntimeError as error:
        raise LibraryError(f"the index {file} is damaged") from error


def write(index: Any, file: Path) -> str:
    """Whole or not at all: ``faiss.write_index`` alone can leave half a file.

    Returns what ``hashed`` says of it.  Raises LibraryError.
    """
    digest = _digest()
    with written(file) as draft, draft.open("wb") as opened:

        def both(block: bytes) -> int:
            digest.update(block)
            return opened.write(block)

        faiss.write_index(index, faiss.PyCallbackIOWriter(both, BLOCK))
    return digest.hexdigest()


def hashed(file: Path) -> str:
    """BLAKE2b of a file, in hexadecimal digits.  FAISS does not notice a bit that has turned over."""
    digest = _digest()
    with open_regular(file) as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


@contextlib.contextmanager
def written(file: Path) -> Iterator[Path]:
    """As ``atomic_file``, but raises LibraryError."""
    try:
        with atomic_file(file) as draft:
            yield draft
    except (RuntimeError, OSError) as error:
        full = "No space left" in str(error)
        reason = "the disk is full" if full else str(error).partition(" at /")[0]
        raise LibraryError(f"the index {file} cannot be written: {reason}") from error


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """FAISS works in the calling thread alone: in short work, waiting for others takes longer than they save."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
