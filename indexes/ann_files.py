"""Approximate indexes on disk: a file of FAISS's, and an entry of the manifest that says how to search it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsearch.indexes.autotune import Setting
from mmsearch.indexes.faiss_ann import FaissAnnIndex
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.index import TunedAnn
from mmsearch.indexes.ivf import SQ8, RaBitQ, RaBitQ4

KINDS: dict[str, type[FaissAnnIndex]] = {kind.kind: kind for kind in (RaBitQ, RaBitQ4, SQ8, HNSW)}


def write(ann: TunedAnn, folder: Path) -> TunedAnn:
    """Into a file of a name of its own; as it is where it has one already.  Raises LibraryError."""
    if ann.file is not None:
        return ann
    name = f"likely-{secrets.token_hex(8)}.faiss"
    return replace(ann, file=name, hash=ann.index.save(folder / name))


def entry(ann: TunedAnn) -> dict[str, Any]:
    """What ``read`` needs to know of one that was written; fit for JSON, with the keys of the first version."""
    return {
        "kind": ann.index.kind,
        "file": ann.file,
        "hash": ann.hash,
        "built": ann.built,
        "asked": ann.asked,
        "settings": [
            {"k": one.k, "effort": one.nprobe, "depth": one.rerank_depth, "recall": one.recall} for one in ann.settings
        ],
    }


def read(entry: dict[str, Any], folder: Path, dim: int) -> TunedAnn:
    """Raises LibraryError, DimensionError, FileNotFoundError; LookupError, TypeError, ValueError for another entry."""
    index = KINDS[entry["kind"]].load(folder / entry["file"], dim)
    settings = tuple(Setting(one["k"], one["effort"], one["depth"], one["recall"]) for one in entry["settings"])
    numbers = [value for one in settings for value in (one.k, one.nprobe, one.rerank_depth)]
    if not numbers or any(type(value) is not int or value < 1 for value in [*numbers, entry["built"]]):
        raise ValueError(f"the index {folder / entry['file']} cannot be searched like that")
    if not all(isinstance(value, (int, float)) for value in [entry["asked"], *(one.recall for one in settings)]):
        raise TypeError("no recall")
    return TunedAnn(index, settings, entry["built"], entry["asked"], entry["file"], entry.get("hash"))
