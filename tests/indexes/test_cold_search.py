"""The first search of a process among few vectors: without FAISS, whose import takes longer, and with one answer."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import numpy as np
from mmsearch.indexes.exact import nearest
from mmsearch.indexes.vector_file import Rows

rng = np.random.default_rng(0)
vectors = rng.standard_normal((500, 48)).astype(np.float16)
vectors[7] = vectors[3]  # equal ones: the first goes before
queries = np.concatenate([vectors[3:4].astype(np.float32), rng.standard_normal((2, 48), np.float32)])
rows = Rows(48).plus(np.arange(500), vectors)
some = np.flatnonzero(rng.random(500) < 0.5)
cold = [nearest(rows, queries, 10), nearest(Rows(48).plus(np.arange(500), vectors), queries, 400, some)]
cold.append(nearest(Rows(48).plus(np.arange(500), vectors), queries[:0], 10))
assert "faiss" not in sys.modules
import faiss
warm = [nearest(Rows(48).plus(np.arange(500), vectors), queries, 10)]
warm.append(nearest(Rows(48).plus(np.arange(500), vectors), queries, 400, some))
warm.append(nearest(Rows(48).plus(np.arange(500), vectors), queries[:0], 10))
for one, other in zip(cold, warm):
    assert np.array_equal(one.positions, other.positions)
    assert np.allclose(one.scores, other.scores, atol=1e-5)
plain = queries @ vectors.astype(np.float32).T
assert np.array_equal(cold[0].positions, np.argsort(-plain, axis=1, kind="stable")[:, :10])
assert cold[0].positions[0, :2].tolist() == [3, 7]
"""


def test_few_vectors_are_searched_without_faiss() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
