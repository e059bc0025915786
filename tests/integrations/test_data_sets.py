"""Data sets of Hugging Face and torch, in and out, in these libraries themselves."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from mmsearch.errors import ArgumentError, MMSearchError, TransferError
from mmsearch.library.library import Library

CAPTIONS = ["Tom, asleep", ["a rocket", "it  takes\noff"], ""]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def test_pictures_of_hugging_face_are_written_as_they_are(library: Library, photos: Path, tmp_path: Path) -> None:
    files = [photos / "cat.png", photos / "trips" / "rocket.jpg"]
    rows = {
        "picture": [{"bytes": file.read_bytes(), "path": "../../evil.png"} for file in files],
        "text": ["Tom", "up"],
    }
    made = datasets.Dataset.from_dict(rows).cast_column("picture", datasets.Image())
    report = library.index_dataset(made, tmp_path / "in", image="picture", caption="text")
    assert (report.added, report.skipped) == (2, ())
    assert sorted(os.listdir(tmp_path / "in")) == ["00000000.png", "00000000.txt", "00000001.jpg", "00000001.txt"]
    assert (tmp_path / "in" / "00000001.jpg").read_bytes() == files[1].read_bytes()
    assert library.search("words:tom")[0].photo.description == "Tom"
    again = library.index_dataset(made, tmp_path / "in", image="picture", caption="text")
    assert (again.added, again.unchanged) == (0, 2)
    with pytest.raises(ArgumentError, match="a column of the data set"):
        library.index_dataset(made, tmp_path / "in", image="image")


def test_files_of_a_data_set_are_copied_and_streams_are_read(library: Library, photos: Path, tmp_path: Path) -> None:
    paths = [str(photos / "cat.png"), str(photos / "none.png"), "https://example.org/a.jpg"]
    rows = [{"image": path} for path in paths]
    report = library.index_dataset(iter(rows), tmp_path / "in")
    assert report.added == 1
    assert [(one.path, one.reason.split(":")[-1].strip()) for one in report.skipped][1] == (
        "row 2",
        "download it first",
    )
    assert report.skipped[0].path == "row 1"
    streamed = datasets.Dataset.from_dict({"image": paths[:1]}).cast_column("image", datasets.Image())
    assert library.index_dataset(streamed.to_iterable_dataset(), tmp_path / "in").unchanged == 1


class Pairs(torch.utils.data.Dataset[Any]):
    """As torchvision's data sets of captions are."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        return self.pairs[place]


def test_pairs_of_torch(library: Library, photos: Path, tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), 99, np.uint8)
    pictures = [Image.open(photos / "cat.png"), Image.new("CMYK", (30, 20)), pixels]
    given = Pairs([*zip(pictures, CAPTIONS, strict=True), ("nothing", "x"), (b"abc", "x"), (None, None)])
    report = library.index_dataset(given, tmp_path / "in", image=0, caption=1)
    assert report.added == 3
    assert [one.path for one in report.skipped] == ["row 3", "row 4", "row 5"]
    assert (tmp_path / "in" / "00000001.txt").read_text() == "a rocket\nit takes off\n"
    assert not (tmp_path / "in" / "00000002.txt").exists()
    with Image.open(tmp_path / "in" / "00000000.png") as written, Image.open(photos / "cat.png") as own:
        assert written.tobytes() == own.tobytes()
    with pytest.raises(ArgumentError, match="caption must be in row 0 of the data set"):
        library.index_dataset(given, tmp_path / "other", image=0, caption=2)


def test_nothing_is_written_over(library: Library, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "00000000.png").write_text("mine")
    rows = [{"image": (photos / "cat.png").read_bytes()}]
    with pytest.raises(TransferError, match="is there with other content") as caught:
        library.index_dataset(rows, tmp_path / "in")
    assert caught.value.code == "file-exists"
    assert (tmp_path / "in" / "00000000.png").read_text() == "mine"
    (tmp_path / "in" / "00000000.png").unlink()
    (tmp_path / "in" / "00000000.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(TransferError):
        library.index_dataset(rows, tmp_path / "in")
    assert not (tmp_path / "elsewhere.png").exists()
    with pytest.raises(TransferError, match="cannot be made"):
        library.index_dataset(rows, photos / "cat.png" / "in")
    for wrong in (5, "rows", {"image": b"x"}):
        with pytest.raises(ArgumentError, match="dataset must be"):
            library.index_dataset(wrong, tmp_path / "other")


def test_photos_go_out_to_hugging_face(library: Library, photos: Path) -> None:
    library.index(photos)
    found = library.search("a cat", k=2)
    made = found.to_datasets()
    assert made["path"][:] == [hit.path for hit in found]
    picture = made[0]["image"]
    assert (picture.size, made.features["date"].dtype) == ((451, 300), "timestamp[us]")
    assert len(library.items().to_datasets()) == 5
    assert [row["format"] for row in library.items("type:jpeg").to_datasets()] == ["jpeg"]


def test_photos_go_out_to_torch(library: Library, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[274] = 6  # lies on its side
    for number in range(3):
        image = Image.new("RGB", (80, 40), (10 * number, 200, 30))
        image.save(tmp_path / "photos" / f"{number}.png", exif=exif)
    (tmp_path / "photos" / "1.txt").write_text("the second")
    library.index(tmp_path / "photos")
    items = library.items()
    given = items.to_torch(side=40)
    assert len(given) == 3
    picture, captions = given[1]
    assert (picture.size, picture.mode, captions) == ((20, 40), "RGB", ["the second"])
    tensors = items.to_torch(lambda picture: torch.from_numpy(np.asarray(picture)[0, 0].copy()))
    loader = torch.utils.data.DataLoader(
        tensors, batch_size=3, collate_fn=lambda rows: torch.stack([a for a, _ in rows])
    )
    (batch,) = list(loader)
    assert batch.shape == (3, 3)
    (tmp_path / "photos" / "2.png").unlink()
    with pytest.raises(MMSearchError, match="cannot be read"):
        given[2]


def test_what_is_missing_is_named(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.index(photos)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MMSearchError, match=r"run: pip install 'mmsearch\[datasets\]'"):
        library.items().to_datasets()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MMSearchError, match="a data set of torch needs torch; run: pip install torch") as caught:
        library.items().to_torch()
    assert caught.value.code == "needs-torch"


def test_bytes_come_back(library: Library, photos: Path, tmp_path: Path) -> None:
    """Out of one library and into another: the pictures are the same."""
    library.index(photos)
    out = library.items().to_datasets()
    report = library.index_dataset(out, tmp_path / "in")
    assert (report.encoded, report.skipped) == (0, ())  # known content at another path is not encoded again
    written = sorted(file.read_bytes() for file in (tmp_path / "in").iterdir())
    assert written == sorted(file.read_bytes() for file in photos.rglob("*.*"))
    with Image.open(io.BytesIO(written[0])) as first:
        first.load()
