"""A library in PostgreSQL whose vectors came to differ from those that pgvector searches: found, mended, told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import forget, url_of
from samples import CLI

from mmsearch.cluster.reconciling import Reconciled, reconcile
from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library.collection_search import CollectionSearch
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.postgres.collection import NotedCollection, table_of
from mmsearch.store.postgres.store import PostgresStore


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path)
    forget(tmp_path)


@pytest.fixture
def library(url: str, photos: Path, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    """Five photos, of which pgvector has all vectors."""
    with open_library(url, settings=settings, encoder=encoder) as opened:
        opened.index(photos)
        yield opened


def table(library: Library) -> str:
    vectors = library.vectors
    assert isinstance(vectors, CollectionSearch)
    return table_of(vectors._name(library.models.active()))


def run(library: Library, statement: str) -> None:
    store = library.store
    assert isinstance(store, PostgresStore)
    with store._transaction() as connection:
        connection.exec_driver_sql(statement)


def spoil(library: Library) -> None:
    """Two rows go, and three come that are of no photo; what is noted of the rows is not told."""
    name = table(library)
    run(library, f"INSERT INTO {name} (id, row) SELECT id + 1000, row FROM {name} ORDER BY id LIMIT 3")
    run(library, f"DELETE FROM {name} WHERE id IN (SELECT id FROM {name} ORDER BY id LIMIT 2)")


def counts(line: Reconciled) -> tuple[int, int, int, int, int, bool]:
    return line.wanted, line.held, line.missing, line.foreign, line.left, line.ok


def test_what_is_missing_is_handed_over_and_what_is_too_much_goes(library: Library) -> None:
    name = library.models.active().name
    [line] = reconcile(library)
    assert (line.model, line.engine, counts(line)) == (name, "pgvector exact", (5, 5, 0, 0, 0, True))
    answers = [(hit.path, hit.score) for hit in library.search("a cat")]
    spoil(library)
    [line] = reconcile(library, dry=True)
    assert counts(line) == (5, 6, 2, 3, 5, False)
    assert reconcile(library, dry=True) == [line]  # nothing was changed
    [line] = reconcile(library)
    assert counts(line) == (5, 6, 2, 3, 0, True)
    [line] = reconcile(library)
    assert counts(line) == (5, 5, 0, 0, 0, True)
    assert [(hit.path, hit.score) for hit in library.search("a cat")] == answers
    assert library.verify(deep=True) == []


def test_an_engine_that_lost_all_gets_all(library: Library) -> None:
    run(library, f"DROP TABLE {table(library)}")
    run(library, "DELETE FROM vector_collections")
    [line] = reconcile(library)
    assert counts(line) == (5, 0, 5, 0, 0, True)
    assert counts(reconcile(library)[0]) == (5, 5, 0, 0, 0, True)


def test_what_cannot_be_mended_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(library)

    def away(*_: object) -> int:
        raise LibraryError("nobody answers there", code="vectors-away")

    with monkeypatch.context() as patch:
        patch.setattr(NotedCollection, "reconcile", away)
        [line] = reconcile(library)
    assert (counts(line), line.reason) == ((5, 6, 2, 3, 5, False), "nobody answers there")
    assert reconcile(library)[0].ok


def test_the_command(
    mmsearch: CLI, library: Library, url: str, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    library.close()
    command = ("cluster", "reconcile", "--library", url)
    assert mmsearch(*command).stdout == "embedded (pgvector exact): 5 vectors, all in order\n"
    with open_library(url, settings=settings, encoder=encoder) as opened:
        spoil(opened)
    said = mmsearch(*command, "--dry-run", check=1).stdout
    assert said == "embedded (pgvector exact): 5 vectors, 2 missing in the engine, 3 too many\n"
    line = json.loads(mmsearch(*command, "--dry-run", "--json", check=1).stdout)
    assert (line["ok"], line["missing"], line["foreign"], line["left"]) == (False, 2, 3, 5)
    said = mmsearch(*command).stdout
    assert said == "embedded (pgvector exact): 5 vectors, 2 missing in the engine, 3 too many; mended\n"
    mmsearch("index", tmp_path / "photos", "--library", tmp_path / "embedded")
    refused = mmsearch("cluster", "reconcile", "--library", tmp_path / "embedded", check=1).stderr
    assert refused.splitlines()[-1].startswith("mmsearch: no server searches the vectors of the library")
    assert refused.splitlines()[-1].endswith("verified: mmsearch verify")
