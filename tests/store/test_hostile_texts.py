"""Paths, tags and queries with the signs of SQL, patterns and formats in them: every driver takes them as texts."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from mmsearch.language.letters import plain
from mmsearch.query.model import Album, Camera, City, Codec, Condition, Label, Lens, OneFits, Person, Tagged, Within
from mmsearch.store.protocol import Store
from mmsearch.types import Annotations, Decoded, Exif, Film, Found

TEXTS = (
    "plain",
    "'; DROP TABLE photos; --",
    '"; DELETE FROM contents WHERE ""="',
    "%s %(a)s %% _ $1 :x {} {0}",
    "\\' OR 1=1 \\x41 E'\\n'",
    "') UNION SELECT * FROM models --",
    "{a b} ( & | ! :* <-> ')",
    '* ^ NEAR AND "x"',
    "é ß İ 写真 \U0001f600 \u202e",
)
FOLDERS = [*TEXTS, os.fsdecode(b"\xff\xfe 'x'")]
NAMED: dict[str, Callable[[str], OneFits]] = {
    "camera": Camera, "lens": Lens, "codec": Codec, "city": City, "label": Label, "person": Person, "tag": Tagged,
}  # fmt: skip


@pytest.fixture
def filled(store: Store) -> Store:
    """A photo for each of ``TEXTS``, which has it everywhere; and one in a folder that is no UTF-8."""
    with store.writing() as writer:
        model = writer.add_model("m", "abc", 4, active=True)
        for number, text in enumerate(FOLDERS):
            writer.add_root(f"/{text}", [text])
            said = text if text in TEXTS else None
            picture = Decoded(
                np.zeros((8, 8, 3), np.uint8), 40, 30, "jpeg", Exif(camera=said, lens=said), description=said,
                annotations=Annotations(said, (said,) if said else (), None, said), film=Film(1000, 25.0, said, False),
            )  # fmt: skip
            content = writer.put(b"%d" % number, picture, np.ones(4, np.float32), model)
            writer.place(Found(f"/{text}/{number} {text}.jpg".replace("\n", " "), 1, 1), content)
            if said:
                writer.put_caption(content, "r", said, 0.5)
                writer.put_text(content, "e", said)
                writer.put_tags(text, {content: {text: 0.5}})
                photo = writer.change_own_tags([content], [f"own {text}"], [])
                assert photo.added == 1
    return store


def found(store: Store, *conditions: Condition, within: tuple[str, ...] = ()) -> list[int]:
    """The numbers in the names of the photos."""
    model = store.model()
    assert model is not None
    photos = store.photos(store.searchable(model, within, conditions).tolist())
    return sorted(int(os.path.basename(photo.path).split(" ", 1)[0]) for own in photos.values() for photo in own)


def test_conditions_find_what_has_the_text(filled: Store) -> None:
    for number, text in enumerate(TEXTS):
        for field, fits in NAMED.items():
            fold = plain if field in ("city", "label", "person") else str.casefold
            having = [n for n, other in enumerate(TEXTS) if fold(text) in fold(other)]
            assert found(filled, Condition(fits(text))) == ([number] if field == "tag" else having), (field, text)
            assert found(filled, Condition(fits(text), exclude=True)) == sorted(
                set(range(len(FOLDERS))) - set([number] if field == "tag" else having)
            )
        assert found(filled, Condition(Tagged(f"own {text}"))) == [number]
    for number, text in enumerate(FOLDERS):
        assert found(filled, within=(f"/{text}",)) == [number], text
        assert found(filled, Condition(Within(f"/{text}"))) == [number], text
        if text in TEXTS:
            assert number in found(filled, Condition(Album(text)))


def test_words_and_counts_of_such_texts(filled: Store) -> None:
    model = filled.model()
    assert model is not None
    everyone = filled.searchable(model)
    for text in [*FOLDERS, "\\", "'", '"', "%", "\0", "", "a\0b"]:
        for exact in (False, True):
            hits = filled.find_words(text, model, exact=exact)
            assert {hit.number for hit in hits} <= set(everyone.tolist())
            filled.reasons(text, everyone.tolist(), model, exact=exact)
    (hit,) = filled.find_words("写真", model)
    assert found(filled, within=(f"/{TEXTS[-1]}",)) == [TEXTS.index(TEXTS[-1])]
    assert [photo.description for photo in filled.photos([hit.number])[hit.number]] == [TEXTS[-1]]
    facets = filled.facets(model).values
    assert {tag for tag, _ in facets["tag"]} == {*TEXTS, *(f"own {text}" for text in TEXTS)}
    assert {city for city, _ in facets["city"]} == set(TEXTS)
    assert filled.tag_counts() == {tag: 1 for text in TEXTS for tag in (text, f"own {text}")}
    assert filled.exclusions() == {f"/{text}": (text,) for text in FOLDERS}
    assert filled.counts().photos == len(FOLDERS)


def test_such_paths_are_forgotten_alone(filled: Store) -> None:
    model = filled.model()
    assert model is not None
    for left, text in enumerate(reversed(FOLDERS)):
        assert sorted(filled.files(f"/{text}", model)) == [f"/{text}/{len(FOLDERS) - 1 - left} {text}.jpg"]
        with filled.writing() as writer:
            assert writer.remove(f"/{text}") == 1
        assert filled.counts().photos == len(FOLDERS) - 1 - left


def test_names_that_are_no_utf8_have_their_place_among_others(store: Store) -> None:
    names = [b"Mango.jpg", b"lemon.jpg", b"melon\xff\xfe.jpg", b"Melon.jpg", b"\xe9t\xe9.jpg"]
    with store.writing() as writer:
        model = writer.add_model("m", "abc", 4, active=True)
        picture = Decoded(np.zeros((8, 8, 3), np.uint8), 40, 30, "jpeg", Exif())
        for number, name in enumerate(names):
            content = writer.put(b"%d" % number, picture, np.ones(4, np.float32), model)
            writer.place(Found(os.fsdecode(b"/" + name), 1, 1), content)
    for descending in (False, True):
        listed = store.listed(model, None, "name", descending, 10)
        photos = store.photos(listed)
        shown = [os.fsencode(photos[number][0].path)[1:] for number in listed]
        assert shown == sorted(names, key=bytes.lower, reverse=descending)
