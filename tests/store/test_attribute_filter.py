"""Conditions of a query on every driver of ``conftest.py``, against plain Python."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.query.model import (
    Album,
    AnyOf,
    Between,
    Camera,
    City,
    Compare,
    Condition,
    Date,
    EveryYear,
    Fits,
    Format,
    HasPlace,
    HasText,
    Label,
    Lens,
    Near,
    OneFits,
    Person,
    Shaped,
    Tagged,
    Within,
)
from mmsearch.store.protocol import Store
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import StoredModel
from mmsearch.types import Annotations, Decoded, Exif, Found, Sidecar

PIXELS = np.zeros((8, 8, 3), np.uint8)


@dataclass(frozen=True)
class File:
    """A file as the tests know it: what was put into the store, and nothing that was read from there."""

    path: str
    size: int
    mtime: datetime  # local
    content: int
    width: int
    height: int
    format: str
    exif: Exif
    text: str | None
    tags: tuple[str, ...]


class Shelf:
    """A store, and what is in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with self.store.writing() as writer:
            self.model = writer.add_model("m", "abc", 4, active=True)
        self.files: list[File] = []
        self.numbers: dict[int, int] = {}  # content -> id of its vector

    def put(
        self,
        path: str,
        content: int,
        exif: Exif | None = None,
        width: int = 40,
        height: int = 30,
        format: str = "jpeg",
        size: int = 1000,
        mtime: datetime = datetime(2020, 1, 1),
        text: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        exif = exif or Exif()
        with self.store.writing() as writer:
            picture = Decoded(PIXELS, width, height, format, exif)
            stored = writer.put(b"%d" % content, picture, np.zeros(4, np.float32), self.model)
            writer.place(Found(path, size, round(mtime.timestamp() * 1e6) * 1000), stored)
            if text is not None:
                writer.put_text(stored, "engine", text)
            if tags:
                writer.put_tags("v", {stored: dict.fromkeys(tags, 0.5)})
        vectors = self.store.searchable(self.model)
        self.numbers.setdefault(content, max(set(vectors.tolist()) - set(self.numbers.values()), default=0))
        self.files.append(File(path, size, mtime, content, width, height, format, exif, text, tags))

    def found(self, *conditions: Condition, within: tuple[str, ...] = ()) -> list[str]:
        """Paths of the files that meet the conditions; ``searchable`` and ``photos`` must agree on their vectors."""
        ids = self.store.searchable(self.model, within, conditions)
        assert ids.dtype == np.int64
        assert ids.tolist() == sorted(set(ids.tolist()))
        photos = self.store.photos(list(self.numbers.values()), within, conditions)
        assert sorted(photos) == ids.tolist()
        return sorted(photo.path for own in photos.values() for photo in own)

    def fitting(self, fits: Fits) -> list[str]:
        """The same, and that the opposite condition finds all others."""
        chosen = self.found(Condition(fits))
        others = self.found(Condition(fits, exclude=True))
        assert sorted(chosen + others) == sorted(file.path for file in self.files)
        return chosen


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store)


def utc(hours: float) -> timezone:
    return timezone(timedelta(hours=hours))


def test_dates_are_those_of_the_camera_whatever_its_time_zone(shelf: Shelf) -> None:
    evening = datetime(2024, 5, 31, 23, 30)
    shelf.put("/plain", 1, Exif(evening))
    shelf.put("/east", 2, Exif(evening.replace(tzinfo=utc(9))))
    shelf.put("/west", 3, Exif(evening.replace(tzinfo=utc(-9.5), microsecond=250_000)))
    shelf.put("/june", 4, Exif(datetime(2024, 6, 1, 0, 0, tzinfo=utc(2))))
    may = Date(datetime(2024, 5, 1), datetime(2024, 6, 1))
    assert shelf.fitting(may) == ["/east", "/plain", "/west"]
    assert shelf.fitting(Date(datetime(2024, 6, 1), None)) == ["/june"]
    assert shelf.fitting(Date(evening, evening + timedelta(microseconds=1))) == ["/east", "/plain"]
    quarter = evening.replace(microsecond=250_000)
    assert shelf.fitting(Date(quarter, quarter + timedelta(microseconds=1))) == ["/west"]
    assert shelf.fitting(Date(None, quarter)) == ["/east", "/plain"]


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process cannot be set here")
def test_without_a_camera_s_date_the_file_s_time_counts_on_this_machine_s_clock(shelf: Shelf, new_york: None) -> None:
    shelf.put("/evening", 1, mtime=datetime(2024, 5, 31, 23, 30))
    shelf.put("/morning", 2, mtime=datetime(2024, 6, 1, 0, 30))
    shelf.put("/camera", 3, Exif(datetime(2020, 1, 1)), mtime=datetime(2024, 5, 31, 23, 30))
    may = (datetime(2024, 5, 1), datetime(2024, 6, 1))
    assert shelf.fitting(Date(*may)) == ["/evening"]
    assert shelf.fitting(Date(*may, camera_only=True)) == []
    assert shelf.fitting(Date(None, None, camera_only=True)) == ["/camera"]
    assert shelf.fitting(Date(None, None)) == ["/camera", "/evening", "/morning"]
    assert shelf.fitting(Date(datetime(1, 1, 1), datetime.max)) == ["/camera", "/evening", "/morning"]
    assert shelf.fitting(Date(datetime(9999, 1, 1), None)) == []
    assert shelf.fitting(Date(None, datetime(1, 1, 2))) == []


