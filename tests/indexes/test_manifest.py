"""The files of an index: caught up, kept up, and good after any kill."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_vectors import DIM, clustered, texts, unit

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes import autotune, maintenance, policy
from mmsearch.indexes import manifest as cache_module
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import maintained
from mmsearch.indexes.manifest import IndexCache, caught_up
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Ids, Vectors

NOTHING = np.zeros(0, np.int64)
NO_ROWS = np.zeros((0, DIM), np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def cache(tmp_path: Path) -> IndexCache:
    return IndexCache(tmp_path / "index", "lib", "abc", DIM)


def names(tmp_path: Path) -> set[str]:
    """Of the files, without what is random in them."""
    return {f"{file.name.split('-')[0]}{file.suffix}" for file in (tmp_path / "index").iterdir()}


def test_catching_up_adds_what_lacks_and_removes_what_is_gone(rng: np.random.Generator) -> None:
    vectors = unit(rng, 50)
    index = StoredIndex(Rows(DIM).plus(np.arange(20), vectors[:20]))
    fetched: list[int] = []

    def fetch(ids: Ids) -> Vectors:
        fetched.extend(ids.tolist())
        return vectors[ids]

    wanted = np.arange(10, 50)
    caught = caught_up(index, wanted, fetch)
    assert caught.ids().tolist() == wanted.tolist()
    assert fetched == list(range(20, 50))
    assert caught_up(caught, wanted, fetch) is caught
    assert index.ids().tolist() == list(range(20))  # whoever still searches the old one is not disturbed
    again = caught_up(caught, np.arange(50), fetch)  # the first ones are back
    assert fetched == list(range(20, 50))
    np.testing.assert_array_equal(again.vectors(np.arange(50)), vectors)


def test_many_new_rows_are_written_before_memory_is_full(
    rng: np.random.Generator, cache: IndexCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BLOCK", 10)
    monkeypatch.setattr(cache_module, "HELD", 25)
    vectors = unit(rng, 100)
    index = caught_up(StoredIndex(Rows(DIM)), np.arange(100), lambda ids: vectors[ids], cache.hold)
    assert index.rows.on_disk == 90
    cache.save(index, 4)
    np.testing.assert_array_equal(cache.load(4)[0].vectors(np.arange(100)), vectors)


def test_newest_index_is_kept_and_a_damaged_one_is_built_again(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (len(cache.load(99)[0]), cache.load(99)[1]) == (0, -1)
    index = StoredIndex(Rows(DIM))
    for generation in (3, 12):
        index = cache.save(index.changed(np.array([generation]), unit(rng, 1), NOTHING), generation)
    assert names(tmp_path) == {"index.json", "rows.f16", "rows.ids"}
    loaded, generation = cache.load(12)
    assert (loaded.ids().tolist(), generation) == ([3, 12], 12)
    assert cache.load(11)[1] == -1  # the database was put back to an earlier state
    assert cache.load(12, than=12)[1] == -1  # no newer one
    assert IndexCache(tmp_path / "index", "lib", "other", DIM).load(99)[1] == -1
    assert IndexCache(tmp_path / "index", "other", "abc", DIM).load(99)[1] == -1
    (rows,) = (tmp_path / "index").glob("*.f16")
    os.truncate(rows, 2 * DIM)
    with caplog.at_level(logging.WARNING):
        assert (len(cache.load(99)[0]), cache.load(99)[1]) == (0, -1)
    assert f"the index {rows} is damaged: it is shorter than it was; building it again" in caplog.text
    assert cache.save(index, 13).ids().tolist() == [3, 12]  # those that have it open still have it


@pytest.mark.parametrize("content", [b"", b"not an index", b"{}", b"[1]", b'{"dim": 24, "rows": 3}'])
def test_damaged_description_is_refused(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, content: bytes
) -> None:
    cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 5)
    (tmp_path / "index" / "index-lib-abc-5.json").write_bytes(content)
    assert cache.load(5)[1] == -1
    assert cache.save(StoredIndex(Rows(DIM)), 6).ids().tolist() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", -1), ("count", 2**62), ("count", 2**70), ("count", 4), ("count", 2.0), ("count", None),
        ("count", True),
        ("dead", [-1]), ("dead", [10**12]), ("dead", [2**64]), ("dead", [[1]]), ("dead", [1.5]), ("dead", ["1"]),
        ("dead", [[1], [2, 3]]), ("dead", None), ("dead", {}), ("rows", 7), ("rows", None), ("likely", [[]] * 3),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, key: str, value: object
) -> None:
    cache.save(StoredIndex(Rows(DIM).plus(np.arange(3), unit(rng, 3))), 5)
    file = tmp_path / "index" / "index-lib-abc-5.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    assert cache.load(5)[1] == -1
    with pytest.raises(LibraryError, match="is damaged"):
        cache.newest()


@pytest.mark.parametrize("name", ["index-lib-abc-6.json", "index-lib-abc-²7.json", "index-lib-abc-x.json"])
def test_what_is_no_file_of_an_index_stops_nobody(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, name: str
) -> None:
    cache.save(StoredIndex(Rows(DIM).plus(np.arange(3), unit(rng, 3))), 5)
    (tmp_path / "index" / name).mkdir()
    (tmp_path / "index" / "index-lib-abc-8.json").write_text("[" * 100_000)
    assert cache.load(9)[1] == 5
    assert cache.save(StoredIndex(Rows(DIM).plus(np.arange(3), unit(rng, 3))), 9).ids().tolist() == [0, 1, 2]
    assert cache.load(9)[1] == 9


def test_index_of_another_width_is_refused(rng: np.random.Generator, cache: IndexCache, tmp_path: Path) -> None:
    cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 5)
    assert IndexCache(tmp_path / "index", "lib", "abc", 8).load(5)[1] == -1
    with pytest.raises(DimensionError, match="24 dimensions, the index has 8"):
        IndexCache(tmp_path / "index", "lib", "abc", 8)._read(tmp_path / "index" / "index-lib-abc-5.json")


def test_rows_are_only_added_to_the_file(rng: np.random.Generator, cache: IndexCache, tmp_path: Path) -> None:
    vectors = unit(rng, 6)
    first = cache.save(StoredIndex(Rows(DIM).plus(np.arange(4), vectors[:4])), 1)
    (file,) = (tmp_path / "index").glob("*.f16")
    before = file.read_bytes()
    with file.open("ab") as opened:
        opened.write(b"what a killed process left behind")
    second = cache.save(first.changed(np.arange(4, 6), vectors[4:], np.array([1])), 2)
    assert list((tmp_path / "index").glob("*.f16")) == [file]
    assert file.read_bytes() == before + vectors[4:].astype("<f2").tobytes()
    assert (first.ids().tolist(), second.ids().tolist()) == ([0, 1, 2, 3], [0, 2, 3, 4, 5])
    np.testing.assert_array_equal(cache.load(2)[0].vectors(np.array([5, 0])), vectors[[5, 0]])


def test_rows_that_another_process_added_are_not_overwritten(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path
) -> None:
    vectors = unit(rng, 6)
    first = cache.save(StoredIndex(Rows(DIM).plus(np.arange(2), vectors[:2])), 1)
    theirs = cache.save(first.changed(np.arange(2, 4), vectors[2:4], NOTHING), 2)
    ours = cache.save(first.changed(np.arange(4, 6), vectors[4:], NOTHING), 3)
    np.testing.assert_array_equal(theirs.vectors(np.arange(4)), vectors[:4])
    np.testing.assert_array_equal(ours.vectors(np.array([0, 1, 4, 5])), vectors[[0, 1, 4, 5]])
    assert cache.load(3)[0].ids().tolist() == [0, 1, 4, 5]
    assert len(list((tmp_path / "index").glob("*.f16"))) == 1  # that of the older one went with it


def test_failed_write_leaves_the_old_index(rng: np.random.Generator, cache: IndexCache, tmp_path: Path) -> None:
    index = cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 1)
    (tmp_path / "index" / "index-lib-abc-2.json").mkdir()  # a folder of that name cannot be replaced by a file
    with pytest.raises(LibraryError, match="cannot be written"):
        cache.save(index.changed(np.array([2]), unit(rng, 1), NOTHING), 2)
    assert cache.load(1)[0].ids().tolist() == [1]
    assert not list((tmp_path / "index").glob("*.partial"))


def test_files_of_an_older_version_and_of_killed_processes_go(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path
) -> None:
    (tmp_path / "index").mkdir()
    names = ("exact-b429ff10-bb6dddd678b09dc7-3.faiss", f"rows-{'1' * 16}.f16", f"rows-{'2' * 16}.f16")
    old, killed, busy = (tmp_path / "index" / name for name in names)
    for file in (old, killed, busy):
        file.write_bytes(b"x")
    os.utime(killed, (1, 1))
    cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 4)
    assert [file.exists() for file in (old, killed, busy)] == [False, False, True]


def test_files_of_somebody_else_stay(rng: np.random.Generator, cache: IndexCache, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    names = [
        "cat.jpg", ".hidden", "index.json", "index-my-holiday-2019.json", "index-0a1b2c3d-2019.json", "rows-1.f16",
        "rows-0123456789abcdef.jpg", "likely.faiss", "exact-words.txt", "notes.partial",
    ]  # fmt: skip
    theirs = [folder / name for name in names]
    for file in theirs:
        file.write_text('{"rows": "x", "likely": null}')
        os.utime(file, (1, 1))
    (folder / "below").mkdir()
    for generation in (1, 2):
        cache.save(StoredIndex(Rows(DIM).plus(np.array([generation]), unit(rng, 1))), generation)
    assert cache.load(2)[1] == 2
    cache.clear()
    assert sorted(folder.iterdir()) == sorted([*theirs, folder / "below"])


def test_nothing_happens_through_a_link(rng: np.random.Generator, cache: IndexCache, tmp_path: Path) -> None:
    index = StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1)))
    cache.save(index, 1)
    elsewhere = (tmp_path / "index").rename(tmp_path / "elsewhere")
    (tmp_path / "index").symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    for work in (cache.clear, cache.newest, lambda: cache.save(index, 2), lambda: cache.hold(index.rows)):
        with pytest.raises(LibraryError, match="is a link"):
            work()
    assert cache.load(2)[1] == -1
    assert sorted(elsewhere.iterdir()) == before


def test_a_row_file_that_became_a_link_is_neither_read_nor_written(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path
) -> None:
    index = cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 1)
    (rows,) = (tmp_path / "index").glob("*.f16")
    theirs = rows.rename(tmp_path / "theirs")
    rows.symlink_to(theirs)
    content = theirs.read_bytes()
    cache.save(index.changed(np.array([2]), unit(rng, 1), NOTHING), 2)
    assert theirs.read_bytes() == content
    assert cache.load(2)[0].ids().tolist() == [1, 2]
    (rows,) = (file for file in (tmp_path / "index").glob("*.f16") if not file.is_symlink())
    shutil.copy(rows, tmp_path / "theirs")
    rows.unlink()
    rows.symlink_to(theirs)
    assert cache.load(2)[1] == -1


@pytest.mark.parametrize("name", ["../rows-0123456789abcdef", "/tmp/rows-0123456789abcdef", "cat", ""])
def test_rows_of_another_folder_are_not_read(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, name: str
) -> None:
    cache.save(StoredIndex(Rows(DIM).plus(np.array([1]), unit(rng, 1))), 1)
    (file,) = (tmp_path / "index").glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "rows": name}))
    assert cache.load(1)[1] == -1
    with pytest.raises(LibraryError, match="is damaged"):
        cache.newest()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Approximate indexes from 3,000 rows on."""
    monkeypatch.setattr(policy, "FEW", 2_999)
    monkeypatch.setattr(maintenance, "LEAST_TAIL", 100)


