"""The map of a library: made, kept, carried on, asked for by ``cluster:``, exported; and where it cannot be made."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mapped
import numpy as np
import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ArgumentError, LibraryError, MapError, NoModelError, QueryError, SourceError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.manage.map.points import anchor, drawn, evenly, order, quantised
from mmsearch.query.model import Clustered, Condition
from mmsearch.store import kept_map
from mmsearch.store.kept_map import Cluster, KeptMap
from mmsearch.types import Progress


@pytest.fixture
def shelf(settings: Settings, encoder: OnnxEncoder, tag_cache: Path, mapped_library: Path) -> Iterator[Library]:
    """A library of thirty pictures, whose clusters are named by the vocabulary."""
    shutil.copytree(mapped_library, settings.library)
    own = replace(settings, cache=tag_cache, regions=False)
    with open_library(settings.library, settings=own, encoder=encoder) as opened:
        yield opened


def places(kept: KeptMap | None) -> dict[int, tuple[float, float, int]]:
    assert kept is not None
    return {
        number: (*where, of)
        for number, where, of in zip(kept.ids.tolist(), kept.places.tolist(), kept.of.tolist(), strict=True)
    }


def test_a_map_has_all_pictures_and_is_the_same_when_it_is_laid_out_again(shelf: Library) -> None:
    steps: list[Progress] = []
    report = shelf.map(progress=steps.append)
    first = shelf.last_map()
    assert (report.photos, report.laid_out, report.placed, report.kept, report.gone) == (30, 30, 0, 0, 0)
    assert (report.method, report.named_by, report.generation) == ("kmeans", "vocabulary", shelf.store.generation())
    assert first is not None
    assert first.ids.tolist() == shelf.store.searchable(shelf.models.active()).tolist()
    assert sum(one.size for one in report.clusters) == 30
    assert len({one.name for one in report.clusters}) == len(report.clusters) == 3
    assert [one.size for one in report.clusters] == sorted((one.size for one in report.clusters), reverse=True)
    assert {step.step for step in steps} == {"layout", "naming"}
    shelf.map(fresh=True)
    assert places(shelf.last_map()) == places(first)


def test_new_pictures_come_to_their_nearest_and_the_others_stay(shelf: Library, tmp_path: Path) -> None:
    shelf.map()
    before = places(shelf.last_map())
    shelf.remove(next(photo.path for photo in shelf if photo.path.endswith("0000.png")))
    mapped.draw(tmp_path / "photos", 3, first=30)
    shelf.index(tmp_path / "photos")
    report = shelf.map()
    now = places(shelf.last_map())
    assert (report.photos, report.laid_out, report.placed, report.kept, report.gone) == (32, 0, 3, 29, 1)
    assert {number: where for number, where in now.items() if number in before} == {
        number: where for number, where in before.items() if number in now
    }
    assert report.generation == shelf.store.generation()
    assert sum(one.size for one in report.clusters) == 32
    model = shelf.models.active()
    for number in sorted(set(now) - set(before)):  # it lies inside the box of its nearest, by brute force
        others = np.array(sorted(set(now) & set(before)))
        vectors = shelf.store.vectors(others, model.dim)
        nearest = others[np.argsort(-vectors @ shelf.store.vectors(np.array([number]), model.dim)[0])[:6]]
        box = np.array([now[one][:2] for one in nearest.tolist()])
        assert (box.min(axis=0) - 1e-4 <= now[number][:2]).all()
        assert (now[number][:2] <= box.max(axis=0) + 1e-4).all()
    again = shelf.map()
    assert (again.kept, again.placed, places(shelf.last_map())) == (32, 0, now)


def test_a_library_that_is_mostly_new_is_laid_out_anew(shelf: Library, tmp_path: Path) -> None:
    shelf.map()
    mapped.draw(tmp_path / "photos", 40, first=30)
    shelf.index(tmp_path / "photos")
    report = shelf.map()
    assert (report.photos, report.laid_out, report.kept) == (70, 70, 0)


def test_names_come_from_words_once_photos_have_some(shelf: Library, mapped_photos: Path, tmp_path: Path) -> None:
    shelf.remove(mapped_photos)
    mapped.draw(tmp_path / "photos", 30)
    shelf.index(tmp_path / "photos")
    assert shelf.map().named_by == "vocabulary"
    before = shelf.last_map()
    for number in range(30):
        colour = ("tomato", "meadow", "ocean")[number % 3]
        (tmp_path / "photos" / f"{number:04d}.txt").write_text(f"a {colour}\n", "utf-8")
    shelf.index(tmp_path / "photos")
    report = shelf.map()
    assert (report.named_by, report.laid_out, places(shelf.last_map())) == ("words", 0, places(before))
    assert {name for one in report.clusters for name in one.name.split(", ")} <= {"tomato", "meadow", "ocean"}


def test_clusters_are_a_field_of_queries(shelf: Library, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="no map of this library has been made") as caught:
        shelf.search("cluster:1")
    assert caught.value.code == "no-map"
    shelf.map()
    kept = shelf.last_map()
    assert kept is not None
    for cluster in kept.clusters:
        expected = set(kept.ids[kept.of == cluster.number].tolist())
        model = shelf.models.active()
        for asked in (str(cluster.number), cluster.name.upper(), cluster.name.replace(",", "")):
            found = shelf.store.searchable(model, (), [Condition(Clustered(asked))])
            assert expected <= set(found.tolist())
        assert set(shelf.store.searchable(model, (), [Condition(Clustered(str(cluster.number)))]).tolist()) == expected
        others = shelf.store.searchable(model, (), [Condition(Clustered(str(cluster.number)), exclude=True)])
        assert set(others.tolist()) == set(kept.ids.tolist()) - expected
    hits = shelf.search(f'cluster:"{kept.clusters[0].name}"', k=100)
    assert len(hits) >= kept.clusters[0].size
    assert hits.notes == ()
    assert shelf.facets("cluster:1").photos == kept.clusters[0].size
    with pytest.raises(QueryError, match=r"the map has no cluster 'zebra crossing'; there are 1 \(") as caught:
        shelf.search('cluster:"zebra crossing"')
    assert caught.value.code == "no-cluster"


def test_a_map_that_is_older_than_the_library_says_so(shelf: Library, tmp_path: Path) -> None:
    shelf.map()
    before = len(shelf.search("cluster:1,2,3", k=100))
    mapped.draw(tmp_path / "photos", 2, first=30)
    shelf.index(tmp_path / "photos")
    found = shelf.search("cluster:1,2,3", k=100)
    assert (len(found), [note.code for note in found.notes]) == (before, ["map-older"])
    shelf.map()
    found = shelf.search("cluster:1,2,3", k=100)
    assert (len(found), found.notes) == (before + 2, ())


def test_export_has_places_and_clusters_where_there_is_a_map(shelf: Library, tmp_path: Path) -> None:
    shelf.export(tmp_path / "without")
    shelf.map()
    shelf.export(tmp_path / "with")
    kept = shelf.last_map()
    assert kept is not None
    rows = {}
    for name in ("without", "with"):
        with (tmp_path / name / "photos.csv").open(encoding="utf-8", newline="") as file:
            rows[name] = list(csv.DictReader(file))
    assert set(rows["with"][0]) - set(rows["without"][0]) == {"x", "y", "cluster", "cluster_name"}
    for row in rows["with"]:
        at = int(row["row"])  # ids ascend, and so do the rows
        assert [float(row["x"]), float(row["y"])] == kept.places[at].tolist()
        assert int(row["cluster"]) == kept.of[at]
        assert row["cluster_name"] == kept.clusters[kept.of[at] - 1].name
    with open_library(tmp_path / "other", settings=replace(shelf.settings, library=tmp_path / "other")) as other:
        assert other.import_from(tmp_path / "with").added == 30


def test_too_few_pictures_and_none_are_told(library: Library, photos: Path) -> None:
    with pytest.raises(NoModelError):
        library.map()
    library.index(photos)
    with pytest.raises(MapError, match="at least 10 different pictures, the library has 5") as caught:
        library.map()
    assert (caught.value.code, caught.value.fields) == ("too-few-photos", {"got": 5, "wanted": 10})
    assert library.last_map() is None
    assert not (library.folder / "map").exists()


def test_an_interrupted_map_leaves_the_last_one(shelf: Library) -> None:
    shelf.map()
    before = sorted((file.name, file.read_bytes()) for file in (shelf.folder / "map").iterdir())

    def stop(step: Progress) -> None:
        if step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.map(shelf.folder.parent / "map.html", fresh=True, progress=stop)
    assert sorted((file.name, file.read_bytes()) for file in (shelf.folder / "map").iterdir()) == before
    assert not (shelf.folder.parent / "map.html").exists()


def test_a_damaged_map_counts_for_nothing(shelf: Library, caplog: pytest.LogCaptureFixture) -> None:
    shelf.map()
    (file,) = (shelf.folder / "map").iterdir()
    for content in (b"", b"PK\x03\x04", file.read_bytes()[:-200], b"no map at all"):
        file.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert shelf.last_map() is None
        assert "cannot be read" in caplog.text
    assert shelf.map().laid_out == 30


def test_a_map_through_a_link_is_not_written(shelf: Library, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (shelf.folder / "map").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LibraryError, match="is a link"):
        shelf.map()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_own_files_are_dropped(shelf: Library) -> None:
    folder = shelf.folder / "map"
    folder.mkdir()
    (folder / "map-mine.npz").write_bytes(b"mine")
    (folder / "map-00000000-abc-1.npz").write_bytes(b"old")
    shelf.map()
    names = sorted(file.name for file in folder.iterdir())
    assert (len(names), "map-mine.npz" in names, "map-00000000-abc-1.npz" in names) == (2, True, False)


def test_what_is_left_of_a_library_may_be_its_map(tmp_path: Path) -> None:
    from mmsearch.store.open import check_new

    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "map-00000000-abc-1.npz").touch()
    check_new(tmp_path)
    (tmp_path / "map" / "mine.txt").touch()
    with pytest.raises(LibraryError, match=r"holds other files, such as 'map/mine\.txt'"):
        check_new(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("map.txt", "does not end in .html"), ("none/map.html", "there is no folder"), ("page.html", "no HTML file")],
)
def test_where_a_map_cannot_be_written(shelf: Library, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "page.html").write_text("my diary", "utf-8")
    with pytest.raises(SourceError, match=said):
        shelf.map(tmp_path / name)
    assert (tmp_path / "page.html").read_text("utf-8") == "my diary"


def test_wrong_arguments_are_told(shelf: Library) -> None:
    with pytest.raises(ArgumentError, match="clusters must be 'kmeans' or 'hdbscan'"):
        shelf.map(clusters="dbscan")  # type: ignore[arg-type]


def a_map(of: list[int], where: list[list[float]]) -> KeptMap:
    sizes = np.bincount(of)
    clusters = tuple(Cluster(number, f"n{number}", int(sizes[number])) for number in range(1, max(of) + 1))
    count = len(of)
    return KeptMap(
        np.arange(5, 5 + count), np.array(where, np.float32), np.array(of, np.int32), np.ones(count, np.bool_),
        clusters, 1, "words", "kmeans",
    )  # fmt: skip


def test_points_stand_in_the_order_of_their_clusters() -> None:
    kept = a_map([2, 0, 1, 1], [[0, 0], [1, 1], [0, 1], [1, 0]])
    assert order(kept).tolist() == [2, 3, 0, 1]
    told = drawn(kept)
    assert [(one["number"], one["first"], one["size"]) for one in told["clusters"]] == [(1, 0, 2), (2, 2, 1)]
    assert told["points"] == 4


def test_places_fill_16_bits_with_the_same_scale_for_both_axes_and_y_down() -> None:
    made = quantised(np.array([[0, 0], [4, 1], [2, 0.5]], np.float32)).astype(int)
    assert made[2].tolist() == pytest.approx([32767, 32768], abs=20)
    right, up = made[1] - made[0]
    assert (right / -up) == pytest.approx(4, rel=0.01)
    assert 62_000 < right < 65_535


def test_a_name_stands_at_a_point_of_the_densest_part() -> None:
    assert anchor(np.array([[10, 10], [11, 10], [12, 11], [60_000, 60_000]], np.uint16)) == (11, 10)


def test_few_of_many_points_are_evenly_chosen() -> None:
    rng = np.random.default_rng(0)
    kept = a_map([1] * 900 + [2] * 100, rng.standard_normal((1000, 2)).tolist())
    chosen = evenly(kept, 100)
    assert (len(np.unique(chosen)), int((chosen < 900).sum())) == (100, 90)
    assert evenly(kept, 5000).tolist() == list(range(1000))


def test_names_are_matched_by_number_or_by_beginnings_of_words() -> None:
    clusters = (Cluster(1, "beach, sea", 3), Cluster(2, "Seeufer, Łódź", 2), Cluster(3, "snow 2", 1))
    kept = replace(a_map([1, 2, 3], [[0, 0]] * 3), clusters=clusters)
    found = {text: kept.matching(text).tolist() for text in ("1", "sea beach", "se", "lodz", "2", "snow 2", "?", "9")}
    assert found == {
        "1": [1], "sea beach": [1], "se": [1, 2], "lodz": [2], "2": [2], "snow 2": [3], "?": [], "9": [],
    }  # fmt: skip


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = a_map([2, 0, 1, 1], [[0, 0], [1, 1], [0, 1], [1, 0]])
    file = kept_map.write(kept, tmp_path / "map", "0123abcd", "f1")
    found = kept_map.read(file)
    assert found is not None
    for name in ("ids", "places", "of", "laid_out"):
        assert (getattr(found, name) == getattr(kept, name)).all()
    assert (found.clusters, found.generation, found.named_by, found.method) == (kept.clusters, 1, "words", "kmeans")
    assert kept_map.newest(tmp_path / "map", "0123abcd", "f1", 1) == file
    assert kept_map.newest(tmp_path / "map", "0123abcd", "f1", 0) is None  # of a database that was put back
    assert kept_map.newest(tmp_path / "map", "0123abcd", "f2", 1) is None
    shutil.rmtree(tmp_path / "map")
    assert kept_map.read(file) is None
