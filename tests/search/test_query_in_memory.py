"""Queries that a program has in memory: bytes of a picture, Pillow images, pixels and vectors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scores import score as score_of

import mmsearch
from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ArgumentError, DimensionError, MMSearchError, QueryError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.model import Example, Picture, Query, Vector, Words
from mmsearch.query.writer import written


@pytest.fixture
def indexed(library: Library, photos: Path) -> Library:
    library.index(photos)
    return library


def scores(library: Library, query: Any, **options: Any) -> dict[str, float]:
    """Name -> score of all hits."""
    return {Path(hit.path).name: score_of(hit) for hit in library.search(query, **options)}


def test_bytes_of_a_file_find_what_the_file_finds(indexed: Library, photos: Path) -> None:
    rocket = photos / "trips" / "rocket.jpg"
    by_file, by_bytes = scores(indexed, rocket), scores(indexed, rocket.read_bytes())
    assert max(by_bytes, key=lambda name: by_bytes[name]) == "rocket.jpg"  # a picture in memory is no file to leave out
    by_bytes.pop("rocket.jpg")
    assert by_bytes == pytest.approx(by_file, abs=2e-4)
    for same in (bytearray(rocket.read_bytes()), memoryview(rocket.read_bytes())):
        assert scores(indexed, same)["cat.png"] == by_bytes["cat.png"]


def test_images_and_pixels_find_what_the_file_finds(indexed: Library, photos: Path) -> None:
    cat = photos / "cat.png"
    wanted = scores(indexed, cat.read_bytes())
    with Image.open(cat) as image:
        assert scores(indexed, image) == wanted
        assert scores(indexed, image.convert("RGBA")) == wanted
        assert scores(indexed, np.asarray(image)) == wanted
        assert scores(indexed, np.asarray(image)[::1, ::-1][:, ::-1]) == wanted  # whatever its strides
        assert image.size == (451, 300)


def test_pictures_in_memory_are_turned_upright(indexed: Library, photos: Path) -> None:
    with Image.open(photos / "cat.png") as image:
        upright = image.convert("RGB")
    lying, exif = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[274] = 6  # turn it by a quarter to see it
    file = io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    wanted = scores(indexed, upright)
    assert scores(indexed, file.getvalue()) == wanted
    assert scores(indexed, Image.open(file)) == wanted
    assert scores(indexed, lying) != wanted


def test_transparent_and_deep_images_look_as_in_files(indexed: Library) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert scores(indexed, clear) == scores(indexed, Image.new("RGB", (40, 40), "white"))
    ramp = np.linspace(0, 65535, 1600).astype(np.uint16).reshape(40, 40)
    deep, file = Image.fromarray(ramp), io.BytesIO()
    deep.save(file, "PNG")
    assert scores(indexed, deep) == scores(indexed, file.getvalue())


def test_a_vector_of_any_length_and_precision_is_searched_for(indexed: Library, encoder: OnnxEncoder) -> None:
    vector = encoder.encode_texts(["a cat"])[0]
    wanted = scores(indexed, Query((Words("a cat"),), arithmetic=True))
    assert scores(indexed, vector) == wanted
    for same in (vector.astype(np.float64) * 1e200, vector * np.float32(0.01), vector.astype(np.float64) * 1e-200):
        assert scores(indexed, same) == pytest.approx(wanted, abs=2e-4)
    assert scores(indexed, vector.astype(np.float16)) == pytest.approx(wanted, abs=2e-3)


def test_a_vector_needs_no_model(library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    library.index(photos)
    vector = encoder.encode_texts(["a cat"])[0]
    wanted = scores(library, vector)
    library.close()
    with open_library(settings.library, settings=settings) as again:
        assert scores(again, vector) == wanted
        assert again.models._encoders.values() == []


def test_several_of_all_kinds_are_one_query(indexed: Library, photos: Path, encoder: OnnxEncoder) -> None:
    cat = photos / "cat.png"
    both = scores(indexed, ["a motorcycle", cat])
    in_memory = scores(indexed, ["a motorcycle", cat.read_bytes()])
    in_memory.pop("cat.png")
    assert in_memory == pytest.approx(both, abs=2e-3)
    vector = encoder.encode_texts(["a motorcycle"])[0]
    mixed = indexed.search([vector, Image.open(cat), Words("a cat"), Example(str(cat))], k=5)
    assert {Path(hit.path).name for hit in mixed} == {"cameraman.png", "grass.png", "motorcycle.png", "rocket.jpg"}
    terms = Query((Words("a motorcycle"), Picture(cat.read_bytes(), weight=0.5)))
    assert scores(indexed, terms) == scores(indexed, ["a motorcycle", Picture(cat.read_bytes(), weight=0.5)])


def test_a_picture_in_memory_beside_what_is_left_out_is_ranked(indexed: Library, photos: Path) -> None:
    hits = indexed.search(["-people", (photos / "cat.png").read_bytes()])
    assert [score_of(hit) for hit in hits] == sorted((score_of(hit) for hit in hits), reverse=True)
    assert Path(hits[0].path).name == "cat.png"
    cat = str(photos / "cat.png")
    by_file = scores(indexed, Query((Words("a photo"), Example(cat, exclude=True))))
    by_bytes = scores(indexed, Query((Words("a photo"), Picture(Path(cat).read_bytes(), exclude=True))))
    by_bytes.pop("cat.png", None)
    assert by_bytes == pytest.approx(by_file, abs=2e-3)


def test_like_and_unlike_take_one_picture_or_several(indexed: Library, photos: Path) -> None:
    plain, kinds = scores(indexed, "a photo"), (str, Path, Path.read_bytes, Image.open)
    for cat in [kind(photos / "cat.png") for kind in kinds]:
        assert scores(indexed, "a photo", like=cat) == scores(indexed, "a photo", like=[cat])
        assert scores(indexed, "a photo", unlike=cat) == scores(indexed, "a photo", unlike=[cat])
        assert scores(indexed, "a photo", like=cat)["grass.png"] != plain["grass.png"]


def test_like_takes_a_vector(indexed: Library, encoder: OnnxEncoder, photos: Path) -> None:
    pixels = np.asarray(Image.open(photos / "cat.png").convert("RGB"))
    vector = encoder.encode_texts(["a cat"])[0]
    assert scores(indexed, "a photo", like=[vector, pixels]) != scores(indexed, "a photo", like=vector)


WRONG: dict[str, tuple[Any, type[MMSearchError], str]] = {
    "none": (None, ArgumentError, "query must be words, a path, a picture"),
    "number": (5, ArgumentError, "query must be .*, not 5"),
    "mapping": ({"a": 1}, ArgumentError, "query must be .*, not {'a': 1}"),
    "number in a list": (["a cat", 0.5], ArgumentError, r"query\[1\] must be .*, not 0.5"),
    "a list of numbers": ([0.1, 0.2], ArgumentError, r"query\[0\] must be .* a vector of the model \(an array\)"),
    "file object": (io.BytesIO(b"x"), ArgumentError, "query must be words, a path, a picture .bytes of its file"),
    "no bytes": (b"", QueryError, "query: the bytes of a picture are empty"),
    "no picture": (b"photos/cat.png", QueryError, "the picture cannot be used as a query: not a picture"),
    "cut": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", QueryError, "the picture cannot be used as a query"),
    "grey pixels": (np.zeros((4, 4), np.uint8), QueryError, r"query: pixels are .* in RGB; this one is \(4, 4\) uint8"),
    "float pixels": (np.zeros((4, 4, 3)), QueryError, r"this one is \(4, 4, 3\) float64"),
    "channels first": (np.zeros((3, 4, 4), np.uint8), QueryError, r"this one is \(3, 4, 4\) uint8"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), QueryError, "a picture without pixels"),
    "no pixels in an image": (Image.new("RGB", (0, 3)), QueryError, "it has no pixels"),
    "several vectors": (np.ones((2, 512), np.float32), QueryError, r"this one is \(2, 512\) float32"),
    "whole numbers": (np.ones(512, np.int64), QueryError, "a vector has floating-point numbers"),
    "short vector": (np.ones(5, np.float32), DimensionError, "vectors have 5 dimensions, the index has 512"),
    "NaN": (np.full(512, np.nan), QueryError, "512 of 512 numbers of the vector are NaN or infinite"),
    "zero": (np.zeros(512), QueryError, "the vector is zero"),
    "scalar": (np.float32(1), ArgumentError, "query must be"),
}


def test_what_cannot_be_searched_for_is_an_error_that_says_why(indexed: Library) -> None:
    for value, kind, says in WRONG.values():
        with pytest.raises(kind, match=says):
            indexed.search(value)


def test_limits_hold_for_pictures_in_memory_too(library: Library, photos: Path) -> None:
    library.index(photos)
    file, plain = io.BytesIO(), Image.new("1", (15_000, 14_000))
    plain.save(file, "PNG", compress_level=1)
    for large in (file.getvalue(), plain, np.broadcast_to(np.uint8(7), (14_000, 15_000, 3))):
        with pytest.raises(QueryError, match="15000 x 14000 pixels are 210 megapixels, over the limit of 200"):
            library.search(large)


def test_what_is_in_memory_cannot_be_written_as_text() -> None:
    for term in (Picture(b"x"), Vector(np.ones(3))):
        with pytest.raises(QueryError, match="in memory cannot be written as a text"):
            written(Query((term,)))


@pytest.mark.parametrize("wrong", [5, b"a cat", None, ["a cat"]])
def test_terms_of_the_wrong_type_are_query_errors(wrong: Any) -> None:
    for make in (Words, Example, mmsearch.Tagged, mmsearch.Within):
        with pytest.raises(QueryError, match="must be a text, not"):
            make(wrong)
    with pytest.raises(QueryError, match="the terms of a query are a tuple of Words or Example or Picture or Vector"):
        Query(wrong)
    with pytest.raises(QueryError, match="the conditions of a query are a tuple of Condition"):
        Query((), wrong)