@pytest.mark.usefixtures("small")
def test_index_is_built_extended_built_anew_and_tidied(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path
) -> None:
    pictures = clustered(rng, 9_000)
    asked = texts(rng, pictures, 200)
    told: list[tuple[int, int]] = []

    def kept(index: StoredIndex) -> StoredIndex:
        return maintained(index, lambda: asked, 0.9, progress=lambda done, total: told.append((done, total)))

    index = cache.save(StoredIndex(Rows(DIM).plus(np.arange(2_999), pictures[:2_999])), 1)
    assert kept(index) is index
    index = cache.save(kept(index.changed(np.arange(2_999, 3_000), pictures[2_999:3_000], NOTHING)), 2)
    assert (index.kind, index.covered, told[-1]) == ("ivf-rabitq", 3_000, (3_000, 3_000))
    first = {file.name for file in (tmp_path / "index").glob("likely-*")}

    index = cache.save(index.changed(np.arange(3_000, 3_100), pictures[3_000:3_100], NOTHING), 3)
    assert kept(index) is index  # so few are looked at one by one
    assert cache.load(3)[0].covered == 3_000
    index = cache.save(kept(index.changed(np.arange(3_100, 3_101), pictures[3_100:3_101], NOTHING)), 4)
    assert (index.covered, told[-1]) == (3_101, (3_000, 3_000))
    assert index.ann is not None
    assert index.ann.built == 3_000
    assert not first & {file.name for file in (tmp_path / "index").glob("likely-*")}

    index = cache.save(kept(index.changed(np.arange(3_101, 9_000), pictures[3_101:], NOTHING)), 5)
    assert index.ann is not None
    assert (index.covered, index.ann.built) == (9_000, 9_000)
    loaded = cache.load(5)[0]
    assert (loaded.kind, loaded.ann and loaded.ann.settings) == ("ivf-rabitq", index.ann.settings)
    for query in asked[:5]:
        assert loaded.search(query[None], 5).ids.tolist() == index.search(query[None], 5).ids.tolist()

    index = cache.save(kept(index.changed(NOTHING, NO_ROWS, np.arange(0, 9_000, 2))), 6)
    assert (len(index), len(index.rows), len(index.deleted)) == (4_500, 4_500, 0)
    assert index.ids().tolist() == list(range(1, 9_000, 2))
    np.testing.assert_array_equal(index.vectors(index.ids()), pictures[1::2])
    assert maintained(index, lambda: asked, 1.0).kind == "exact"