def test_names_are_found_in_part_and_in_any_case(shelf: Shelf) -> None:
    shelf.put("/fuji", 1, Exif(camera="FUJIFILM X-T4", lens="XF23mmF2 R WR"))
    shelf.put("/canon", 2, Exif(camera="Canon EOS 5D", lens="EF 50mm 100%_"))
    shelf.put("/german", 3, Exif(camera="Voigtländer STRAẞE"))
    shelf.put("/none", 4)
    assert shelf.fitting(Camera("fujifilm")) == ["/fuji"]
    assert shelf.fitting(Camera("eos 5")) == ["/canon"]
    assert shelf.fitting(Camera("VOIGTLÄNDER strasse")) == ["/german"]
    assert shelf.fitting(Lens("mm")) == ["/canon", "/fuji"]
    assert shelf.fitting(Lens("%_")) == ["/canon"]
    assert shelf.fitting(AnyOf((Camera("fuji"), Camera("canon")))) == ["/canon", "/fuji"]
    assert shelf.fitting(AnyOf(())) == []


def test_folders(shelf: Shelf, tmp_path: Path) -> None:
    paths = ["/a", "/a.jpg", "/a/b/x", "/a/x", "/a0", "/b/a/x", "/ä/x"]
    for content, path in enumerate(paths):
        shelf.put(path, content)
    assert shelf.fitting(Within("/a")) == ["/a", "/a/b/x", "/a/x"]
    assert shelf.fitting(Within("/a/")) == ["/a", "/a/b/x", "/a/x"]
    assert shelf.fitting(Within("/a/x")) == ["/a/x"]
    assert shelf.fitting(Within("/ä")) == ["/ä/x"]
    assert shelf.fitting(Within("/z")) == []
    assert shelf.fitting(Within("/")) == sorted(paths)
    assert shelf.found(within=("/a/b", "/b", "/a.jpg")) == ["/a.jpg", "/a/b/x", "/b/a/x"]
    assert shelf.found(Condition(Within("/a/b"), exclude=True), within=("/a",)) == ["/a", "/a/x"]


