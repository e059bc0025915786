"""Files of several pictures in a search, against brute force: one hit a file, and its best moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.vector_file import Rows
from mmsearch.query.files import parse
from mmsearch.search.engine import Engine
from mmsearch.search.options import Options
from mmsearch.search.pipeline import search
from mmsearch.search.text_adapter import moved
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Decoded, Exif, Film, Found, Hit, Moment, Part, Vectors

BLACK = np.zeros((8, 8, 3), np.uint8)
FILMS, PHOTOS, LONG = 12, 40, 300
PAGES = ("one", "two", "three", "four")
QUERY = "a dog on a beach"


@dataclass(frozen=True)
class Shelf:
    """A library of films, documents and photos, with the vectors of each file (n, dim) by its path."""

    engine: Engine
    vectors: dict[str, Vectors]

    def scores(self, text: str) -> dict[str, np.ndarray]:
        """By path, what each part of the file scores for a text."""
        assert self.engine.encoder is not None
        query = moved(self.engine.encoder, self.engine.encoder.encode_texts([text])[0], text)
        return {path: rows @ query for path, rows in self.vectors.items()}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[Shelf]:
    """The parts of the film ``/films/near.mp4``, 300 of them, are nearer to ``QUERY`` than anything else."""
    rng, dim = np.random.default_rng(0), encoder.card.dim
    near = moved(encoder, encoder.encode_texts([QUERY])[0], QUERY)
    vectors: dict[str, Vectors] = {f"/photos/{number}.jpg": drawn(rng, 1, dim) for number in range(PHOTOS)}
    for number in range(FILMS):
        vectors[f"/films/{number}.mp4"] = drawn(rng, int(rng.integers(2, 9)), dim)
    vectors["/films/near.mp4"] = unit(near + 0.5 * drawn(rng, LONG, dim))
    vectors["/pages.pdf"] = drawn(rng, 4, dim)
    with SqliteStore(tmp_path_factory.mktemp("moments") / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", encoder.card.fingerprint, dim, active=True)
            for path, rows in vectors.items():
                content_hash = path.encode()
                if path.startswith("/photos"):
                    content = writer.put(content_hash, Decoded(BLACK, 40, 30, "jpeg", Exif()), rows[0], model)
                else:
                    content = writer.put_parts(content_hash, of_parts(path, len(rows)), rows, model)
                writer.place(Found(path, 1000, 0), content)
        ids = store.searchable(model)
        rows = np.concatenate([np.atleast_2d(store.vectors(np.array([number]), dim)) for number in ids])
        index = StoredIndex(Rows(dim + 1).plus(ids, np.column_stack([rows, np.zeros(len(rows), np.float32)])))
        yield Shelf(Engine(store, model, index, encoder), vectors)


def of_parts(path: str, count: int) -> Decoded:
    if path.endswith(".pdf"):
        parts = tuple(Part(BLACK, text=f"page number {PAGES[n]}") for n in range(count))
        return Decoded(BLACK, 40, 30, "pdf", Exif(), parts=parts)
    parts = tuple(
        Part(BLACK, 1000 * n, 1000 * (n + 1), 1000 * n + 400, "goodbye" if n == 1 else "") for n in range(count)
    )
    return Decoded(BLACK, 640, 360, "mp4", Exif(), parts=parts, film=Film(1000 * count, 25.0, "h264", True))


def unit(rows: Vectors) -> Vectors:
    found: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    return found


def drawn(rng: np.random.Generator, count: int, dim: int) -> Vectors:
    return unit(rng.standard_normal((count, dim)).astype(np.float32))


def find(shelf: Shelf, *words: str, k: int = 10, offset: int = 0) -> list[Hit]:
    return list(search(shelf.engine, parse(list(words)), Options(k=k, offset=offset)))


def test_each_file_is_one_hit_by_its_best_part(shelf: Shelf) -> None:
    hits = find(shelf, QUERY, k=100)
    best = {path: float(scores.max()) for path, scores in shelf.scores(QUERY).items()}
    assert [hit.path for hit in hits] == sorted(best, key=lambda path: -best[path])
    assert [hit.score for hit in hits] == [pytest.approx(best[hit.path], abs=2e-4) for hit in hits]


def test_a_long_film_leaves_room_for_other_files(shelf: Shelf) -> None:
    hits = find(shelf, QUERY, k=30)
    assert (hits[0].path, len({hit.path for hit in hits})) == ("/films/near.mp4", 30)


def test_pages_of_hits_joined_are_one_search(shelf: Shelf) -> None:
    whole = find(shelf, QUERY, k=50)
    assert [hit for start in range(0, 50, 7) for hit in find(shelf, QUERY, k=7, offset=start)][:50] == whole


def test_moments_are_the_best_parts_of_the_film(shelf: Shelf) -> None:
    hit, scores = find(shelf, QUERY, k=1)[0], shelf.scores(QUERY)["/films/near.mp4"]
    order = np.argsort(-scores, kind="stable")[:5]
    assert [moment.part for moment in hit.moments] == order.tolist()
    assert [moment.score for moment in hit.moments] == pytest.approx(scores[order], abs=2e-4)
    first = int(order[0])
    assert hit.moments[0] == Moment(
        first, hit.moments[0].score, 1000 * first, 1000 * (first + 1), 1000 * first + 400, hit.moments[0].text
    )
    assert hit.photo.film == Film(1000 * LONG, 25.0, "h264", True)


def test_parts_that_are_no_better_than_most_are_left_out(shelf: Shelf) -> None:
    for hit in find(shelf, QUERY, k=100):
        if not hit.moments:
            continue
        scores = shelf.scores(QUERY)[hit.path]
        least = (scores.max() + np.median(scores)) / 2
        wanted = [number for number in np.argsort(-scores, kind="stable") if scores[number] >= least - 2e-4][:5]
        assert [moment.part for moment in hit.moments] == wanted
        assert hit.moments[0].score == hit.score


def test_photos_have_no_moments(shelf: Shelf) -> None:
    hits = find(shelf, QUERY, "type:jpeg", k=100)
    assert len(hits) == PHOTOS
    assert not any(hit.moments for hit in hits)


def test_what_is_said_in_a_moment_puts_it_first(shelf: Shelf) -> None:
    hits = find(shelf, "goodbye", k=FILMS + 1)
    assert {hit.path for hit in hits} == {path for path in shelf.vectors if path.endswith(".mp4")}
    assert {hit.moments[0].part for hit in hits} == {1}
    assert {hit.moments[0].text for hit in hits} == {"goodbye"}


def test_what_is_said_is_found_where_the_first_moment_is_not_allowed(shelf: Shelf) -> None:
    films = {path for path in shelf.vectors if path.endswith(".mp4")}
    for query in ("goodbye", "words:goodbye"):
        hits = find(shelf, query, "at:1.2..1.8", k=FILMS + 9)
        assert {hit.path for hit in hits} == films
        assert {moment.text for hit in hits for moment in hit.moments} == {"goodbye"}
    assert min(hit.score or 0 for hit in find(shelf, "goodbye", "at:1.2..1.8")) > 0.5  # no cosine of theirs is


def test_words_of_a_page_find_it(shelf: Shelf) -> None:
    (hit,) = find(shelf, "page", "number", "three", k=1)
    assert (hit.path, hit.moments[0].page, hit.moments[0].text) == ("/pages.pdf", 3, "page number three")


def test_a_film_as_json_says_seconds(shelf: Shelf) -> None:
    hit = find(shelf, QUERY, k=1)[0].to_dict()
    first = hit["moments"][0]
    assert (hit["length"], hit["fps"], hit["codec"], hit["audio"]) == (300.0, 25.0, "h264", True)
    assert (first["end"] - first["start"], round(first["at"] - first["start"], 3)) == (1.0, 0.4)
    page = find(shelf, "page", "number", "three", k=1)[0].to_dict()["moments"][0]
    assert page == {"part": 2, "page": 3, "score": page["score"], "text": "page number three"}
