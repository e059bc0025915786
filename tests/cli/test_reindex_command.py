"""Another model for a library, and the way back."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from samples import CLI


@pytest.fixture
def mmsearch(mmsearch: CLI) -> CLI:
    """Without a reranker no vectors of the embedded model are made beside others (see ``test_every_model.py``)."""
    return partial(mmsearch, MMSEARCH_RERANKER="none")


@pytest.fixture
def indexed(mmsearch: CLI, photos: Path, tmp_path: Path) -> Path:
    mmsearch("index", photos, "--library", tmp_path / "library", "--no-regions")
    return tmp_path / "library"


def vectors(folder: Path) -> dict[str, int]:
    with sqlite3.connect(folder / "library.sqlite") as connection:
        rows = connection.execute(
            "SELECT name, count(*) FROM embeddings JOIN models ON models.id = model_id GROUP BY name"
        ).fetchall()
    connection.close()
    return dict(rows)


def test_to_another_model_and_back(mmsearch: CLI, indexed: Path, region_model: Path) -> None:
    other = f"local-dir:{region_model}"
    before = mmsearch("query", "a cat", "--paths", "--library", indexed).stdout
    told = mmsearch("reindex", "--model", other, "--library", indexed)
    assert told.stdout.splitlines() == [
        f"{other}: 5 vectors of 512 dimensions, searched with",
        "embedded: 5 vectors of 512 dimensions, kept",
    ]
    assert json.loads(mmsearch("status", "--json", "--library", indexed).stdout)["model"] == other
    assert vectors(indexed) == {"embedded": 5, other: 5}

    lines = mmsearch("reindex", "--activate", "embedded", "--json", "--library", indexed).stdout.splitlines()
    first, second = map(json.loads, lines)
    assert (first["model"], first["active"], second["model"], second["active"]) == ("embedded", True, other, False)
    assert mmsearch("query", "a cat", "--paths", "--library", indexed).stdout == before

    assert mmsearch("reindex", "--prune", "--library", indexed).stderr == "dropped 5 vectors\n"
    assert vectors(indexed) == {"embedded": 5}
    refused = mmsearch("reindex", "--activate", other, "--library", indexed, check=1)
    assert "the library has no vectors of" in refused.stderr
    assert mmsearch("verify", "--deep", "--library", indexed).stdout == "all is well: 5 photos\n"


def test_old_vectors_that_are_not_complete_are_completed(
    mmsearch: CLI, indexed: Path, photos: Path, region_model: Path
) -> None:
    other = f"local-dir:{region_model}"
    mmsearch("reindex", "--model", other, "--library", indexed)
    (photos / "grass.png").rename(photos / "lawn.png")  # a move needs no vector
    (photos / "new.png").write_bytes((photos / "cat.png").read_bytes() + b" ")
    mmsearch("index", "--library", indexed)
    refused = mmsearch("reindex", "--activate", "embedded", "--library", indexed, check=1)
    assert "1 pictures have no vector of embedded yet" in refused.stderr
    assert "1 picture without a vector" in mmsearch("reindex", "--library", indexed).stdout
    report = json.loads(mmsearch("index", "--model", "embedded", "--json", "--library", indexed).stdout)
    assert report["encoded"] == 1
    assert json.loads(mmsearch("status", "--json", "--library", indexed).stdout)["model"] == "embedded"
    assert vectors(indexed) == {"embedded": 6, other: 6}


def test_pruned_space_is_free(mmsearch: CLI, mmsearch_process: CLI, indexed: Path, region_model: Path) -> None:
    """In processes: one of these commands as people start it."""
    mmsearch_process("reindex", "--model", f"local-dir:{region_model}", "--library", indexed)
    file = indexed / "library.sqlite"
    before = file.stat().st_size
    mmsearch_process("reindex", "--model", "embedded", "--prune", "--library", indexed)
    assert file.stat().st_size < before
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    connection.close()


def test_wrong_use(mmsearch: CLI, indexed: Path) -> None:
    both = mmsearch("reindex", "--model", "x", "--activate", "y", "--library", indexed, check=2)
    assert "give one of them" in both.stderr