def test_a_folder_is_found_by_a_link_to_it_too(shelf: Shelf, tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    path = str(real.resolve() / "in" / "x.jpg")
    shelf.put(path, 1)
    assert shelf.fitting(Within(str(tmp_path / "link" / "in"))) == [path]


def test_file_names_that_are_no_text(shelf: Shelf) -> None:
    paths = [os.fsdecode(b"/caf\xe9/x"), os.fsdecode(b"/caf\xe9/\xff")]
    for content, path in enumerate(paths):
        shelf.put(path, content)
    assert shelf.fitting(Within(os.fsdecode(b"/caf\xe9"))) == sorted(paths)
    assert shelf.fitting(Within(paths[1])) == [paths[1]]


def test_of_copies_only_those_that_meet_the_conditions_are_shown(shelf: Shelf) -> None:
    shelf.put("/a/x", 1, size=10)
    shelf.put("/b/copy", 1, size=10)
    shelf.put("/b/y", 2, size=20)
    assert shelf.fitting(Within("/a")) == ["/a/x"]
    assert shelf.found(Condition(Within("/a"), exclude=True)) == ["/b/copy", "/b/y"]
    assert shelf.found(Condition(Within("/a")), Condition(Within("/b"))) == []  # no file is in both


def test_sizes_and_shapes(shelf: Shelf) -> None:
    shelf.put("/wide", 1, width=4000, height=3000, size=5_000_000)
    shelf.put("/high", 2, width=3000, height=4000, size=1_000_000)
    shelf.put("/square", 3, width=1050, height=1000, size=10)
    shelf.put("/hardly", 4, width=1000, height=1051, size=10)
    assert shelf.fitting(Compare("width", ">", 3000.0)) == ["/wide"]
    assert shelf.fitting(Compare("width", ">=", 3000.0)) == ["/high", "/wide"]
    assert shelf.fitting(Compare("height", "<", 1000.5)) == ["/square"]
    assert shelf.fitting(Compare("height", "<=", 3000.0)) == ["/hardly", "/square", "/wide"]
    assert shelf.fitting(Compare("megapixels", "=", 12.0)) == ["/high", "/wide"]
    assert shelf.fitting(Between("bytes", 10.0, 1e6)) == ["/hardly", "/high", "/square"]
    assert shelf.fitting(Shaped("portrait")) == ["/hardly", "/high"]
    assert shelf.fitting(Shaped("landscape")) == ["/wide"]
    assert shelf.fitting(Shaped("square")) == ["/square"]


def test_formats(shelf: Shelf) -> None:
    for content, name in enumerate(("jpeg", "mpo", "png", "heif")):
        shelf.put(f"/{name}", content, format=name)
    assert shelf.fitting(Format("jpeg")) == ["/jpeg", "/mpo"]
    assert shelf.fitting(Format("mpo")) == ["/mpo"]
    assert shelf.fitting(AnyOf((Format("png"), Format("heif")))) == ["/heif", "/png"]
    assert shelf.fitting(Format("tiff")) == []


def test_what_was_found_in_the_picture(shelf: Shelf) -> None:
    shelf.put("/sign", 1, text="STOP", tags=("Street", "traffic sign"))
    shelf.put("/empty", 2, text="", tags=("it's",))
    shelf.put("/never", 3)
    assert shelf.fitting(HasText()) == ["/sign"]
    assert shelf.fitting(Tagged("street")) == ["/sign"]
    assert shelf.fitting(Tagged("TRAFFIC SIGN")) == ["/sign"]
    assert shelf.fitting(Tagged("traffic")) == []
    assert shelf.fitting(Tagged("it's")) == ["/empty"]
    assert shelf.fitting(Tagged("' OR 1=1 --")) == []


def apart(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Kilometres between two places, by the angle between vectors: not by the haversine formula."""

    def vector(place: tuple[float, float]) -> np.ndarray:
        latitude, longitude = map(math.radians, place)
        return np.array(
            [math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)]
        )

    one, other = vector(a), vector(b)
    return 6371 * math.atan2(float(np.linalg.norm(np.cross(one, other))), float(one @ other))


def test_towns_people_and_stars_of_files_and_beside_them(shelf: Shelf) -> None:
    """What is said beside a file goes before what stands in it, for that file only; people are added."""

    def noted(path: str, content: bytes, annotations: Annotations) -> int:
        with shelf.store.writing() as writer:
            picture = Decoded(PIXELS, 4, 3, "jpeg", Exif(), annotations=annotations)
            number = writer.put(content, picture, np.zeros(4, np.float32), shelf.model)
            writer.place(Found(path, 1, 1), number)
        return {path: one.id for path, one in shelf.store.files("/", shelf.model).items()}[path]

    lodz = Annotations("Łódź", ("Ann Øre", "Bob"), 5)
    first = noted("/a", b"1", lodz)
    noted("/copy", b"1", lodz)
    noted("/none", b"2", Annotations())
    other = noted("/other", b"3", Annotations("New York", (), -1))

    def found(fits: OneFits) -> list[str]:
        found = shelf.store.photos(shelf.store.searchable(shelf.model).tolist(), (), [Condition(fits)])
        others = shelf.store.photos(shelf.store.searchable(shelf.model).tolist(), (), [Condition(fits, exclude=True)])
        paths = sorted(photo.path for some in found.values() for photo in some)
        assert sorted([*paths, *(p.path for some in others.values() for p in some)]) == [
            "/a",
            "/copy",
            "/none",
            "/other",
        ]
        return paths

    assert found(City("łÓDŹ")) == found(City("lodz")) == ["/a", "/copy"]
    assert found(City("york")) == ["/other"]
    assert found(Person("ann ore")) == found(Person("bob")) == ["/a", "/copy"]
    assert found(Person("ore bob")) == []  # two people
    assert found(Compare("rating", "=", 5.0)) == ["/a", "/copy"]
    assert found(Compare("rating", "<", 5.0)) == found(Between("rating", -1.0, 4.0)) == ["/other"]
    assert found(Compare("rating", ">=", -1.0)) == ["/a", "/copy", "/other"]
    taken = Exif(datetime(1985, 7, 14), None, None, 10.0, 20.0)
    with shelf.store.writing() as writer:
        writer.put_sidecar(first, "s", Sidecar("", taken, Annotations("Warszawa", ("Cid",), 3)))
        writer.put_sidecar(other, "s", Sidecar("", fallback=taken))
    assert found(City("lodz")) == ["/copy"]
    assert found(City("WARSZ")) == ["/a"]
    assert found(Person("Ann")) == ["/a", "/copy"]
    assert found(Person("cid")) == ["/a"]
    assert found(Compare("rating", "=", 3.0)) == ["/a"]
    assert found(Date(datetime(1985, 1, 1), datetime(1986, 1, 1), camera_only=True)) == ["/a", "/other"]
    assert found(Near(10.0, 20.0, 1.0)) == found(HasPlace()) == ["/a", "/other"]
    [photo] = [p for some in shelf.store.photos(list(range(9))).values() for p in some if p.path == "/a"]
    assert photo.annotations == Annotations("Warszawa", ("Cid", "Ann Øre", "Bob"), 3)
    assert (photo.exif.taken_at, photo.exif.latitude, photo.exif.longitude) == (datetime(1985, 7, 14), 10.0, 20.0)
    with shelf.store.writing() as writer:
        writer.drop_sidecar(first)
    assert found(City("lodz")) == ["/a", "/copy"]
    assert found(HasPlace()) == ["/other"]


def test_labels_of_files_and_beside_them(shelf: Shelf) -> None:
    with shelf.store.writing() as writer:
        for number, label in enumerate([None, "Red", "Gewählt"]):
            picture = Decoded(PIXELS, 4, 3, "jpeg", Exif(), annotations=Annotations(label=label))
            stored = writer.put(b"%d" % number, picture, np.zeros(4, np.float32), shelf.model)
            writer.place(Found(f"/{number}", 1, 1), stored)
    photos = shelf.store.files("/", shelf.model)

    def found(text: str) -> list[str]:
        ids = shelf.store.searchable(shelf.model, (), [Condition(Label(text))])
        return sorted(photo.path for some in shelf.store.photos(ids.tolist()).values() for photo in some)

    assert (found("red"), found("GEWAHLT"), found("blue")) == (["/1"], ["/2"], [])
    with shelf.store.writing() as writer:
        writer.put_sidecar(photos["/1"].id, "s", Sidecar("", annotations=Annotations(label="Blue")))
        writer.put_sidecar(photos["/2"].id, "s", Sidecar("about"))
    assert (found("red"), found("GEWAHLT"), found("blue")) == ([], ["/2"], ["/1"])
    shown = shelf.store.photos(shelf.store.searchable(shelf.model).tolist())
    labels = {photo.path: photo.annotations.label for some in shown.values() for photo in some}
    assert labels == {"/0": None, "/1": "Blue", "/2": "Gewählt"}


def test_exposure_is_compared_as_it_is_read(shelf: Shelf) -> None:
    shelf.put("/a", 1, Exif(iso=400, aperture=2.8, exposure=0.333333, focal=50.0))
    shelf.put("/b", 2, Exif(iso=100, aperture=8.0, exposure=0.004, focal=4.25))
    shelf.put("/c", 3)
    assert shelf.fitting(Compare("iso", ">", 100.0)) == ["/a"]
    assert shelf.fitting(Compare("iso", ">=", 100.0)) == ["/a", "/b"]
    assert shelf.fitting(Compare("aperture", "=", 2.8)) == ["/a"]
    assert shelf.fitting(Compare("exposure", ">=", 0.333333)) == ["/a"]
    assert shelf.fitting(Compare("exposure", "<", 0.333333)) == ["/b"]
    assert shelf.fitting(Between("focal", 4.0, 5.0)) == ["/b"]
    [photo] = [p for some in shelf.store.photos([1, 2, 3, 4]).values() for p in some if p.path == "/a"]
    assert photo.exif == Exif(iso=400, aperture=2.8, exposure=0.333333, focal=50.0)


def test_albums_are_folders_from_the_one_that_was_indexed_on(shelf: Shelf) -> None:
    with shelf.store.writing() as writer:
        writer.add_root("/home/anna/Photos")
        writer.add_root("/home/anna/Photos/2019")
    for number, path in enumerate(["Photos/2019/Łódź trip/a.jpg", "Photos/2019/b.jpg", "Photos/Rome/c/d.jpg"]):
        shelf.put(f"/home/anna/{path}", number)
    shelf.put("/mnt/anna/Rome/e.jpg", 7)  # below no root: its own folder counts
    trip, second, rome, elsewhere = (file.path for file in shelf.files)
    assert shelf.fitting(Album("lodz TRIP")) == [trip]
    assert shelf.fitting(Album("2019")) == [second, trip]
    assert shelf.fitting(Album("rome")) == [rome, elsewhere]
    assert shelf.fitting(Album("photos")) == [second, trip, rome]
    assert shelf.fitting(Album("anna")) == shelf.fitting(Album("d.jpg")) == shelf.fitting(Album("2019/Łódź")) == []
    moved = "/home/anna/Photos/Rome/b.jpg"
    with shelf.store.writing() as writer:
        writer.move(shelf.store.files("/", shelf.model)[second].id, Found(moved, 1000, 1))
    assert shelf.found(Condition(Album("rome"))) == [moved, rome, elsewhere]


def test_months_and_seasons_of_every_year(shelf: Shelf) -> None:
    shelf.put("/june", 1, Exif(datetime(2019, 6, 30, 23, 59, 59, 999_999)))
    shelf.put("/july", 2, Exif(datetime(2021, 7, 1)))
    shelf.put("/old", 3, Exif(datetime(1859, 6, 1)))
    shelf.put("/february", 4, Exif(datetime(2020, 2, 29, 12, tzinfo=utc(9))))
    shelf.put("/march", 5, Exif(datetime(2021, 3, 1)))
    shelf.put("/file", 6, mtime=datetime(2022, 12, 31, 23))
    assert shelf.fitting(EveryYear((6, 1), (6, 30))) == ["/june", "/old"]
    assert shelf.fitting(EveryYear((6, 30), (7, 1))) == ["/july", "/june"]
    assert shelf.fitting(EveryYear((12, 1), (2, 29))) == ["/february", "/file"]
    assert shelf.fitting(EveryYear((12, 1), (2, 29), camera_only=True)) == ["/february"]
    assert shelf.fitting(EveryYear((2, 29), (2, 29))) == ["/february"]
    assert shelf.fitting(EveryYear((7, 1), (6, 30))) == sorted(file.path for file in shelf.files)


def test_columns_are_read_again_only_where_they_changed(tmp_path: Path) -> None:
    """Tags, captions and texts are written for hours while others search."""
    with SqliteStore(tmp_path / "library.sqlite") as store:
        shelf = Shelf(store)
        shelf.put("/a", 1, Exif(datetime(2024, 5, 1), latitude=1.0, longitude=2.0))
        photo = store.files("/", shelf.model)["/a"].id
        asked = (
            Date(datetime(2024, 1, 1), None, True),
            Near(1.0, 2.0, 1.0),
            City("x"),
            Label("x"),
            Compare("iso", ">", 1.0),
            Compare("rating", ">", 1.0),
        )

        def columns() -> dict[object, object]:
            for one in asked:
                shelf.found(Condition(one))
            return dict(store._attributes._kept.columns)

        before = columns()
        with store.writing() as writer:
            writer.put_tags("w", {1: {"dog": 0.5}})
        kept = columns()
        noted = [key for key in before if isinstance(key, tuple) and key[0] == "noted"]
        assert len(noted) > 8
        assert all(kept[key] is before[key] for key in noted)
        with store.writing() as writer:
            writer.put_sidecar(photo, "s", Sidecar("", Exif(datetime(1985, 7, 14))))
        after = columns()
        assert all(after[key] is not before[key] for key in noted)
        assert shelf.found(Condition(Date(datetime(1985, 1, 1), datetime(1986, 1, 1)))) == ["/a"]


def test_places_near_the_date_line_the_poles_and_the_other_side(shelf: Shelf) -> None:
    places = {
        "/fiji": (-17.0, 179.9),
        "/samoa": (-17.0, -179.9),
        "/north": (89.9, 0.0),
        "/beyond": (89.9, 180.0),
        "/south": (-90.0, 12.0),
        "/paris": (48.8584, 2.2945),
        "/notre dame": (48.8530, 2.3499),
        "/half": (0.0, 0.0),
    }
    for content, (path, (latitude, longitude)) in enumerate(places.items()):
        shelf.put(path, content, Exif(latitude=latitude, longitude=longitude))
    shelf.put("/nowhere", 100)
    shelf.put("/latitude alone", 101, Exif(latitude=48.85))
    known = sorted(places)
    assert shelf.fitting(HasPlace()) == known
    assert shelf.fitting(Near(-17.0, 180.0, 11.0)) == ["/fiji", "/samoa"]
    assert shelf.fitting(Near(-17.0, -180.0, 11.0)) == ["/fiji", "/samoa"]
    assert shelf.fitting(Near(-17.0, 180.0, 10.0)) == []
    assert shelf.fitting(Near(90.0, -75.0, 12.0)) == ["/beyond", "/north"]
    assert shelf.fitting(Near(89.9, 0.0, 23.0)) == ["/beyond", "/north"]
    assert shelf.fitting(Near(89.9, 0.0, 22.0)) == ["/north"]
    assert shelf.fitting(Near(-90.0, 0.0, 0.001)) == ["/south"]
    assert shelf.fitting(Near(48.8530, 2.3499, 4.2)) == ["/notre dame", "/paris"]
    assert shelf.fitting(Near(48.8530, 2.3499, 4.0)) == ["/notre dame"]  # the Eiffel Tower is 4.1 km off
    assert shelf.fitting(Near(0.0, 180.0, 20_020.0)) == known  # half way around
    assert "/half" not in shelf.fitting(Near(0.0, 180.0, 20_010.0))
    assert shelf.fitting(Near(0.0, 0.0, 1e300)) == known


def test_changes_are_seen_at_once_and_files_that_cannot_be_found_are_not(
    shelf: Shelf, open_store: Callable[[], Store]
) -> None:
    shelf.put("/a", 1, tags=("dog",))
    shelf.put("/b", 2, mtime=datetime(2024, 1, 1))
    dog, new = Condition(Tagged("dog")), Condition(Date(datetime(2024, 1, 1), None))
    assert (shelf.found(dog), shelf.found(new)) == (["/a"], ["/b"])
    with open_store() as other, other.writing() as writer:  # as another process would
        writer.put_tags("v", {2: {"dog": 0.5}})
    assert shelf.found(dog) == ["/a", "/b"]
    with shelf.store.writing() as writer:
        photo = shelf.store.files("/b", shelf.model)["/b"].id
        writer.touch(photo, Found("/b", 1000, 0))
    assert (shelf.found(dog), shelf.found(new)) == (["/a", "/b"], [])
    with shelf.store.writing() as writer:
        writer.miss([photo])
        writer.fail(Found("/c", 1, 1), "broken")
    assert (shelf.found(dog), shelf.found()) == (["/a"], ["/a"])


def test_what_changes_while_the_same_files_can_be_found_is_seen_at_once(shelf: Shelf) -> None:
    shelf.put("/a/x", 1, size=10, mtime=datetime(2020, 1, 1))
    shelf.put("/b/y", 2, size=20, mtime=datetime(2020, 1, 1))
    facts = (HasText(), Compare("bytes", ">", 15.0), Date(datetime(2021, 1, 1), None), Within("/a"))

    def found() -> list[list[str]]:
        return [shelf.found(Condition(fact)) for fact in facts]

    assert found() == [[], ["/b/y"], [], ["/a/x"]]
    generation = shelf.store.generation()
    (number,) = {known.id for known in shelf.store.files("/a/x", shelf.model).values()}
    later = round(datetime(2022, 1, 1).timestamp()) * 10**9
    with shelf.store.writing() as writer:
        writer.put_text(1, "engine", "STOP")
    assert found() == [["/a/x"], ["/b/y"], [], ["/a/x"]]
    with shelf.store.writing() as writer:
        writer.touch(number, Found("/a/x", 30, later))
    assert found() == [["/a/x"], ["/a/x", "/b/y"], ["/a/x"], ["/a/x"]]
    with shelf.store.writing() as writer:
        writer.move(number, Found("/c/x", 5, later))
    assert found() == [["/c/x"], ["/b/y"], ["/c/x"], []]
    assert shelf.store.generation() == generation
    shelf.put("/a/z", 3, size=99)
    assert found() == [["/c/x"], ["/a/z", "/b/y"], ["/c/x"], ["/a/z"]]


def test_vectors_of_another_model_are_not_found(shelf: Shelf) -> None:
    shelf.put("/a", 1)
    shelf.put("/b", 2)
    with shelf.store.writing() as writer:
        other = writer.add_model("other", "def", 4, active=False)
        writer.put(b"2", Decoded(PIXELS, 40, 30, "jpeg", Exif()), np.zeros(4, np.float32), other)
    assert shelf.store.searchable(shelf.model).tolist() == [1, 2]
    assert shelf.store.searchable(other).tolist() == [3]
    assert shelf.store.searchable(other, ["/a"]).tolist() == []
    assert shelf.store.searchable(StoredModel(9, "none", "", 4)).tolist() == []


def test_an_empty_library(shelf: Shelf) -> None:
    for condition in (
        Date(None, None),
        Camera("x"),
        Within("/"),
        Near(0, 0, 1),
        HasText(),
        Tagged("x"),
        Shaped("square"),
    ):
        assert shelf.found(Condition(condition)) == []
    assert shelf.store.photos([1, 2], ["/"]) == {}


def test_several_threads_filter_while_another_writes(shelf: Shelf) -> None:
    shelf.put("/0", 0, width=1)
    wrong: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            counts = [len(shelf.store.searchable(shelf.model, (), [Condition(Compare("width", ">=", 0.0))]))]
            counts.append(len(shelf.store.searchable(shelf.model, ["/"])))
            if not 1 <= counts[0] <= counts[1]:
                wrong.append(counts)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for content in range(1, 25):
        shelf.put(f"/{content}", content, width=content)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(shelf.found(Condition(Compare("width", ">=", 0.0)))) == 25


# Any conditions on a random library, against plain Python

FOLDERS = ["/", "/a", "/a/b", "/ab", "/c"]
CAMERAS = [None, "Canon EOS 5D", "FUJIFILM X-T4", "NIKON D90"]
TAGS = ["dog", "Cat", "beach"]
DAY = datetime(2024, 6, 1, 12)


def random_shelf(store: Store, seed: int, count: int) -> Shelf:
    rng = np.random.default_rng(seed)
    shelf = Shelf(store)

    def maybe(value: object, share: float = 0.7) -> object:
        return value if rng.random() < share else None

    contents: dict[int, dict[str, object]] = {}
    for number in range(count):
        content = int(rng.integers(count * 3 // 4))  # some files are copies
        if content not in contents:
            taken = DAY + timedelta(hours=int(rng.integers(-60, 60)), microseconds=int(rng.integers(2)) * 500_000)
            zone = [None, utc(0), utc(5.5), utc(-8)][int(rng.integers(4))]
            place = maybe((float(rng.uniform(-90, 90)), float(rng.uniform(-180, 180))))
            latitude, longitude = place if isinstance(place, tuple) else (None, None)
            contents[content] = {
                "exif": Exif(
                    taken.replace(tzinfo=zone) if rng.random() < 0.7 else None,
                    CAMERAS[int(rng.integers(4))],
                    [None, "50mm", "XF 23mm"][int(rng.integers(3))],
                    latitude,
                    longitude,
                    iso=[None, 90, 100, 110][int(rng.integers(4))],
                    exposure=[None, 0.9, 1.0][int(rng.integers(3))],
                ),
                "width": int(rng.integers(90, 111)),
                "height": int(rng.integers(90, 111)),
                "format": ["jpeg", "png", "mpo", "heif"][int(rng.integers(4))],
                "text": maybe(["", "stop"][int(rng.integers(2))]),
                "tags": tuple(tag for tag in TAGS if rng.random() < 0.3),
            }
        folder = FOLDERS[int(rng.integers(len(FOLDERS)))].rstrip("/")
        mtime = DAY + timedelta(hours=int(rng.integers(-60, 60)))
        size = 1000 + content * 10
        shelf.put(f"{folder}/{number}.jpg", content, size=size, mtime=mtime, **contents[content])  # type: ignore[arg-type]
    return shelf


def meets(file: File, fits: Fits) -> bool:
    """The meaning of each condition, in plain Python."""
    exif = file.exif
    if isinstance(fits, AnyOf):
        return any(meets(file, one) for one in fits.fits)
    if isinstance(fits, Date):
        if exif.taken_at is None and fits.camera_only:
            return False
        at = exif.taken_at.replace(tzinfo=None) if exif.taken_at else file.mtime
        return (fits.start is None or fits.start <= at) and (fits.end is None or at < fits.end)
    if isinstance(fits, EveryYear):
        if exif.taken_at is None and fits.camera_only:
            return False
        at = exif.taken_at.replace(tzinfo=None) if exif.taken_at else file.mtime
        day = (at.month, at.day)
        return fits.first <= day <= fits.last if fits.first <= fits.last else day >= fits.first or day <= fits.last
    if isinstance(fits, Album):  # nothing is a root: the folder's own name
        return fits.text.lower() in os.path.basename(os.path.dirname(file.path)).lower()
    if isinstance(fits, (Camera, Lens)):
        name = exif.camera if isinstance(fits, Camera) else exif.lens
        return name is not None and fits.text.lower() in name.lower()
    if isinstance(fits, Within):
        return file.path == fits.path or file.path.startswith(fits.path.rstrip("/") + "/")
    if isinstance(fits, Near):
        if exif.latitude is None or exif.longitude is None:
            return False
        return apart((exif.latitude, exif.longitude), (fits.latitude, fits.longitude)) <= fits.kilometres
    if isinstance(fits, Format):
        return file.format == fits.name or (file.format == "mpo" and fits.name == "jpeg")
    if isinstance(fits, (Compare, Between)):
        number = {
            "width": file.width,
            "height": file.height,
            "megapixels": file.width * file.height / 1e6,
            "bytes": file.size,
            "iso": exif.iso,
            "exposure": exif.exposure,
        }[fits.fact]
        if number is None:
            return False
        if isinstance(fits, Between):
            return fits.least <= number <= fits.most
        return {
            "<": number < fits.value,
            "<=": number <= fits.value,
            "=": number == fits.value,
            ">=": number >= fits.value,
            ">": number > fits.value,
        }[fits.operator]
    if isinstance(fits, Shaped):
        ratio = file.width / file.height
        shape = "landscape" if ratio > 1.05 else "portrait" if 1 / ratio > 1.05 else "square"
        return shape == fits.shape
    if isinstance(fits, HasText):
        return bool(file.text)
    if isinstance(fits, HasPlace):
        return exif.latitude is not None
    assert isinstance(fits, Tagged)
    return fits.name.lower() in [tag.lower() for tag in file.tags]


_moments = st.integers(-61, 61).map(lambda hours: DAY + timedelta(hours=hours))
_facts = st.sampled_from(
    [("width", 1.0), ("height", 1.0), ("megapixels", 1e-4), ("bytes", 10.0), ("iso", 1.0), ("exposure", 0.01)]
)
_days = st.tuples(st.sampled_from([5, 6]), st.integers(1, 30))  # around ``DAY``


@st.composite
def _dates(draw: st.DrawFn) -> Date:
    start, end = draw(st.none() | _moments), draw(st.none() | _moments)
    if start is not None and end is not None and start >= end:
        start, end = end, start + timedelta(hours=1)
    return Date(start, end, draw(st.booleans()))


@st.composite
def _numbers(draw: st.DrawFn) -> OneFits:
    fact, unit = draw(_facts)
    one, other = sorted(draw(st.tuples(st.integers(85, 115), st.integers(85, 115))))
    if draw(st.booleans()):
        return Between(fact, one * unit, other * unit)  # type: ignore[arg-type]
    return Compare(fact, draw(st.sampled_from(["<", "<=", "=", ">=", ">"])), one * unit)  # type: ignore[arg-type]


_one = st.one_of(
    _dates(),
    _numbers(),
    st.builds(EveryYear, _days, _days, st.booleans()),
    st.builds(Album, st.sampled_from(["a", "B", "none"])),
    st.builds(Camera, st.sampled_from(["canon", "X-T", "nikon d90", "o", "leica"])),
    st.builds(Lens, st.sampled_from(["MM", "xf", "85"])),
    st.builds(Within, st.sampled_from([*FOLDERS, "/a/3.jpg", "/none"])),
    st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(1, 21_000)),
    st.builds(Format, st.sampled_from(["jpeg", "png", "mpo", "heif", "gif"])),
    st.builds(Shaped, st.sampled_from(["portrait", "landscape", "square"])),
    st.just(HasText()),
    st.just(HasPlace()),
    st.builds(Tagged, st.sampled_from(["DOG", "cat", "beach", "car"])),
)
_conditions = st.lists(
    st.builds(
        Condition, st.one_of(_one, st.lists(_one, max_size=3).map(lambda some: AnyOf(tuple(some)))), st.booleans()
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def random_shelves(driver: Callable[[Path], Store], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Shelf]]:
    shelves = [random_shelf(driver(tmp_path_factory.mktemp("shelf")), seed, 60) for seed in range(3)]
    yield shelves
    for shelf in shelves:
        shelf.store.close()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2), _conditions, st.lists(st.sampled_from(FOLDERS[1:]), max_size=2))
def test_any_conditions_find_what_plain_python_finds(
    random_shelves: list[Shelf], seed: int, conditions: list[Condition], within: list[str]
) -> None:
    shelf = random_shelves[seed]
    expected = [
        file.path
        for file in shelf.files
        if all(meets(file, condition.fits) != condition.exclude for condition in conditions)
        and (not within or any(meets(file, Within(path)) for path in within))
    ]
    assert shelf.found(*conditions, within=tuple(within)) == sorted(expected)
