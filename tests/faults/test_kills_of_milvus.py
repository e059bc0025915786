"""A library in PostgreSQL whose vectors Milvus searches: Milvus is killed, and the two sides come to differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from milvus_server import MILVUS_MARKS, connected, milvus_server
from postgres_server import forget, url_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import UnreachableError
from mmsearch.indexes import rows_alone
from mmsearch.library.collection_search import CollectionSearch
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.milvus import MilvusCollection
from mmsearch.types import Ids

pytestmark = MILVUS_MARKS


DEAD = "http://127.0.0.1:1"  # nobody listens there


@pytest.fixture
def library(
    tmp_path: Path, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Library]:
    """Its first address of Milvus is dead, and it is too large to be searched without Milvus."""
    connected().close()
    monkeypatch.setattr(rows_alone, "COMPARED", 1)
    settings = replace(settings, vectors=f"{DEAD},{milvus_server().uri}")
    with open_library(url_of(tmp_path), settings=settings, encoder=encoder) as opened:
        yield opened
        connected().close()
        opened.vectors.discard(opened.models.active())
    forget(tmp_path)


def collection_of(library: Library) -> MilvusCollection:
    assert isinstance(library.vectors, CollectionSearch)
    found = library.vectors._collection(library.models.active())
    assert isinstance(found, MilvusCollection)
    return found


def best(library: Library) -> str:
    return Path(library.search("a cat")[0].path).name


def test_nothing_is_lost_when_it_is_killed_and_the_error_says_what_to_do(library: Library, photos: Path) -> None:
    library.index(photos)
    assert (library.status().index_kind, best(library)) == ("milvus", "cat.png")
    count = library.status().photos
    for again in (False, True):
        milvus_server().kill()
        found = library.search("a rocket")
        assert [note.code for note in found.notes] == ["vectors-unreachable"]
        assert (found.unreachable, Path(found[0].path).name) == (frozenset({"vectors"}), "rocket.jpg")
        with pytest.raises(UnreachableError, match=rf"Milvus at {DEAD},http://[0-9.:]+: nobody answers there") as error:
            library.search(photos / "grass.png")
        assert error.value.code == "vectors-unreachable"
        (photos / f"new{again}.png").write_bytes((photos / "cat.png").read_bytes() + bytes([again]))
        report = library.index(photos)  # what is stored does not wait for Milvus
        assert report.added == 1
        milvus_server().start()
        connected().close()
        assert len(library.search("a photo", k=50)) == count + 1 + again
        assert library.index(photos).added == 0
        assert collection_of(library).reconcile() == 0
        assert len(collection_of(library).ids()) == library.status().index


def test_both_sides_become_the_same_after_a_kill_between_two_steps(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(photos)
    collection, count = collection_of(library), library.status().photos
    # Given to Milvus, and not noted; and one that Milvus lost.
    stray = np.array([2**61], np.int64)
    with collection._milvus.asked() as client:
        client.upsert(collection._own, [{"id": int(stray[0]), "row": np.ones(collection.dim, np.float32)}])
        client.delete(collection._own, ids=[int(collection.ids()[0])])
    assert collection.reconcile() == 2
    library.index(photos)
    assert collection._ids_there().tolist() == collection.ids().tolist()
    assert (len(collection.ids()), len(library.search("a photo", k=50)), best(library)) == (count, count, "cat.png")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def half(self: MilvusCollection, ids: Ids) -> None:
        with self._changing() as connection:
            self._forget(connection, ids)
        raise KeyboardInterrupt

    # Between the two sides, on the way in and on the way out.
    (photos / "cat.png").rename(photos / "other.png")
    (photos / "cat.png").write_bytes((photos / "other.png").read_bytes() + b"x")
    with monkeypatch.context() as patch:
        patch.setattr(MilvusCollection, "_there", killed)
        with pytest.raises(KeyboardInterrupt):
            library.index(photos)
    assert len(library.search("a photo", k=50)) == count + 1
    library.index(photos)
    assert collection.reconcile() == 0
    with monkeypatch.context() as patch:
        patch.setattr(MilvusCollection, "_remove", half)
        with pytest.raises(KeyboardInterrupt):
            library.remove(photos / "cat.png")
    assert len(library.search("a photo", k=50)) == count
    library.index(photos)
    assert collection.reconcile() == 0
    assert collection._ids_there().tolist() == collection.ids().tolist()
