"""What every ``Store`` does alike: some behaviours by hand, and long runs of changes against plain dictionaries.

Conditions are in ``test_attribute_filter.py``, words in ``test_fulltext.py``, blobs in ``test_blob_store_contract.py``.
No test knows which ids a driver hands out.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import pack, unpack
from mmsearch.errors import LibraryBusyError, TransferError
from mmsearch.query.model import Condition, Tagged
from mmsearch.store.protocol import Store
from mmsearch.store.types import Counts, DuplicateCandidate, Losses, StoredModel, TagChange
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Decoded, Exif, Found, Photo, Regions, Skipped

Opener = Callable[[], Store]

CARD, NEWER = RegionCard(2, 3, "projection"), RegionCard(2, 3, "another projection")
PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif(camera="Canon EOS 5D", latitude=-33.9))
DIM = 4


def add(store: Store, path: str, content: bytes) -> StoredModel:
    """Store a photo whose vector is its hash."""
    with store.writing() as writer:
        model = store.model() or writer.add_model("m", "abc", DIM, active=True)
        writer.place(Found(path, 10, 5), writer.put(content, PICTURE, vector_of(content), model))
    return model


def every(store: Store, model: StoredModel) -> list[Photo]:
    """All files that can be found."""
    return [photo for own in store.photos(store.searchable(model).tolist()).values() for photo in own]


def vector_of(content: bytes) -> np.ndarray:
    """(DIM,), another one for each short hash; float16 holds it."""
    return np.frombuffer(content.rjust(DIM, b"\0"), np.uint8).astype(np.float32)


def content_of(vector: np.ndarray) -> bytes:
    """The hash whose vector this is."""
    return vector.astype(np.uint8).tobytes().lstrip(b"\0")


def tokens(*seeds: int) -> Regions:
    """Region tokens as they come back, (n, 4, 3)."""
    drawn = np.stack([np.random.default_rng(seed).standard_normal((4, 3)) for seed in seeds])
    return unpack(pack(drawn.astype(np.float32)), 4, 3)


# By hand


def test_a_new_library_is_empty(store: Store) -> None:
    assert (store.model(), store.kept_models(), store.roots(), store.failures()) == (None, [], [], [])
    assert store.counts() == Counts(0, 0, 0)
    assert len(store.identity()) > 3


def test_what_is_stored_comes_back(open_store: Opener) -> None:
    path = "/a/b\udcff"  # a name that is no UTF-8
    with open_store() as store:
        model, identity = add(store, path, b"1"), store.identity()
    with open_store() as store:
        assert (store.model(), store.identity()) == (model, identity)
        assert (model.name, model.fingerprint, model.dim) == ("m", "abc", DIM)
        (number,) = store.searchable(model).tolist()
        np.testing.assert_array_equal(store.vectors(np.array([number]), DIM), vector_of(b"1")[None])
        own = store.files(path, model)[path].id
        assert store.photos([number, number + 99]) == {
            number: [Photo(path, 40, 30, "jpeg", 10, 5, PICTURE.exif, id=own)]
        }
        with pytest.raises(KeyError):
            store.vectors(np.array([number, number + 99]), DIM)


def test_what_is_left_out_belongs_to_its_folder(store: Store) -> None:
    odd = os.fsdecode(b"\xe9*")
    with store.writing() as writer:
        writer.add_root("/a", ["z", odd, "b"])
        writer.add_root("/b", ["*.gif"])
        writer.add_root("/c")
    assert store.exclusions() == {"/a": ("z", odd, "b"), "/b": ("*.gif",)}
    with store.writing() as writer:
        writer.add_root("/a")
        writer.add_root("/b", [])
        writer.add_root("/c", ["d"])
    assert store.exclusions() == {"/a": ("z", odd, "b"), "/c": ("d",)}
    with store.writing() as writer:
        writer.remove("/a")
    assert store.exclusions() == {"/c": ("d",)}


def test_what_would_be_lost_is_what_no_other_file_holds(store: Store) -> None:
    for number, path in enumerate(("/a/1", "/a/2", "/b/3", "/ab/4")):
        model = add(store, path, b"%d" % number)
    with store.writing() as writer:
        known = store.contents(model)
        writer.place(Found("/b/copy of 1", 10, 5), known[b"0"])
        for item in store.pending_text("engine", ["/"]):
            writer.put_text(item.item, "engine", "" if item.files[0].path == "/ab/4" else "words")
            if item.files[0].path in ("/a/2", "/b/3"):
                writer.put_caption(item.item, "reranker", "a dog", 0.5)
    assert store.losses([]) == store.losses(["/c"]) == Losses(0, 0, 0)
    assert store.losses(["/a"]) == Losses(2, 1, 1)
    assert store.losses(["/a", "/b/copy of 1", "/a/1"]) == Losses(3, 2, 1)
    assert store.losses(["/b", "/ab/4"]) == Losses(3, 1, 1)
    assert store.losses(["/"]) == Losses(5, 3, 2)


def test_tags_of_people_are_spelled_as_they_were_written_first(store: Store) -> None:
    model = add(store, "/a", b"1")
    add(store, "/b", b"1")  # a copy
    add(store, "/c", b"2")
    ids = {path: one.id for path, one in store.files("/", model).items()}
    with store.writing() as writer:
        writer.put_tags("v", {item.item: {"dog": 0.9, "straße": 0.8} for item in store.pending_tags(model, "v")[:1]})
        assert writer.change_own_tags([ids["/a"], ids["/c"]], ["Ærø", "DOG"], []) == TagChange(2, 2, 4, 0)
    with store.writing() as writer:
        assert writer.change_own_tags([ids["/b"], ids["/c"], 99], ["ærø", "STRASSE"], ["Dog"]) == TagChange(2, 2, 3, 1)
    tags = {photo.path: (photo.own_tags, photo.tags) for photo in every(store, model)}
    assert tags == {
        "/a": (("DOG", "Ærø"), ("DOG", "Ærø", "straße")),
        "/b": (("STRASSE", "Ærø"), ("STRASSE", "Ærø", "dog")),
        "/c": (("STRASSE", "Ærø"), ("STRASSE", "Ærø")),
    }
    assert store.tag_counts() == {"STRASSE": 3, "Ærø": 3, "DOG": 2}
    assert store.tag_counts(["/a", "/c"]) == {"STRASSE": 2, "Ærø": 2, "DOG": 1}
    assert store.facets(model).values["tag"] == [("STRASSE", 3), ("Ærø", 3), ("DOG", 2)]
    with store.writing() as writer:
        assert writer.clear_tags() == 1
    assert store.tag_counts() == {"Ærø": 3, "STRASSE": 2, "DOG": 1}
    assert store.losses(["/a", "/b"]).tagged == 2
    assert store.summary().tagged == 3


def test_tags_of_people_are_found_as_words_and_left_out(store: Store) -> None:
    model = add(store, "/a", b"1")
    add(store, "/b", b"2")
    numbers = store.searchable(model).tolist()
    ids = {path: one.id for path, one in store.files("/", model).items()}
    before = store.generation()
    with store.writing() as writer:
        writer.change_own_tags([ids["/a"]], ["grandma's birthday", "größe"], [])
    assert [(hit.number, hit.columns) for hit in store.find_words("birthday", model)] == [(numbers[0], ("tags",))]
    assert store.reasons("birthday", numbers, model) == {numbers[0]: ("tag: grandma's birthday, größe",)}
    left_out = [Condition(Tagged("GRANDMA'S birthday"), exclude=True)]
    assert store.searchable(model, (), left_out).tolist() == [numbers[1]]
    assert store.searchable(model, (), [Condition(Tagged("gro\u0308sse"))]).tolist() == [numbers[0]]
    assert store.generation() == before
    with store.writing() as writer:
        writer.change_own_tags([ids["/a"]], [], ["Grandma's Birthday"])
    assert store.find_words("birthday", model) == []
    assert not {"words", "wrong own tag"} & {one.kind for one in store.damages(None, deep=True)}


@pytest.mark.parametrize("first", ["the one that takes its name", "the one that gives it up"])
def test_tags_of_people_follow_files_that_are_numbered_anew(store: Store, first: str) -> None:
    model = add(store, "/1", b"1")
    add(store, "/2", b"2")
    ids = {path: one.id for path, one in store.files("/", model).items()}
    contents = store.contents(model)
    with store.writing() as writer:
        writer.change_own_tags([ids["/1"]], ["one"], [])
        writer.change_own_tags([ids["/2"]], ["two"], [])
    steps: list[Callable[[StoreWriter], None]] = [
        lambda writer: writer.move(ids["/1"], Found("/2", 10, 6)),
        lambda writer: writer.place(Found("/3", 10, 7), contents[b"2"]),
    ]
    for step in steps if first == "the one that takes its name" else steps[::-1]:
        with store.writing() as writer:
            step(writer)
    found = {
        photo.path: photo.own_tags for own in store.photos(store.searchable(model).tolist()).values() for photo in own
    }
    assert found == {"/2": ("one",), "/3": ("two",)}
    assert [hit.number for hit in store.find_words("two", model)] == [store.vector_of("/3", model)]
    with store.writing() as writer:  # a copy that comes later has none
        writer.place(Found("/4", 10, 8), contents[b"2"])
    assert store.tag_counts() == {"one": 1, "two": 1}


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    model = add(store, "/a", b"1")
    before = store.generation()
    with contextlib.suppress(ZeroDivisionError), store.writing() as writer:
        writer.add_root("/")
        writer.place(Found("/b", 1, 1), writer.put(b"2", PICTURE, vector_of(b"2"), model, b"tokens", CARD))
        raise ZeroDivisionError
    assert (store.counts(), store.generation(), store.roots()) == (Counts(1, 0, 0), before, [])
    assert list(store.contents(model)) == [b"1"]


def test_many_vectors_and_region_tokens_come_back_in_the_order_of_ids(store: Store) -> None:
    count = 1200
    with store.writing() as writer:
        model = writer.add_model("m", "abc", DIM, active=True)
        for number in range(count):
            own = (pack(tokens(number))[0], CARD) if number % 3 else (None, None)
            content = writer.put(b"%d" % number, PICTURE, np.full(DIM, number, np.float32), model, *own)
            writer.place(Found(f"/{number}", 1, 1), content)
    ids = np.random.default_rng(0).permutation(store.searchable(model))
    numbers = store.vectors(ids, DIM)[:, 0].astype(int)
    assert sorted(numbers.tolist()) == list(range(count))
    assert {number: photos[0].path for number, photos in store.photos(ids.tolist()).items()} == {
        number: f"/{name}" for number, name in zip(ids.tolist(), numbers.tolist(), strict=True)
    }
    found, there = store.regions(ids, model, CARD)
    np.testing.assert_array_equal(there, numbers % 3 > 0)
    np.testing.assert_array_equal(found, tokens(*numbers.tolist()) * there[:, None, None])
    assert store.with_regions(model) == count * 2 // 3
    lacking = store.pending_regions(model, CARD, ["/"])
    assert sorted(int(item.hash) for item in lacking) == list(range(0, count, 3))
    assert not store.regions(ids, model, NEWER)[1].any()
    empty, none = store.regions(ids[:0], model, CARD)
    assert (empty.shape, none.shape) == ((0, 4, 3), (0,))


def test_tokens_of_another_model_stand_beside_the_vectors_that_are_searched(store: Store) -> None:
    model = add(store, "/a", b"1")
    add(store, "/b", b"2")
    add(store, "/away/c", b"3")
    generation = store.generation()
    assert (store.known_model("abc"), store.known_model("def")) == (model, None)
    with store.writing() as writer:
        other = writer.add_model("other", "def", 2, active=False)
    assert store.known_model("def") == other
    ids = store.searchable(model)
    assert store.of_model(ids, model).tolist() == ids.tolist()
    assert store.of_model(ids, other).tolist() == [-1, -1, -1]
    assert store.of_model(ids[:0], other).tolist() == []
    pending = store.pending_regions(model, CARD, ["/"], other)
    assert [item.hash for item in pending] == [b"1", b"3", b"2"]
    with store.writing() as writer:
        for item in pending[:2]:
            vector = np.array([float(item.hash), 0], np.float32)
            writer.put_regions(item.item, pack(tokens(int(item.hash)))[0], other, CARD, vector)
    assert [item.hash for item in store.pending_regions(model, CARD, ["/"], other)] == [b"2"]
    assert store.pending_regions(model, CARD, ["/away"], other) == []
    assert len(store.pending_regions(model, CARD, ["/"])) == 3  # none of its own
    contents = [content_of(vector) for vector in store.vectors(ids, DIM)]
    its = store.of_model(ids[::-1], other)[::-1]
    assert [content for content, number in zip(contents, its.tolist(), strict=True) if number < 0] == [b"2"]
    there = its >= 0
    known = [int(content) for content, one in zip(contents, there, strict=True) if one]
    assert store.vectors(its[there], 2)[:, 0].tolist() == known
    found, has = store.regions(its, other, CARD)
    assert has.tolist() == there.tolist()
    np.testing.assert_array_equal(found[there], tokens(*known))
    assert (store.with_regions(model), store.with_regions(other)) == (0, 2)
    assert store.generation() == generation  # nothing else can be found
    assert store.searchable(model).tolist() == ids.tolist()
    with store.writing() as writer:
        assert writer.prune(keep=other) == 0
    assert store.with_regions(other) == 2
    with store.writing() as writer:
        assert writer.prune() == 2
    assert (store.known_model("def"), store.with_regions(other)) == (None, 0)


def test_the_generation_grows_with_what_can_be_found(store: Store) -> None:
    model = add(store, "/a", b"1")
    add(store, "/b", b"2")
    a, b = (store.vector_of(path, model) for path in ("/a", "/b"))
    own = store.files("/a", model)["/a"].id
    changes: list[tuple[Callable[[StoreWriter], object], set[int | None]]] = [
        (lambda writer: writer.miss([own]), {b}),
        (lambda writer: writer.touch(own, Found("/a", 10, 6)), {a, b}),
        (lambda writer: writer.fail(Found("/a", 10, 7), "broken"), {b}),
        (lambda writer: writer.move(own, Found("/c", 10, 7)), {a, b}),
        (lambda writer: writer.move(own, Found("/b", 10, 7)), {a}),
        (lambda writer: writer.remove("/b"), set()),
    ]
    for change, held in changes:
        before = store.generation()
        with store.writing() as writer:
            change(writer)
        assert store.generation() > before
        assert set(store.searchable(model).tolist()) == held
    before = store.generation()
    with store.writing() as writer:
        writer.sweep()
        writer.add_root("/")
    assert store.generation() == before


def test_the_vector_of_a_file_is_known_when_the_file_is_not_there(store: Store) -> None:
    model = add(store, "/a", b"1")
    add(store, "/b", b"2")
    first, second = store.searchable(model).tolist()
    with store.writing() as writer:
        writer.miss([store.files("/a", model)["/a"].id])
        writer.fail(Found("/b", 1, 1), "broken")
        writer.fail(Found("/c", 1, 1), "broken from the start")
        other = writer.add_model("other", "def", DIM, active=False)
    assert [store.vector_of(path, model) for path in ("/a", "/b", "/c", "/d")] == [first, second, None, None]
    assert store.vector_of("/a", other) is None


def test_a_picture_has_the_hash_and_metadata_of_what_was_encoded_last(store: Store) -> None:
    rising = np.repeat(np.arange(0, 90, 10, dtype=np.uint8)[None, :, None], 3, axis=2)  # every bit is set
    with store.writing() as writer:
        model = writer.add_model("m", "abc", DIM, active=True)
        for content, pixels in ((b"1", rising), (b"2", rising[:, ::-1])):
            picture = Decoded(np.ascontiguousarray(pixels), 40, 30, "jpeg", Exif(taken_at=datetime(2024, 5, 1)))
            stored = writer.put(content, picture, np.zeros(DIM, np.float32), model)
            writer.place(Found("/" + content.decode(), 10, 5), stored)
    ids = store.searchable(model)
    hashes, there = store.hashes(np.array([ids[1], ids[1] + 99, ids[0]], np.int64))
    assert (hashes.tolist(), there.tolist()) == ([0, 0, 2**64 - 1], [True, False, True])
    first = DuplicateCandidate(int(ids[0]), Found("/1", 10, 5), 1200, datetime(2024, 5, 1), b"\xff" * 8)
    second = replace(first, vector=int(ids[1]), file=Found("/2", 10, 5), dhash=bytes(8))
    assert store.duplicate_candidates(model) == [first, second]
    assert store.duplicate_candidates(model, ["/1"]) == [first]
    with store.writing() as writer:
        other = writer.add_model("n", "def", DIM, active=False)
        writer.put(b"1", replace(PICTURE, pixels=np.zeros((9, 9, 3), np.uint8)), np.zeros(DIM, np.float32), other)
    # A version that reads more of a file has read it by then.
    assert store.duplicate_candidates(model, ["/1"]) == [replace(first, dhash=bytes(8), taken_at=None)]


def test_one_writes_at_a_time(open_store: Opener) -> None:
    with open_store() as store, open_store() as other:
        with store.lock(), pytest.raises(LibraryBusyError), other.lock():
            pass
        with other.lock():
            pass


def test_a_backup_is_one_file(store: Store, tmp_path: Path) -> None:
    if not store.capabilities.backup_file:
        pytest.skip("this driver makes none")
    add(store, "/a", b"1")
    store.backup(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size > 0
    with pytest.raises(TransferError):
        store.backup(tmp_path / "copy")
    store.backup(tmp_path / "copy", force=True)


def test_a_sound_library_has_no_damages(store: Store) -> None:
    if not store.capabilities.integrity_rules:
        pytest.skip("this driver has no rules")
    with store.writing() as writer:
        writer.add_root("/")
    picture, vector = replace(PICTURE, exif=Exif()), np.array([0, 1, 0, 0], np.float32)
    with store.writing() as writer:
        model = writer.add_model("m", "abc", DIM, active=True)
        writer.place(Found("/a", 10, 5), writer.put(bytes(16), picture, vector, model))
    assert store.damages(None, deep=True) == []
    store.mend(None)
    assert (store.damages(None, deep=True), store.counts()) == ([], Counts(1, 0, 0))


# Against plain dictionaries

OWN = ("cat", "dog", "sea")  # what people write; the first two are tags of the model too


@dataclass
class Row:
    """A file, as the test remembers it."""

    id: int
    state: str
    size: int
    mtime_ns: int
    content: bytes | None
    reason: str | None = None
    own: dict[str, str] = field(default_factory=dict)  # tags that people gave: in small letters -> as written


@dataclass
class Content:
    """What was stored of a content."""

    vectors: dict[str, int | None] = field(default_factory=dict)  # fingerprint -> id, once it was seen
    tokens: dict[str, Regions] = field(default_factory=dict)  # fingerprint of the model -> those of ``CARD``
    caption: str | None = None
    text: str | None = None
    tags: dict[str, float] | None = None


class Walk:
    """A store, what it should hold, and changes of both by chance."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.rng = store, np.random.default_rng(seed)
        self.rows: dict[str, Row] = {}
        self.contents: dict[bytes, Content] = {}
        self.waiting: dict[bytes, dict[str, str]] = {}  # content -> own tags of files whose rows gave way
        self.roots: dict[str, tuple[str, ...]] = {}  # with what is left out of them
        self.vectors_given: set[int] = set()  # ids of vectors that were seen at any time
        self.photos_given: set[int] = set()
        self._hashes = (b"%03d" % number for number in itertools.count())
        self._times = itertools.count(1)
        with store.writing() as writer:
            self.models = [
                writer.add_model("first", "abc", DIM, active=True),
                writer.add_model("second", "def", DIM, active=False),
            ]

    # What is asked

    def ok(self) -> dict[str, Row]:
        return {path: row for path, row in sorted(self.rows.items(), key=_bytes) if row.state == "ok"}

    def files(self, content: bytes) -> list[str]:
        return [path for path, row in self.ok().items() if row.content == content]

    def check(self) -> None:
        store, ok = self.store, self.ok()
        states = [row.state for row in self.rows.values()]
        assert store.counts() == Counts(*(states.count(one) for one in ("ok", "failed", "missing")))
        assert store.roots() == sorted(self.roots)
        assert store.exclusions() == {root: globs for root, globs in self.roots.items() if globs}
        failed = {path: row for path, row in sorted(self.rows.items(), key=_bytes) if row.state == "failed"}
        assert store.failures() == [Skipped(path, row.reason or "") for path, row in failed.items()]
        assert store.existing_paths([*self.rows, "/none"]) == set(self.rows)
        assert store.hashed() == [(Found(p, row.size, row.mtime_ns), row.content) for p, row in ok.items()]
        for model in self.models:
            self._check_model(model)
        captioned = [path for path, row in ok.items() if self._of(row).caption is not None]
        assert store.with_captions() == len(captioned)
        counts: dict[str, int] = {}
        spelled = {key: tag for row in self.rows.values() for key, tag in row.own.items()}
        for row in ok.values():
            for key in {*(self._of(row).tags or {}), *row.own}:
                counts[spelled.get(key, key)] = counts.get(spelled.get(key, key), 0) + 1
        assert list(store.tag_counts().items()) == sorted(counts.items(), key=lambda one: (-one[1], one[0]))

    def _check_model(self, model: StoredModel) -> None:
        store, name = self.store, model.fingerprint
        known = store.files("/", model)
        assert {path: (one.state, one.size, one.mtime_ns, one.reason) for path, one in known.items()} == {
            path: (row.state, row.size, row.mtime_ns, row.reason) for path, row in self.rows.items()
        }
        assert {path: one.id for path, one in known.items()} == {path: row.id for path, row in self.rows.items()}
        encoded = {content for content, one in self.contents.items() if name in one.vectors}
        assert {path for path, one in known.items() if one.embedded} == {
            path for path, row in self.rows.items() if row.content in encoded
        }
        assert set(store.contents(model)) == encoded
        by_id = self._check_vectors(model, {content for content in encoded if self.files(content)})
        self._check_photos(by_id)
        self._check_pending(model, by_id)
        lacking = [path for path, row in self.ok().items() if row.content not in encoded]
        assert store.pending_vectors(model) == len(lacking)

    def _check_vectors(self, model: StoredModel, held: set[bytes]) -> dict[int, bytes]:
        """The ids of vectors that can be found, and the contents that they are of."""
        ids = self.store.searchable(model)
        assert ids.dtype == np.int64
        assert (np.diff(ids) > 0).all()
        rows = self.store.vectors(ids, DIM)
        by_id = {int(n): content_of(row) for n, row in zip(ids, rows, strict=True)}
        assert set(by_id.values()) == held
        assert len(by_id) == len(held)
        for number, content in by_id.items():
            seen = self.contents[content].vectors
            if seen[model.fingerprint] is None:
                assert number not in self.vectors_given  # no id is used twice
                self.vectors_given.add(number)
                seen[model.fingerprint] = number
            assert seen[model.fingerprint] == number
        wanted = {content for content in held if model.fingerprint in self.contents[content].tokens}
        found, there = self.store.regions(ids, model, CARD)
        assert {content for content, one in zip(by_id.values(), there, strict=True) if one} == wanted
        for content, own, one in zip(by_id.values(), found, there, strict=True):
            np.testing.assert_array_equal(
                own, self.contents[content].tokens[model.fingerprint] if one else np.zeros((4, 3))
            )
        return by_id

    def _check_photos(self, by_id: dict[int, bytes]) -> None:
        found = self.store.photos(list(by_id))
        assert {number: [photo.path for photo in photos] for number, photos in found.items()} == {
            number: self.files(content) for number, content in by_id.items()
        }
        for number, photos in found.items():
            own = self.contents[by_id[number]]
            for photo in photos:
                row = self.rows[photo.path]
                assert (photo.id, photo.size, photo.mtime_ns) == (row.id, row.size, row.mtime_ns)
                assert (photo.caption, photo.text) == (own.caption, own.text or None)
                surest = sorted((own.tags or {}).items(), key=lambda one: (-one[1], one[0]))
                assert photo.own_tags == tuple(tag for _, tag in sorted(row.own.items()))
                assert photo.tags == (*photo.own_tags, *(tag for tag, _ in surest if tag not in row.own))
        for key in OWN:
            meeting = self.store.photos(list(by_id), (), [Condition(Tagged(key.upper()))])
            assert {photo.path for photos in meeting.values() for photo in photos} == {
                path
                for path, row in self.ok().items()
                if row.content in by_id.values() and (key in row.own or key in (self._of(row).tags or {}))
            }

    def _check_pending(self, model: StoredModel, by_id: dict[int, bytes]) -> None:
        store, name = self.store, model.fingerprint
        can = set(by_id.values())
        without = {content for content in can if name not in self.contents[content].tokens}
        assert {item.hash for item in store.pending_regions(model, CARD, ["/"])} == without
        assert {item.hash for item in store.pending_regions(model, NEWER, ["/"])} == can
        folder = {content for content in without if any(path.startswith("/a/") for path in self.files(content))}
        assert {item.hash for item in store.pending_regions(model, CARD, ["/a"])} == folder
        captions = {by_id[item.vector] for item in store.pending_captions(model, CARD, "r", ["/"])}
        assert captions == {c for c in can - without if self.contents[c].caption is None}
        tags = {by_id[item.vector] for item in store.pending_tags(model, "v")}
        assert tags == {content for content in can if self.contents[content].tags is None}

    def _of(self, row: Row) -> Content:
        return self.contents[row.content] if row.content is not None else Content()

    # What is changed

    def change(self) -> None:
        """One change; the generation grows where it is of what can be found."""
        names = (
            "new", "new", "copy", "replace", "fail", "miss", "back", "move", "move", "remove", "again", "enrich",
            "root", "tag", "tag", "tag",
        )  # fmt: skip
        name = str(self.rng.choice(names))
        before = (self.store.generation(), [self.store.searchable(model).tolist() for model in self.models])
        with self.store.writing() as writer:
            getattr(self, f"_{name}")(writer)
        after = (self.store.generation(), [self.store.searchable(model).tolist() for model in self.models])
        assert after[0] >= before[0]
        assert after[0] > before[0] or after[1][0] == before[1][0], name

    def _path(self) -> str:
        return f"/{self.rng.choice(['a', 'b', 'ab'])}/{self.rng.integers(30)}.jpg"

    def _some(self, *states: str) -> str | None:
        paths = [path for path, row in sorted(self.rows.items()) if row.state in states]
        return str(self.rng.choice(paths)) if paths else None

    def _place(self, writer: StoreWriter, path: str, content: bytes, number: int) -> None:
        file = Found(path, int(self.rng.integers(1, 99)), next(self._times))
        writer.place(file, number)
        old = self.rows.get(path)
        own = {**self.waiting.pop(content, {}), **(old.own if old else {})}
        self.rows[path] = Row(old.id if old else 0, "ok", file.size, file.mtime_ns, content, own=own)

    def _put(self, writer: StoreWriter, content: bytes, model: StoredModel) -> int:
        own = self.contents.setdefault(content, Content())
        seed = int(self.rng.integers(1000))
        data = pack(tokens(seed))[0] if self.rng.random() < 0.5 else None
        number = writer.put(content, PICTURE, vector_of(content), model, data, None if data is None else CARD)
        own.vectors.setdefault(model.fingerprint, None)
        if data is not None:
            own.tokens[model.fingerprint] = tokens(seed)[0]
        return number

    def _new(self, writer: StoreWriter) -> None:
        content = next(self._hashes)
        number = self._put(writer, content, self.models[0])
        if self.rng.random() < 0.5:
            assert self._put(writer, content, self.models[1]) == number
        self._place(writer, self._path(), content, number)

    def _copy(self, writer: StoreWriter) -> None:
        known = dict(self.store.contents(self.models[0]))
        if known:
            content = sorted(known)[int(self.rng.integers(len(known)))]
            self._place(writer, self._path(), content, known[content])

    def _replace(self, writer: StoreWriter) -> None:
        path = self._some("ok", "failed", "missing")
        if path is not None:
            content = next(self._hashes)
            self._place(writer, path, content, self._put(writer, content, self.models[0]))

    def _fail(self, writer: StoreWriter) -> None:
        path = self._some("ok", "missing") or self._path()
        file, retry = Found(path, int(self.rng.integers(1, 99)), next(self._times)), self.rng.random() < 0.3
        writer.fail(file, "broken", retry)
        old = self.rows.get(path)
        time = -1 if retry else file.mtime_ns
        old = old or Row(0, "failed", 0, 0, None)
        self.rows[path] = Row(old.id, "failed", file.size, time, old.content, "broken", old.own)

    def _miss(self, writer: StoreWriter) -> None:
        path = self._some("ok", "failed")
        if path is not None:
            writer.miss([self.rows[path].id])
            self.rows[path].state = "missing"

    def _back(self, writer: StoreWriter) -> None:
        path = self._some("missing")
        if path is not None and self.rows[path].content is not None:
            file = Found(path, int(self.rng.integers(1, 99)), next(self._times))
            writer.touch(self.rows[path].id, file)
            row = self.rows[path]
            self.rows[path] = Row(row.id, "ok", file.size, file.mtime_ns, row.content, own=row.own)

    def _move(self, writer: StoreWriter) -> None:
        path, target = self._some("ok"), self._path()
        if path is not None:
            row = self.rows.pop(path)
            file = Found(target, row.size, next(self._times))
            writer.move(row.id, file)
            gone = self.rows.pop(target, None)
            self.rows[target] = Row(row.id, "ok", file.size, file.mtime_ns, row.content, own=row.own)
            if gone is not None and gone.own and gone.content is not None:
                heirs = [other for other in self.rows.values() if other.content == gone.content]
                for heir in heirs:
                    heir.own = {**gone.own, **heir.own}
                if not heirs:
                    self.waiting[gone.content] = {**gone.own, **self.waiting.get(gone.content, {})}

    def _tag(self, writer: StoreWriter) -> None:
        """A person gives some files a tag and takes another from them."""
        paths = [path for path, row in sorted(self.rows.items()) if row.content is not None]
        chosen = [self.rows[path] for path in paths if self.rng.random() < 0.3]
        add, remove = (str(tag) for tag in self.rng.permutation(OWN)[:2])
        spelled = {key: tag for row in self.rows.values() for key, tag in row.own.items() if key != remove}
        written = spelled.get(add, add.title() if self.rng.random() < 0.5 else add)
        lacking, having = [row for row in chosen if add not in row.own], [row for row in chosen if remove in row.own]
        change = writer.change_own_tags([*(row.id for row in chosen), 10**9], [written], [remove.upper()])
        touched = {id(row) for row in (*lacking, *having)}
        assert change == TagChange(len(chosen), len(touched), len(lacking), len(having))
        for row in lacking:
            row.own[add] = written
        for row in having:
            del row.own[remove]

    def _remove(self, writer: StoreWriter) -> None:
        path = self._some("ok", "failed", "missing")
        if path is None or (folder := self.rng.random() < 0.1):
            path, folder = "/ab", True
        gone = [one for one in self.rows if one == path or one.startswith(path + "/")]
        assert writer.remove(path) == len(gone)
        if folder:
            self.roots.pop(path, None)
        self.rows = {one: row for one, row in self.rows.items() if one not in gone}
        writer.sweep()
        held = {row.content for row in self.rows.values()}
        self.contents = {content: one for content, one in self.contents.items() if content in held}

    def _again(self, writer: StoreWriter) -> None:
        path = self._some("ok")
        if path is not None:
            writer.read_again([path])
            self.rows[path].mtime_ns = -1

    def _enrich(self, writer: StoreWriter) -> None:
        """Something more about the first item that lacks it."""
        store, model = self.store, self.models[int(self.rng.integers(2))]
        seed = int(self.rng.integers(1000))
        for item in store.pending_regions(model, CARD, ["/"])[:1]:
            writer.put_regions(item.item, pack(tokens(seed))[0], model, CARD)
            writer.put_metadata(item.content, PICTURE)
            self.contents[item.hash].tokens[model.fingerprint] = tokens(seed)[0]
        for item in store.pending_text("engine", ["/"])[:1]:
            writer.put_text(item.item, "engine", f"text {seed}" if seed % 2 else "")
            self.contents[item.hash].text = f"text {seed}" if seed % 2 else ""
        for lacking in store.pending_captions(model, CARD, "r", ["/"])[:1]:
            writer.put_caption(lacking.item, "r", f"caption {seed}", 0.5)
            self._with_vector(lacking.vector).caption = f"caption {seed}"
        for lacking in store.pending_tags(model, "v")[:1]:
            scores = {"cat": 0.25, "dog": 0.5} if seed % 3 else {}
            writer.put_tags("v", {lacking.item: scores})
            self._with_vector(lacking.vector).tags = scores

    def _with_vector(self, number: int) -> Content:
        return self.contents[content_of(self.store.vectors(np.array([number]), DIM)[0])]

    def _root(self, writer: StoreWriter) -> None:
        root = str(self.rng.choice(["/ab", "/a"]))
        given: list[tuple[str, ...] | None] = [None, (), ("*.tmp", "b\udcff")]
        exclude = given[int(self.rng.integers(3))]
        writer.add_root(root, exclude)
        self.roots[root] = self.roots.get(root, ()) if exclude is None else exclude

    def learn(self) -> None:
        """The ids of photos that are new; those that were there keep theirs."""
        for path, one in self.store.files("/", self.models[0]).items():
            if not self.rows[path].id:
                assert one.id not in self.photos_given
                self.photos_given.add(one.id)
                self.rows[path].id = one.id


def _bytes(one: tuple[str, Row]) -> bytes:
    return os.fsencode(one[0])


@pytest.mark.parametrize("seed", range(3))
def test_any_changes_leave_what_plain_dictionaries_hold(open_store: Opener, seed: int) -> None:
    with open_store() as store, open_store() as other:  # what one writes the other reads, as another process would
        walk = Walk(store, seed)
        for step in range(60):
            walk.store = (store, other)[step % 2]
            walk.change()
            walk.store = (store, other)[walk.rng.integers(2)]
            walk.learn()
            if step % 4 == 0:
                walk.check()
        walk.check()
        with store.writing() as writer:
            writer.activate(walk.models[1])
            gone = writer.prune()
        assert gone == sum("abc" in content.vectors for content in walk.contents.values())
        assert [kept.model for kept in other.kept_models()] == [walk.models[1]]
