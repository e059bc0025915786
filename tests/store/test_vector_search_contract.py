"""What every ``VectorSearch`` does alike over a store that changes, against NumPy brute force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from milvus_server import MILVUS_MARKS, connected
from small_vectors import brute_force, unit

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import NoModelError
from mmsearch.library.collection_search import CollectionSearch
from mmsearch.library.live_index import LiveIndex
from mmsearch.library.models import Models
from mmsearch.store.milvus import MilvusCollection
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.store.types import StoredModel
from mmsearch.types import Decoded, Exif, Found, Progress, Vectors

PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif())


def embedded(store: Store, encoder: OnnxEncoder, cache: Path) -> VectorSearch:
    return LiveIndex(store, store.folder / "index", Models(store, store.folder, Settings(cache=cache), encoder))


def pgvector(store: Store, encoder: OnnxEncoder, cache: Path) -> VectorSearch:
    models = Models(store, store.folder, Settings(cache=cache), encoder)
    return CollectionSearch(store, store.collection, models)


def milvus(store: Store, encoder: OnnxEncoder, cache: Path) -> VectorSearch:
    assert isinstance(store, PostgresStore)
    connection = connected()

    def collection(name: str, model: StoredModel) -> MilvusCollection:
        return MilvusCollection(
            store._transaction, name, model.fingerprint, model.dim + 1, connection, store.identity()
        )

    return CollectionSearch(store, collection, Models(store, store.folder, Settings(cache=cache), encoder))


# Name -> what searches the vectors of a store: the next one adds itself here.
MAKERS: dict[str, Callable[[Store, OnnxEncoder, Path], VectorSearch]] = {
    "embedded": embedded,
    "pgvector": pgvector,
    "milvus": milvus,
}


class Shelf:
    """A store, what searches it, and what it should find."""

    def __init__(self, make: Callable[[Store], VectorSearch], store: Store, encoder: OnnxEncoder) -> None:
        self.make, self.store, self.vectors = make, store, make(store)
        self.held: dict[int, Vectors] = {}  # what can be found of ``model``
        self._card, self._rng = encoder.card, np.random.default_rng(0)

    def model(self) -> StoredModel:
        model = self.store.model()
        assert model is not None
        return model

    def add(self, *names: str) -> None:
        """Photos of these names, each with a vector of its own."""
        card = self._card
        with self.store.writing() as writer:
            model = self.store.model() or writer.add_model(card.name, card.fingerprint, card.dim, active=True)
            given = {name: unit(self._rng, 1, card.dim)[0] for name in names}
            for name, vector in given.items():
                writer.place(Found(f"/p/{name}", 1, 1), writer.put(name.encode().ljust(16), PICTURE, vector, model))
        for name, vector in given.items():
            number = self.store.vector_of(f"/p/{name}", model)
            assert number is not None
            self.held[number] = vector

    def remove(self, name: str) -> None:
        number = self.store.vector_of(f"/p/{name}", self.model())
        assert number is not None
        with self.store.writing() as writer:
            writer.remove(f"/p/{name}")
            writer.sweep()
        del self.held[number]

    def check(self, vectors: VectorSearch | None = None) -> None:
        """The newest snapshot holds and finds what it should."""
        vectors = vectors or self.vectors
        snapshot = vectors.snapshot()
        assert (snapshot.model, snapshot.generation) == (self.model(), self.store.generation())
        index = vectors.searched(snapshot)
        assert index.ids().tolist() == sorted(self.held)
        queries = unit(self._rng, 3, self._card.dim)
        found = index.search(np.column_stack([queries, np.zeros(3, np.float32)]), 2)  # without hubness
        assert [[n for n in row if n >= 0] for row in found.ids.tolist()] == brute_force(self.held, queries, 2)


@pytest.fixture(params=[pytest.param(one, marks=MILVUS_MARKS if one == "milvus" else []) for one in MAKERS])
def shelf(request: pytest.FixtureRequest, store: Store, region_encoder: OnnxEncoder, tmp_path: Path) -> Shelf:
    make = MAKERS[request.param]
    return Shelf(lambda own: make(own, region_encoder, tmp_path / "cache"), store, region_encoder)


def test_every_change_is_seen_by_the_next_snapshot(shelf: Shelf) -> None:
    with pytest.raises(NoModelError):
        shelf.vectors.snapshot()
    shelf.add("a", "b", "c", "d")
    shelf.check()
    shelf.remove("b")
    shelf.check()
    shelf.add("e")
    shelf.check()
    for name in "acde":
        shelf.remove(name)
    shelf.check()
    shelf.add("a")
    shelf.check()


def test_a_snapshot_never_changes(shelf: Shelf) -> None:
    shelf.add("a", "b")
    before = shelf.vectors.snapshot()
    ids, generation = before.index.ids().tolist(), before.generation
    shelf.remove("a")
    shelf.add("c")
    shelf.check()
    assert (before.index.ids().tolist(), before.generation) == (ids, generation)
    assert shelf.vectors.searched(before).search(np.zeros((1, before.index.dim), np.float32), 9).ids[0, 1] >= 0


def test_what_another_process_writes_and_keeps_is_seen(shelf: Shelf, open_store: Callable[[], Store]) -> None:
    shelf.add("a", "b")
    shelf.check()
    with open_store() as store:
        other = shelf.make(store)
        shelf.check(other)
        shelf.add("c")
        other.refresh(shelf.model(), save=True)
        shelf.check()
    with open_store() as store:
        shelf.check(shelf.make(store))


def test_it_is_kept_up_while_pictures_are_stored(shelf: Shelf) -> None:
    shelf.add("a")
    told: list[Progress] = []
    with shelf.vectors.maintained_beside(shelf.model(), told.append) as report_stored:
        for number, name in enumerate("bcd", 1):
            shelf.add(name)
            report_stored(Progress(number, 3, name))
    assert [one.done for one in told if one.step == "pictures"] == [1, 2, 3]
    index = shelf.vectors.refresh(shelf.model(), save=True)
    assert (len(index), 0 < index.recall <= 1, bool(index.kind)) == (4, True, True)
    shelf.vectors.maintain(shelf.model(), told.append)
    shelf.check()


def test_what_is_sound_has_no_damages_and_what_is_thrown_away_comes_back(shelf: Shelf) -> None:
    shelf.add("a", "b")
    model = shelf.model()
    shelf.vectors.refresh(model, save=True)
    assert list(shelf.vectors.damages(model, deep=True)) == []
    shelf.vectors.discard(model)
    shelf.vectors.reset()
    shelf.check()
    assert list(shelf.vectors.damages(model, deep=True)) == []


def test_another_model_takes_over(shelf: Shelf) -> None:
    shelf.add("a", "b")
    shelf.check()
    first = shelf.model()
    with shelf.store.writing() as writer:
        other = writer.add_model("other", "0123456789abcdef", 4, active=False)
        for name in "ab":
            writer.put(name.encode().ljust(16), PICTURE, np.array([0, 1, 0, 0], np.float32), other)
    shelf.check()
    with shelf.store.writing() as writer:
        writer.activate(other)
    snapshot = shelf.vectors.snapshot()
    assert (snapshot.model, len(snapshot.index)) == (other, 2)
    assert not set(snapshot.index.ids().tolist()) & set(shelf.held)
    with shelf.store.writing() as writer:
        writer.activate(first)
    shelf.check()
