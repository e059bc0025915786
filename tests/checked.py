"""What must hold of a library after a crash, compared with what SQLite holds, read without the library's own code."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np

from mmsearch.library.library import Library

QUERIES = 8
NEAREST = 10


def encodes(folder: Path) -> int:
    """How many vectors were ever stored."""
    file = folder / "library.sqlite"
    if not file.exists():
        return 0
    with sqlite3.connect(file) as connection:
        try:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
        except sqlite3.OperationalError:  # killed before there were tables
            row = None
    connection.close()
    return int(row[0]) if row else 0


def check(library: Library, seed: int = 0) -> tuple[list[str], list[str]]:
    """Photos that are lost, and answers that are wrong; both empty where all is well."""
    wrong = [f"{damage.kind}: {damage.what}" for damage in library.verify(deep=True)]
    with sqlite3.connect(library.folder / "library.sqlite") as connection:
        rows = connection.execute(
            "SELECT embeddings.id, embeddings.vector, photos.path FROM photos "
            "JOIN items USING (content_id) JOIN embeddings ON item_id = items.id "
            "JOIN models ON models.id = embeddings.model_id AND models.active WHERE photos.state = 'ok'"
        ).fetchall()
        (committed,) = connection.execute("SELECT count(*) FROM photos WHERE state = 'ok'").fetchone()
    connection.close()
    lost = [] if committed == len(rows) else [f"{committed - len(rows)} photos without a vector"]
    if not rows:
        return lost, wrong
    vectors = {number: np.frombuffer(vector, "<f2").astype(np.float32) for number, vector, _ in rows}
    ids = np.array(sorted(vectors))
    whole = np.stack([vectors[number] for number in ids.tolist()])
    stored = library.store.model()
    assert stored is not None
    index = library.vectors.refresh(stored)
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((QUERIES, whole.shape[1]), np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    k = min(NEAREST, len(ids))
    found = index.search(np.column_stack([queries, np.zeros(QUERIES, np.float32)]), k)
    right = np.sort(queries @ whole.T, axis=1)[:, ::-1][:, :k]
    if not np.allclose(found.scores, right, atol=1e-4):
        wrong.append("the nearest vectors are not those of SQLite")
    paths = {os.fsdecode(path) for _, _, path in rows}
    hits = {hit.path for hit in library.search("a photo", k=len(paths) + 10, rerank=False)}
    lost += sorted(paths - hits)
    if hits - paths:
        wrong.append(f"{len(hits - paths)} hits that SQLite does not hold")
    return lost, wrong
