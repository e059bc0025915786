"""Searches that a filter narrows: 7,000 pictures in a real store and a real index, against NumPy over plain facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scores import score as score_of

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.vector_file import Rows
from mmsearch.query.files import parse
from mmsearch.search.engine import Engine
from mmsearch.search.options import Options
from mmsearch.search.pipeline import search
from mmsearch.search.retrieval import BETA
from mmsearch.search.text_adapter import moved
from mmsearch.search.text_boost import SOME_WORDS
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.words.finding import FOLDER
from mmsearch.types import Decoded, Exif, Found, Vectors

COUNT = 7000
ASKED = ["a", "dog", "on", "a", "beach"]
START = datetime(2020, 1, 1)


@dataclass
class Shelf:
    """The pictures as the test knows them; number ``n`` was taken ``n`` hours after START."""

    engine: Engine
    paths: list[str]
    vectors: Vectors  # (n, dim), as they are stored
    hubness: Vectors  # (n,)

    def best(self, numbers: range | list[int], beta: float, k: int) -> list[tuple[str, float]]:
        """By brute force."""
        assert self.engine.encoder is not None
        text = " ".join(ASKED)
        query = moved(self.engine.encoder, self.engine.encoder.encode_texts([text])[0], text)
        rows = np.array(numbers)
        scores = self.vectors[rows] @ query - beta * self.hubness[rows]
        order = np.argsort(-scores)[:k]
        return [(self.paths[rows[place]], float(scores[place])) for place in order]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[Shelf]:
    rng = np.random.default_rng(0)
    dim = encoder.card.dim
    vectors = rng.standard_normal((COUNT, dim)).astype(np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    hubness = rng.uniform(0, 0.3, COUNT).astype(np.float32)
    paths = [f"/{'three' if number in (5, 2500, 6999) else 'many'}/{number}.jpg" for number in range(COUNT)]
    pixels = np.zeros((8, 8, 3), np.uint8)
    with SqliteStore(tmp_path_factory.mktemp("filtered") / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", encoder.card.fingerprint, dim, active=True)
            for number, path in enumerate(paths):
                exif = Exif(START + timedelta(hours=number), "Leica M6" if number % 1000 == 7 else "Canon EOS 5D")
                picture = Decoded(pixels, 40, 30, "jpeg", exif)
                content = writer.put(b"%d" % number, picture, vectors[number], model)
                writer.place(Found(path, 1000 + number, 0), content)
        ids = store.searchable(model)
        photos = store.photos(ids.tolist())
        rows = [int(Path(photos[number][0].path).stem) for number in ids.tolist()]
        index = StoredIndex(Rows(dim + 1).plus(ids, np.column_stack([vectors, hubness])[rows]))
        yield Shelf(Engine(store, model, index, encoder), paths, vectors, hubness)


LEAVES = {
    "date:2020-06-01T00:00..2020-06-03T21:59": list(range(3648, 3718)),
    "camera:leica": list(range(7, COUNT, 1000)),
    "in:/three": [5, 2500, 6999],
    "size:>=7997": [6997, 6998, 6999],
    "-in:/many": [5, 2500, 6999],
    "camera:leica date:2020-01-01,2020-02": [7, 1007],
    "width:>40": [],
    "width:40": list(range(COUNT)),
}


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("condition", LEAVES)
def test_as_many_hits_as_there_are_and_the_same_as_brute_force(shelf: Shelf, condition: str, k: int) -> None:
    remaining = LEAVES[condition]
    hits = search(shelf.engine, parse([*ASKED, *condition.split(" ")]), Options(k))
    expected = shelf.best(remaining, beta=BETA * 4, k=k) if remaining else []
    assert len(hits) == min(k, len(remaining))
    # In that order, but for scores that rounding to float16 makes alike.
    own = dict(shelf.best(remaining, beta=BETA * 4, k=len(remaining))) if remaining else {}
    assert len({hit.path for hit in hits}) == len(hits)
    np.testing.assert_allclose([own[hit.path] for hit in hits], [score for _, score in expected], atol=2e-4)
    np.testing.assert_allclose([score_of(hit) for hit in hits], [score for _, score in expected], atol=2e-4)


def test_shares_are_those_that_are_promised() -> None:
    shares = [len(numbers) / COUNT for numbers in LEAVES.values()]
    assert shares[:2] == [0.01, 0.001]
    assert len(LEAVES["in:/three"]) == 3


@pytest.mark.parametrize("condition", ["camera:leica", "in:/three"])
def test_vectors_that_are_added_and_subtracted_are_filtered_too(shelf: Shelf, condition: str) -> None:
    encoder = shelf.engine.encoder
    assert encoder is not None
    total = encoder.encode_texts(["a dog"])[0] - 0.5 * encoder.encode_texts(["people"])[0]
    rows = np.array(LEAVES[condition])
    scores = shelf.vectors[rows] @ (total / np.linalg.norm(total))
    query = replace(parse(["a", "dog", "-0.5:people", condition]), arithmetic=True)
    hits = search(shelf.engine, query, Options(5))
    assert [hit.path for hit in hits] == [shelf.paths[rows[place]] for place in np.argsort(-scores)[:5]]


def test_what_a_filter_leaves_is_listed_newest_first_where_nothing_is_looked_for(shelf: Shelf) -> None:
    hits = search(shelf.engine, parse(["camera:leica"]), Options(5))
    assert [hit.path for hit in hits] == [f"/many/{number}.jpg" for number in (6007, 5007, 4007, 3007, 2007)]


def test_a_word_counts_for_each_of_many_photos_that_have_it(tmp_path: Path, encoder: OnnxEncoder) -> None:
    """Also for those after the thousandth."""
    rng, dim, kites = np.random.default_rng(2), encoder.card.dim, 1500
    vectors = rng.standard_normal((2 * kites + 100, dim)).astype(np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    pixels = np.zeros((8, 8, 3), np.uint8)
    with SqliteStore(tmp_path / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", encoder.card.fingerprint, dim, active=True)
            for number, vector in enumerate(vectors):
                content = writer.put(b"%d" % number, Decoded(pixels, 40, 30, "jpeg", Exif()), vector, model)
                path = f"/{'kite' if number < kites else 'plain'}/{number}.jpg"
                writer.place(Found(path, 1, 0), content)
        ids = store.searchable(model)
        rows = [int(Path(store.photos([number])[number][0].path).stem) for number in ids.tolist()]
        index = StoredIndex(Rows(dim + 1).plus(ids, np.column_stack([vectors, np.zeros(len(vectors))])[rows]))
        hits = search(Engine(store, model, index, encoder), parse(["kite"]), Options(10))
    cosines = vectors @ moved(encoder, encoder.encode_texts(["kite"])[0], "kite")
    numbers = [int(Path(hit.path).stem) for hit in hits]
    assert max(numbers) > 1000
    assert all(number < kites for number in numbers)
    expected = cosines[numbers] + FOLDER * SOME_WORDS
    np.testing.assert_allclose([score_of(hit) for hit in hits], expected, atol=1e-4)
    assert {number for number in np.argsort(-cosines)[:10].tolist() if number < kites} <= set(numbers)
    assert [hit.reasons for hit in hits] == [("name: kite",)] * 10
