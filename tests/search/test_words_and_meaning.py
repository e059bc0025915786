"""Words that are written about photos beside what photos show: in small libraries, in trips, and in one of 1,000."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from samples import SAMPLES

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.types import Hit

PHOTOS = (
    "chelsea.png", "camera.png", "grass.png", "motorcycle_left.png", "rocket.jpg", "coffee.png", "astronaut.png",
    "brick.png", "gravel.png", "hubble_deep_field.jpg", "moon.png", "retina.jpg", "coins.png", "page.png", "text.png",
    "horse.png", "motorcycle_right.png",
)  # fmt: skip
LETTERS = "abcdefghijklmnopq"
CAT, PHOTOGRAPHER, GRASS, MOTORCYCLE, ROCKET, COFFEE = range(6)
PAGE = PHOTOS.index("page.png")

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>
<Iptc4xmpExt:PersonInImage><rdf:Bag>{people}</rdf:Bag></Iptc4xmpExt:PersonInImage>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def bag(words: tuple[str, ...]) -> str:
    return "".join(f"<rdf:li>{word}</rdf:li>" for word in words)


class Shelf:
    """A library of 17 photos whose names say nothing, or only their folders do."""

    def __init__(self, folder: Path, library: Library) -> None:
        self.folder, self.library = folder, library
        self.files = [folder / f"p{letter}{Path(name).suffix}" for letter, name in zip(LETTERS, PHOTOS, strict=True)]

    def move(self, folder: str, *numbers: int) -> None:
        (self.folder / folder).mkdir()
        for number in numbers:
            self.files[number] = Path(shutil.move(self.files[number], self.folder / folder))

    def keywords(self, number: int, *words: str, people: tuple[str, ...] = ()) -> None:
        self.files[number].with_suffix(".xmp").write_text(XMP.format(keywords=bag(words), people=bag(people)), "utf-8")

    def number(self, number: int) -> int:
        """The id of the item of a photo."""
        stored = self.library.store.model()
        assert stored is not None
        found = self.library.store.vector_of(str(self.files[number]), stored)
        assert found is not None
        return found

    def read(self, number: int, text: str) -> None:
        with self.library.store.writing() as writer:
            writer.put_text(self.number(number), "engine", text)

    def tag(self, tags: dict[int, dict[str, float]]) -> None:
        with self.library.store.writing() as writer:
            writer.put_tags("vocabulary", {self.number(number): own for number, own in tags.items()})

    def caption(self, number: int, text: str) -> None:
        with self.library.store.writing() as writer:
            writer.put_caption(self.number(number), "reranker", text, 0.9)

    def search(self, query: str, rerank: bool = False) -> dict[int, Hit]:
        """Hits, best first, by the numbers of their photos."""
        hits = self.library.search(query, k=len(PHOTOS), rerank=rerank)
        return {self.files.index(Path(hit.path)): hit for hit in hits}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """The photos in ``photos``, and a library that knows them."""
    folder = tmp_path_factory.mktemp("encoded")
    shelf = Shelf(folder / "photos", made(folder / "library", encoder))
    shelf.folder.mkdir()
    for file, name in zip(shelf.files, PHOTOS, strict=True):
        with Image.open(SAMPLES / name) as picture:
            picture.convert("RGB").resize((320, 320)).save(file)
    with shelf.library as library:
        library.index(shelf.folder)
    return folder


def made(folder: Path, encoder: OnnxEncoder) -> Library:
    return open_library(folder, settings=Settings(library=folder, device="cpu"), encoder=encoder)


@pytest.fixture
def shelf(encoded: Path, tmp_path: Path, encoder: OnnxEncoder) -> Iterator[Shelf]:
    """The photos at another place: what they show is known already."""
    shutil.copytree(encoded / "library", tmp_path / "library")
    shutil.copytree(encoded / "photos", tmp_path / "shelf")
    with made(tmp_path / "library", encoder) as library:
        library.index(tmp_path / "shelf")
        library.remove(encoded / "photos")
        yield Shelf(tmp_path / "shelf", library)


def relevance(hits: dict[int, Hit], number: int) -> float:
    found = hits[number].relevance
    assert found is not None
    return found


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("query", ["Invoice 4711", "invoice", "4711"])
def test_text_in_a_picture_of_a_small_library(shelf: Shelf, query: str, rerank: bool) -> None:
    shelf.read(PAGE, "ACME Ltd\nInvoice 4711\nTotal 22.63")
    hits = shelf.search(query, rerank)
    assert next(iter(hits)) == PAGE
    assert relevance(hits, PAGE) == 1


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize(
    ("query", "keywords", "people"),
    [
        ("birthday", ("birthday",), ()),
        ("a birthday", ("Birthday", "garden"), ()),
        ("dog", ("dog",), ()),  # however common the word is elsewhere
        ("Zoë", (), ("Zoë Quandt",)),
        ("zoe quandt", (), ("Zoë Quandt",)),
    ],
)
def test_a_keyword_or_a_name_in_a_small_library(
    shelf: Shelf, query: str, keywords: tuple[str, ...], people: tuple[str, ...], rerank: bool
) -> None:
    shelf.keywords(GRASS, *keywords, people=people)
    shelf.library.index()
    hits = shelf.search(query, rerank)
    assert next(iter(hits)) == GRASS
    assert relevance(hits, GRASS) > 0.9


def test_folders_say_less_than_keywords_and_more_than_looks(shelf: Shelf) -> None:
    shelf.move("Großeltern 1958", *range(6, 12))
    shelf.keywords(CAT, "Großeltern", "1958")
    shelf.library.index()
    hits = shelf.search("Großeltern 1958")
    best, *others = hits
    assert best == CAT
    assert set(others[:6]) == set(range(6, 12))
    assert relevance(hits, CAT) == 1
    shares = [relevance(hits, number) for number in others]
    assert min(shares[:6]) >= 0.5
    assert max(shares[:6]) < 1
    assert max(shares[6:]) < 0.5


def test_a_name_of_a_file_says_more_than_one_of_a_folder(shelf: Shelf) -> None:
    shelf.move("Großeltern 1958", *range(6, 12))
    shelf.files[7] = Path(shutil.move(shelf.files[7], shelf.files[7].with_name("Großeltern 1958.png")))
    shelf.library.index()
    hits = shelf.search("Großeltern 1958")
    assert next(iter(hits)) == 7
    assert relevance(hits, 7) == 1


def test_what_all_photos_of_a_trip_have_leaves_their_order_to_looks(shelf: Shelf) -> None:
    before = list(shelf.search("a cat"))
    for number in range(len(PHOTOS)):
        shelf.keywords(number, "Norway", "cat trip")
    shelf.library.index()
    assert list(shelf.search("a cat")) == before
    hits = shelf.search("norway a cat on a sofa")
    assert next(iter(hits)) == CAT
    assert max(relevance(hits, number) for number in hits if number != CAT) < 0.9


def test_a_wrong_tag_does_not_beat_what_is_seen_by_far(shelf: Shelf) -> None:
    first = shelf.search("a motorcycle")
    shelf.tag({GRASS: {"motorcycle": 0.6}})
    shelf.caption(CAT, "a motorcycle on a bench")
    hits = shelf.search("a motorcycle")
    assert next(iter(hits)) in (MOTORCYCLE, PHOTOS.index("motorcycle_right.png"))
    assert relevance(hits, GRASS) == relevance(first, GRASS)
    assert relevance(hits, CAT) == relevance(first, CAT)


def test_common_words_of_models_and_of_pictures_do_not_decide(shelf: Shelf) -> None:
    """A dog on a label is not rare, and no photo of a dog; nor is what only a model says."""
    first = shelf.search("a dog")
    shelf.read(COFFEE, "the dog")
    for number in range(6, 16):
        shelf.caption(number, "a dog on the beach")
    hits = shelf.search("a dog")
    assert relevance(hits, COFFEE) < 0.9
    assert all(relevance(hits, number) == relevance(first, number) for number in range(6, 16))


def test_words_around_those_that_are_known_do_not_drown_them(shelf: Shelf) -> None:
    shelf.read(PAGE, "ACME Ltd\nInvoice 4711\nTotal 22.63")
    shelf.library.index()
    for query in ("the invoice 4711 from the plumber", "photo of invoice 4711"):
        assert next(iter(shelf.search(query))) == PAGE
