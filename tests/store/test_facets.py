"""Facets on every driver of ``conftest.py``: each count is that of the files that the condition leaves."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.query.model import Camera, City, Condition, Date, Format, OneFits, Person, Tagged, Within
from mmsearch.store.protocol import Store
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import FACETS, StoredModel
from mmsearch.types import Annotations, Decoded, Exif, Found, Ids, Sidecar

PIXELS = np.zeros((8, 8, 3), np.uint8)
PICTURE = Decoded(PIXELS, 40, 30, "jpeg", Exif())


def put(
    store: Store,
    model: StoredModel,
    path: str,
    content: bytes,
    picture: Decoded = PICTURE,
    beside: Annotations | None = None,
    tags: tuple[str, ...] = (),
    mtime: datetime = datetime(2020, 1, 1),
) -> None:
    with store.writing() as writer:
        stored = writer.put(content, picture, np.zeros(4, np.float32), model)
        writer.place(Found(path, 10, int(mtime.timestamp()) * 10**9), stored)
        if tags:
            writer.put_tags("v", {stored: dict.fromkeys(tags, 0.5)})
    if beside is not None:
        number = store.files(path, model)[path].id
        with store.writing() as writer:
            writer.put_sidecar(number, "stamp", Sidecar(annotations=beside))


def start(store: Store, *roots: str) -> StoredModel:
    with store.writing() as writer:
        for root in roots:
            writer.add_root(root)
        return writer.add_model("m", "abc", 4, active=True)


def fits(field: str, value: str) -> OneFits:
    if field == "year":
        return Date(datetime(int(value), 1, 1), datetime(int(value) + 1, 1, 1))
    kinds: dict[str, Callable[[str], OneFits]] = {
        "camera": Camera,
        "folder": Within,
        "tag": Tagged,
        "type": Format,
        "person": Person,
        "city": City,
    }
    return kinds[field](value)


def left(store: Store, model: StoredModel, *conditions: Condition) -> Ids:
    """The ids of the files that meet conditions."""
    own = store.photos(store.searchable(model).tolist(), (), conditions)
    return np.array(sorted(photo.id for files in own.values() for photo in files), np.int64)


def test_every_facet_of_a_few_photos(store: Store) -> None:
    model = start(store, "/p")
    shot = replace(PICTURE, exif=Exif(datetime(2024, 5, 1), "EOS 5"), annotations=Annotations("Łódź", ("Ann", "Bob")))
    put(store, model, "/p/a/1", b"1", shot, tags=("dog", "Red"))
    put(store, model, "/p/a/2", b"1", shot)  # a copy
    put(store, model, "/p/a/b/3", b"3", replace(PICTURE, format="mpo", exif=Exif(camera="EOS 50")), tags=("red",))
    put(store, model, "/p/4", b"4", replace(PICTURE, format="png"), Annotations("Paris", ("Anna",)), ("cat",))
    found = store.facets(model)
    assert found.files == 4
    assert found.values == {
        "year": [("2024", 2), ("2020", 2)],
        "camera": [("EOS 5", 3), ("EOS 50", 1)],
        "folder": [("/p", 4), ("/p/a", 3), ("/p/a/b", 1)],
        "tag": [("Red", 3), ("dog", 2), ("cat", 1)],
        "type": [("jpeg", 3), ("png", 1)],
        "person": [("Ann", 3), ("Bob", 2), ("Anna", 1)],
        "city": [("Łódź", 2), ("Paris", 1)],
    }
    assert tuple(found.values) == FACETS
    here = store.facets(model, ["/p/a"], [Condition(Camera("50"))])
    assert (here.files, here.values["tag"]) == (1, [("Red", 1)])
    assert here.values["folder"] == [("/p", 1), ("/p/a", 1), ("/p/a/b", 1)]
    some = store.facets(model, photos=left(store, model)[2:])
    assert (some.files, some.values["type"]) == (2, [("jpeg", 1), ("png", 1)])
    least = store.facets(model, most=1).values
    assert [len(values) for values in least.values()] == [2] * 7  # one more than asked: there are others
    none = store.facets(model, photos=np.zeros(0, np.int64))
    assert (none.files, set(map(tuple, none.values.values()))) == (0, {()})


def test_facets_follow_what_is_written(store: Store) -> None:
    model = start(store, "/p")
    put(store, model, "/p/1", b"1", tags=("dog",))
    assert store.facets(model).values["tag"] == [("dog", 1)]
    put(store, model, "/p/1", b"1", tags=("cat",))
    put(store, model, "/p/2", b"2", beside=Annotations("Rome"))
    again = store.facets(model)
    assert (again.files, again.values["tag"], again.values["city"]) == (2, [("cat", 1)], [("Rome", 1)])
    with store.writing() as writer:
        writer.miss([store.files("/p/1", model)["/p/1"].id])
    assert (store.facets(model).files, store.facets(model).values["tag"]) == (1, [])


names = st.sampled_from(["", "Ann", "anna", "Äñn", "Bob", "bob smith", "ǅ", "a,b", 'say "x"', "İ"])


@settings(max_examples=40, deadline=None)
@given(
    files=st.lists(
        st.tuples(
            st.sampled_from(["/p", "/p/a", "/p/a/b", "/p/ab", "/q", "/r/s"]),
            st.integers(0, 4),  # content
            names,
            st.lists(names.filter(bool), max_size=2, unique=True),
            st.none() | st.lists(names.filter(bool), max_size=2, unique=True),
            st.sampled_from([None, datetime(1999, 12, 31, 23, 59, 59), datetime(2000, 1, 1), datetime(2024, 7, 1)]),
            st.sampled_from([datetime(2023, 12, 31, 23, 59, 59), datetime(2024, 1, 1), datetime(1970, 1, 2)]),
        ),
        max_size=8,
    )
)
def test_each_count_is_that_of_its_condition(files: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, SqliteStore(Path(folder) / "library.sqlite") as store:
        model = start(store, "/p", "/q", "/r")
        for place, (above, content, name, people, beside, taken, mtime) in enumerate(files):
            said, exif = Annotations(name or None, tuple(people)), Exif(taken, name or None)
            picture = replace(PICTURE, exif=exif, annotations=said, format="png" if content == 1 else "jpeg")
            others = None if beside is None else Annotations(None if place % 2 else "Ann Arbor", tuple(beside))
            put(store, model, f"{above}/{place}", b"%d" % content, picture, others, tuple(people), mtime)
            if beside is not None:
                own = [tag.replace(",", "") for tag in beside]
                with store.writing() as writer:
                    writer.change_own_tags([store.files(f"{above}/{place}", model)[f"{above}/{place}"].id], own, [])
        whole = store.facets(model, most=100)
        for field, values in whole.values.items():
            assert len({value for value, _ in values}) == len(values)
            assert values == sorted(values, key=lambda one: -one[1]) or field == "folder"
            for value, count in values:
                assert count == len(left(store, model, Condition(fits(field, value)))), (field, value)
                narrow = store.facets(model, (), [Condition(fits(field, value))], most=100)
                assert narrow.files == count
        assert sum(count for _, count in whole.values["year"]) == len(files) == whole.files
        assert Counter(dict(whole.values["type"])).total() == len(files)
