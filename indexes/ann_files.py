"""Approximate indexes on disk: a file of FAISS's, and the facts that say how to search it."""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmsearch.indexes.autotune import Setting
from mmsearch.indexes.faiss_ann import FaissApproximate
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.index import Likely
from mmsearch.indexes.ivf import SQ8, RaBitQ, RaBitQ4

KINDS: dict[str, type[FaissApproximate]] = {kind.kind: kind for kind in (RaBitQ, RaBitQ4, SQ8, HNSW)}


def write(likely: Likely, folder: Path) -> Likely:
    """Into a file of a name of its own; as it is where it has one already.  Raises LibraryError."""
    if likely.file is not None:
        return likely
    name = f"likely-{secrets.token_hex(8)}.faiss"
    return replace(likely, file=name, hash=likely.index.save(folder / name))


def facts(likely: Likely) -> dict[str, Any]:
    """What ``read`` needs to know of one that was written; fit for JSON."""
    return {
        "kind": likely.index.kind,
        "file": likely.file,
        "hash": likely.hash,
        "built": likely.built,
        "asked": likely.asked,
        "settings": [asdict(setting) for setting in likely.settings],
    }


def read(facts: dict[str, Any], folder: Path, dim: int) -> Likely:
    """Raises LibraryError, DimensionError, FileNotFoundError; LookupError or TypeError for facts of another kind."""
    index = KINDS[facts["kind"]].load(folder / facts["file"], dim)
    settings = tuple(Setting(**setting) for setting in facts["settings"])
    return Likely(index, settings, facts["built"], facts["asked"], facts["file"], facts.get("hash"))
