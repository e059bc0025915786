"""A library whose vectors pgvector searches, with the embedded model: what happens between store and collection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from postgres_server import forget, url_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library import collection_search
from mmsearch.library.collection_search import CollectionSearch
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.postgres import collection as postgres_collection
from mmsearch.store.postgres import pgvector

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'vectors\\_%'"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path)
    forget(tmp_path)


@pytest.fixture
def library(address: str, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    with open_library(address, settings=settings, encoder=encoder) as opened:
        yield opened


def table_of(address: str) -> str:
    with psycopg.connect(address) as connection:
        ((name,),) = connection.execute(TABLES).fetchall()
    return str(name)


def rows_in(address: str) -> int:
    with psycopg.connect(address) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table_of(address)}").fetchone()
    assert row is not None
    return int(row[0])


def test_pgvector_searches_unless_memory_is_asked_for(
    address: str, library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    from dataclasses import replace

    library.index(photos)
    assert isinstance(library.vectors, CollectionSearch)
    status = library.status()
    assert (status.index_kind, status.index, status.recall) == ("pgvector exact", status.photos, 1.0)
    assert rows_in(address) == status.photos
    assert not list(library.folder.glob("index/*"))
    in_memory = replace(settings, vectors="memory")
    with open_library(address, settings=in_memory, encoder=encoder) as other:
        assert other.status().index_kind == "exact"
        for text in ("a cat", "a rocket", "a cup of coffee"):
            here, there = library.search(text), other.search(text)
            assert [hit.path for hit in here] == [hit.path for hit in there]
            assert [hit.score for hit in here] == pytest.approx([hit.score for hit in there], abs=1e-5)


def test_what_the_collection_lacks_is_found_and_handed_over_by_the_next_who_writes(
    address: str, library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def broken(*_: object) -> None:
        raise LibraryError("nobody answers")

    with monkeypatch.context() as patch:  # as after a kill between the last commit and the collection
        patch.setattr(pgvector.PgVectorCollection, "change", broken)
        library.index(photos)
    count = library.status().photos
    with open_library(address, settings=settings, encoder=encoder) as other:
        assert Path(other.search("a cat")[0].path).name == "cat.png"
        assert len(other.search("a photo", k=50)) == count
        with psycopg.connect(address) as connection:
            assert connection.execute(TABLES).fetchall() == []
        other.remove(photos / "cat.png")
        assert rows_in(address) == count - 1
    assert "cat.png" not in {Path(hit.path).name for hit in library.search("a cat", k=50)}


def test_many_that_it_lacks_are_handed_over_by_a_search(
    address: str, library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_search, "MOST", 2)
    library.index(photos)
    with psycopg.connect(address) as connection:
        connection.execute(f"DELETE FROM {table_of(address)}")
        connection.execute("UPDATE vector_collections SET version = version + 1, rows = 0, complete = -1")
    library.vectors.reset()
    assert Path(library.search("a cat")[0].path).name == "cat.png"
    assert rows_in(address) == library.status().photos


def test_who_may_not_read_or_write_the_collection_searches_in_memory(
    address: str, library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE ROLE onlooker LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
        table = table_of(address)
        try:
            for refused in ("vector_collections", table):
                connection.execute(f"REVOKE SELECT ON {refused} FROM onlooker")
                visiting = address.replace("postgres@", "onlooker@")
                with open_library(visiting, settings=settings, encoder=encoder) as other:
                    assert Path(other.search("a cat")[0].path).name == "cat.png"
                    assert other.status().index == library.status().photos
                connection.execute(f"GRANT SELECT ON {refused} TO onlooker")
            with open_library(visiting, settings=settings, encoder=encoder) as other:
                assert Path(other.search("a cat")[0].path).name == "cat.png"
        finally:
            connection.execute("DROP OWNED BY onlooker")
            connection.execute("DROP ROLE onlooker")


def test_a_row_that_is_not_the_stored_one_is_found_and_mended(address: str, library: Library, photos: Path) -> None:
    library.index(photos)
    assert library.verify() == []
    table = table_of(address)
    with psycopg.connect(address) as connection:
        connection.execute(f"UPDATE {table} SET row = (SELECT row FROM {table} ORDER BY id LIMIT 1)")
    (damage,) = library.verify()
    assert (damage.kind, damage.count > 3, damage.mendable) == ("index", True, True)
    assert library.repair().left == ()
    assert library.verify() == []
    assert rows_in(address) == library.status().photos
    with psycopg.connect(address) as connection:
        connection.execute(f"DELETE FROM {table} WHERE id = (SELECT min(id) FROM {table})")
        connection.execute("UPDATE vector_collections SET version = version + 1")
    assert [(one.kind, one.count) for one in library.verify()] == [("index", 1)]
    assert library.repair().left == ()


def test_the_graph_is_built_tuned_kept_and_can_be_stopped(
    address: str, library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_collection, "FEW", 3)
    monkeypatch.setattr(pgvector, "FEW", 3)
    library.index(photos)
    status = library.status()
    assert (status.index_kind, status.recall) == ("pgvector hnsw", 1.0)
    assert Path(library.search("a cat")[0].path).name == "cat.png"
    library.vectors.reset()
    (photos / "cat.png").rename(photos / "moved.png")
    library.index(photos)
    assert Path(library.search("a cat")[0].path).name == "moved.png"
    index = f"{table_of(address)}_hnsw"
    with psycopg.connect(address) as connection:
        built = connection.execute("SELECT oid FROM pg_class WHERE relname = %s", (index,)).fetchone()
        library.vectors.maintain(library.models.active(), None)
        assert connection.execute("SELECT oid FROM pg_class WHERE relname = %s", (index,)).fetchone() == built
    # One that is being built while another transaction holds the table waits, and is given up when it is stopped.
    library.vectors.discard(library.models.active())
    library.vectors.reset()
    library.vectors.refresh(library.models.active(), save=True)
    assert isinstance(library.vectors, CollectionSearch)
    collection = library.vectors._collection(library.models.active())
    ended = threading.Event()

    def build() -> None:
        with pytest.raises(LibraryError):
            collection.maintain(lambda: np.zeros((2, collection.dim), np.float32), 0.95, lambda done, total: None)
        ended.set()

    with psycopg.connect(address) as connection:
        connection.execute(f"LOCK {table_of(address)} IN ROW EXCLUSIVE MODE")
        thread = threading.Thread(target=build)
        thread.start()
        while not ended.wait(0.05):
            collection.stop()
        thread.join()


def test_collections_of_models_that_are_gone_are_dropped(address: str, library: Library, photos: Path) -> None:
    library.index(photos)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("INSERT INTO vector_collections (name, fingerprint) VALUES ('old', 'gone')")
        table = postgres_collection.table_of("old")
        connection.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY)")
    library.index(photos)
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM vector_collections").fetchone() == (1,)
        assert connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,)
