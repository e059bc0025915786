"""Contents of several items, as every ``Store`` has them: moments of a film, pages of a document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import pack, unpack
from mmsearch.query.files import parse
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Decoded, Exif, Film, Found, Part

CARD = RegionCard(2, 3, "projection")
BLACK = np.zeros((1, 1, 3), np.uint8)
PHOTO = Decoded(BLACK, 40, 30, "jpeg", Exif())
FILM = Decoded(
    BLACK, 640, 360, "mp4", Exif(),
    parts=(Part(BLACK, 0, 2000, 500, "hello"), Part(BLACK, 2000, 5000, 2000), Part(BLACK, 5000, 9000, 7000, "goodbye")),
    film=Film(9000, 25.0, "h264", True),
)  # fmt: skip
VECTORS = np.eye(3, 4, dtype=np.float32)


def add_model(store: Store) -> StoredModel:
    with store.writing() as writer:
        return writer.add_model("m", "abc", 4, active=True)


def put(store: Store, model: StoredModel, path: str, content: bytes = b"film", film: Decoded = FILM) -> None:
    with store.writing() as writer:
        writer.place(Found(path, 10, 5), writer.put_parts(content, film, VECTORS, model))


def put_photo(store: Store, model: StoredModel, path: str) -> None:
    with store.writing() as writer:
        writer.place(Found(path, 10, 5), writer.put(path.encode(), PHOTO, VECTORS[0], model))


def test_each_part_is_an_item_with_a_vector(store: Store) -> None:
    model = add_model(store)
    put_photo(store, model, "/photo")
    put(store, model, "/film")
    photo, *film = store.searchable(model).tolist()
    np.testing.assert_array_equal(store.vectors(np.array(film), 4), VECTORS)
    parts = store.parts([photo, film[1]], model)
    assert list(parts) == [film[1]]
    assert [replace(part, item=0) for part in parts[film[1]]] == [
        StoredPart(0, 0, film[0], 0, 2000, 500, "hello"),
        StoredPart(0, 1, film[1], 2000, 5000, 2000),
        StoredPart(0, 2, film[2], 5000, 9000, 7000, "goodbye"),
    ]
    assert (store.parts_of(b"film", model), store.parts_of(b"/photo", model)) == (parts[film[1]], [])
    files = store.photos(film)
    assert [[photo.path for photo in files[number]] for number in film] == [["/film"]] * 3
    assert (files[film[2]][0].film, files[film[2]][0].format) == (FILM.film, "mp4")


def test_vectors_of_a_film_have_the_same_first_one(store: Store) -> None:
    model = add_model(store)
    put_photo(store, model, "/photo")
    (photo,) = store.searchable(model).tolist()
    assert store.firsts(np.array([photo]), model) is None
    put(store, model, "/film")
    photo, *film = store.searchable(model).tolist()
    asked = np.array([film[2], photo, 999, film[0]])
    firsts = store.firsts(asked, model)
    assert firsts is not None
    assert firsts.tolist() == [film[0], photo, -1, film[0]]


def test_words_of_a_part_find_the_film(store: Store) -> None:
    model = add_model(store)
    put_photo(store, model, "/photo")
    put(store, model, "/film")
    (hit,) = store.find_words("goodbye", model)
    assert [photo.path for photo in store.photos([hit.number])[hit.number]] == ["/film"]
    first, *_ = store.parts_of(b"film", model)
    with store.writing() as writer:
        writer.put_part_text(first.item, "beside", "subtitles of it")
    assert store.parts_of(b"film", model)[0].text.split("\n") == ["subtitles of it", "hello"]
    assert len(store.find_words("subtitles", model)) == 1
    with store.writing() as writer:
        writer.put_part_text(first.item, "beside", "")
    assert store.find_words("subtitles", model) == []


def test_another_model_has_the_same_items(store: Store) -> None:
    model = add_model(store)
    put(store, model, "/film")
    with store.writing() as writer:
        other = writer.add_model("n", "def", 4, active=False)
        writer.put_parts(b"film", FILM, VECTORS[::-1].copy(), other)
    own, others = store.parts_of(b"film", model), store.parts_of(b"film", other)
    assert [part.item for part in own] == [part.item for part in others]
    np.testing.assert_array_equal(store.vectors(np.array([part.vector for part in others]), 4), VECTORS[::-1])
    two = replace(FILM, parts=FILM.parts[:2])
    with pytest.raises(ValueError, match="3 items, 2 parts and 2 vectors"), store.writing() as writer:
        writer.put_parts(b"film", two, VECTORS[:2], other)


def test_tokens_belong_to_parts(store: Store) -> None:
    model = add_model(store)
    drawn = np.random.default_rng(0).standard_normal((3, 4, 3)).astype(np.float32)
    packed = pack(drawn)
    with store.writing() as writer:
        writer.place(Found("/film", 10, 5), writer.put_parts(b"film", FILM, VECTORS, model, packed, CARD))
    ids = store.searchable(model)
    tokens, there = store.regions(ids, model, CARD)
    assert there.all()
    np.testing.assert_array_equal(tokens, unpack(packed, 4, 3))


def test_what_is_pending_names_the_frame(store: Store) -> None:
    model = add_model(store)
    put(store, model, "/film")
    pending = store.pending_regions(model, CARD, ["/"])
    assert [(one.part, one.at_ms, [file.path for file in one.files]) for one in pending] == [
        (0, 500, ["/film"]), (1, 2000, ["/film"]), (2, 7000, ["/film"]),
    ]  # fmt: skip
    assert [one.part for one in store.pending_text("an engine", ["/"])] == [0, 1, 2]


def test_a_removed_film_goes_with_its_parts(store: Store) -> None:
    model = add_model(store)
    put(store, model, "/film")
    with store.writing() as writer:
        assert writer.remove("/film") == 1
        writer.sweep()
    assert (store.parts_of(b"film", model), store.searchable(model).tolist()) == ([], [])


def meeting(store: Store, model: StoredModel, query: str) -> list[tuple[str, int]]:
    """Path and part of the items that meet the conditions of a query."""
    ids = store.searchable(model, conditions=parse(query.split()).conditions).tolist()
    parts = {part.vector: part.part for own in store.parts(ids, model).values() for part in own}
    photos = store.photos(ids)
    return [(photos[number][0].path, parts.get(number, 0)) for number in ids]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type:photo", ["/photo"]),
        ("type:video", ["/film", "/slow"]),
        ("type:document", ["/pages"]),
        ("-type:video", ["/photo", "/pages"]),
        ("length:>10s", ["/slow"]),
        ("length:9", ["/film"]),
        ("length:0:08..0:10", ["/film"]),
        ("length:<1h", ["/film", "/slow"]),
        ("fps:25", ["/film"]),
        ("codec:264", ["/film"]),
        ("codec:h264,VP9", ["/film", "/slow"]),
        ("-codec:h264", ["/photo", "/slow", "/pages"]),
    ],
)
def test_conditions_of_films(store: Store, query: str, found: list[str]) -> None:
    assert list(dict.fromkeys(path for path, _ in meeting(store, shelf(store), query))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("at:<1s", [("/film", 0), ("/slow", 0)]),
        ("at:3", [("/film", 1), ("/slow", 0)]),
        ("at:2..6", [("/film", 1), ("/film", 2), ("/slow", 0)]),
        ("at:0:05", [("/film", 2), ("/slow", 0)]),
        ("at:<1s,>7s", [("/film", 0), ("/film", 2), ("/slow", 0), ("/slow", 1), ("/slow", 2)]),
        ("at:<6s at:>5s", [("/film", 2), ("/slow", 0)]),
        ("-at:<8s type:video", [("/slow", 1), ("/slow", 2)]),
        ("at:>2min", []),
    ],
)
def test_moments_at_a_time_are_searched_alone(store: Store, query: str, found: list[tuple[str, int]]) -> None:
    """A moment ends before the next one begins."""
    assert meeting(store, shelf(store), query) == found


def shelf(store: Store) -> StoredModel:
    """A photo, a film of 9 seconds, one of 30 whose first moment takes 10, and a document of three pages."""
    model = add_model(store)
    put_photo(store, model, "/photo")
    put(store, model, "/film")
    moments = (Part(BLACK, 0, 10_000, 0), Part(BLACK, 10_000, 20_000, 10_000), Part(BLACK, 20_000, 30_000, 20_000))
    put(store, model, "/slow", b"slow", replace(FILM, parts=moments, film=Film(30_000, None, "vp9", False)))
    pages = (Part(BLACK), Part(BLACK), Part(BLACK))
    put(store, model, "/pages", b"pages", replace(FILM, format="pdf", parts=pages, film=None))
    return model