@pytest.mark.usefixtures("small")
def test_where_one_bit_finds_too_little_more_are_taken(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "DEPTHS", (2,))
    scattered = unit(rng, 3_000, 64)  # all are about as near, so one bit a dimension tells little
    asked = unit(rng, 60, 64)
    index = StoredIndex(Rows(64).plus(np.arange(3_000), scattered))
    kept = maintained(index, lambda: asked, 0.99)
    assert (kept.kind, kept.recall > 0.96) == ("ivf-rabitq4", True)
    assert maintained(kept, lambda: asked, 0.99) is kept
    assert maintained(kept, lambda: asked, 0.999).kind == "ivf-sq8"
    assert maintained(kept, lambda: asked, 0.2).kind == "ivf-rabitq"  # another recall is asked for


@pytest.mark.usefixtures("small")
def test_without_its_approximate_part_an_index_compares_all(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = clustered(rng, 3_000)
    asked = texts(rng, pictures, 40)
    index = cache.save(maintained(StoredIndex(Rows(DIM).plus(np.arange(3_000), pictures)), lambda: asked, 0.9), 1)
    assert index.kind == "ivf-rabitq"
    (file,) = (tmp_path / "index").glob("likely-*")
    file.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        loaded, generation = cache.load(1)
    assert (loaded.kind, len(loaded), generation) == ("exact", 3_000, 1)
    assert "until the next index run all pictures are compared" in caplog.text
    assert maintained(loaded, lambda: asked, 0.9).kind == "ivf-rabitq"


@pytest.mark.usefixtures("small")
def test_manifest_has_the_keys_that_other_versions_read(
    rng: np.random.Generator, cache: IndexCache, tmp_path: Path
) -> None:
    pictures = clustered(rng, 3_000)
    asked = texts(rng, pictures, 40)
    index = maintained(StoredIndex(Rows(DIM).plus(np.arange(3_000), pictures)), lambda: asked, 0.9)
    cache.save(index.changed(NOTHING, NO_ROWS, np.array([7])), 1)
    manifest = json.loads((tmp_path / "index" / "index-lib-abc-1.json").read_text("utf-8"))
    assert (manifest.keys(), manifest["dead"]) == ({"dim", "rows", "count", "dead", "likely"}, [7])
    assert manifest["likely"].keys() == {"kind", "file", "hash", "built", "asked", "settings"}
    assert [setting.keys() for setting in manifest["likely"]["settings"]] == [{"k", "effort", "depth", "recall"}] * 2
