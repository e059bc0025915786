"""When and where files were taken, on every driver of ``conftest.py``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from mmsearch.query.model import Camera, Condition
from mmsearch.store.protocol import Store
from mmsearch.types import Decoded, Exif, Found

PICTURE = Decoded(np.zeros((8, 8, 3), np.uint8), 40, 30, "jpeg", Exif())


@pytest.fixture
def summer_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that is put forward in summer."""
    if not hasattr(time, "tzset"):
        yield  # on Windows as it is
        return
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("summer_time")
def test_times_of_the_camera_or_of_the_file_and_places(store: Store) -> None:
    with store.writing() as writer:
        model = writer.add_model("m", "abc", 4, active=True)
    empty = store.overview(model)
    assert (empty.ids.tolist(), empty.moments.tolist(), empty.places.tolist()) == ([], [], [])
    taken = {
        "/a": (datetime(2024, 7, 1, 10, 30), "Canon", (48.5, -2.25)),
        "/b": (None, "Canon", None),
        "/c": (datetime(1999, 12, 31, 23, 59, 59, 250_000), "Leica", (0.0, 0.0)),
        "/d": (None, "Leica", None),
    }
    written = {"/b": datetime(2020, 1, 15, 12, 0, 1), "/d": datetime(2021, 7, 15, 0, 0, 0)}  # in winter, in summer
    for number, (path, (moment, camera, place)) in enumerate(taken.items()):
        latitude, longitude = place or (None, None)
        exif = Exif(taken_at=moment, camera=camera, latitude=latitude, longitude=longitude)
        mtime = int(written.get(path, datetime(2000, 1, 1)).timestamp()) * 10**9
        with store.writing() as writer:
            stored = writer.put(bytes([number]), replace(PICTURE, exif=exif), np.zeros(4, np.float32), model)
            writer.place(Found(path, 10, mtime), stored)
    ids = {path: store.files(path, model)[path].id for path in taken}
    found = store.overview(model)
    assert found.ids.tolist() == sorted(ids.values())
    moments = dict(zip(found.ids.tolist(), found.moments.astype("datetime64[us]").tolist(), strict=True))
    assert moments == {ids[path]: moment or written[path] for path, (moment, _, _) in taken.items()}
    places = dict(zip(found.ids.tolist(), found.places.tolist(), strict=True))
    assert (places[ids["/a"]], places[ids["/c"]]) == ([48.5, -2.25], [0.0, 0.0])
    assert np.isnan(places[ids["/b"]]).all()
    some = store.overview(model, conditions=[Condition(Camera("leica"))])
    assert some.ids.tolist() == sorted([ids["/c"], ids["/d"]])
    one = store.overview(model, conditions=[Condition(Camera("leica"))], photos=np.array([ids["/a"], ids["/d"], 99]))
    assert one.ids.tolist() == [ids["/d"]]
    later = datetime(2022, 8, 1, 6, 0, 0)
    with store.writing() as writer:
        writer.touch(ids["/d"], Found("/d", 10, int(later.timestamp()) * 10**9))
    now = store.overview(model, photos=np.array([ids["/d"]]))
    assert now.moments.astype("datetime64[us]").tolist() == [later]
