"""Photos and captions as WebDataset shards: read by the package ``webdataset`` itself, and by our own training."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from samples import CLI

from mmsearch.errors import ArgumentError, TransferError
from mmsearch.library.library import Library
from mmsearch.manage.web_dataset import write_shards
from mmsearch.training.common import pairs
from mmsearch.types import Progress

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files open


def read_by_webdataset(folder: Path, *how: str) -> list[dict[str, Any]]:
    """All samples, decoded as ``how`` says."""
    webdataset = pytest.importorskip("webdataset")
    shards = [str(file) for file in sorted(folder.glob("*.tar"))]
    read = webdataset.WebDataset(shards, shardshuffle=False)
    return list(read.decode(*how) if how else read)


def members(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


@pytest.fixture
def indexed(library: Library, photos: Path) -> Library:
    (photos / "cat.txt").write_text("Tom, a cat\nTom  lies down ", "utf-8")
    (photos / "trips" / "rocket.txt").write_text("a rocket in Łódź", "utf-8")
    library.index(photos)
    return library


def test_webdataset_reads_photos_and_captions(indexed: Library, photos: Path, tmp_path: Path) -> None:
    report = indexed.items().to_webdataset(tmp_path / "out")
    assert (report.samples, report.captioned, report.shards, report.skipped) == (5, 2, 1, ())
    known = {os.path.basename(photo.path): photo for photo in indexed}
    read = {sample["json"]["path"]: sample for sample in read_by_webdataset(tmp_path / "out", "pil")}
    assert set(read) == set(known)
    for name, sample in read.items():
        with Image.open(known[name].path) as picture:
            own = picture.convert("RGB")
        shown = sample["jpg" if "jpg" in sample else "png"]
        assert shown.tobytes() == own.tobytes()
        assert sample["json"]["width"] == known[name].width
    assert read["cat.png"]["txt"] == "Tom, a cat\nTom lies down"
    assert read["rocket.jpg"]["txt"] == "a rocket in Łódź"
    assert not any("txt" in read[name] for name in ("cameraman.png", "grass.png", "motorcycle.png"))
    raw = read_by_webdataset(tmp_path / "out")
    assert (photos / "trips" / "rocket.jpg").read_bytes() in [sample.get("jpg") for sample in raw]  # byte for byte


def test_training_reads_what_was_written(indexed: Library, photos: Path, tmp_path: Path) -> None:
    indexed.items().to_webdataset(tmp_path / "out")
    found = pairs.read_shards(tmp_path / "out")
    assert sorted(found.texts) == [("Tom, a cat", "Tom lies down"), ("a rocket in Łódź",)]
    contents = set()
    for row in range(2):
        with found.open(row) as file:
            contents.add(file.read())
    assert contents == {(photos / "cat.png").read_bytes(), (photos / "trips" / "rocket.jpg").read_bytes()}


def test_shards_are_numbered_and_the_same_again(indexed: Library, tmp_path: Path) -> None:
    for name in ("one", "two"):
        items = indexed.items()
        told: list[Progress] = []
        report = write_shards(items.blocks(), len(items), tmp_path / name, None, 100, told.append, per_shard=2)
        assert (report.shards, told[-1].done, told[-1].total) == (3, 5, 5)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.name for file in one] == ["00000.tar", "00001.tar", "00002.tar"]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]
    keys = [sorted({member.partition(".")[0] for member in members(file)}) for file in one]
    assert keys == [["00000000", "00000001"], ["00000002", "00000003"], ["00000004"]]
    assert len(read_by_webdataset(tmp_path / "one")) == 5


def test_other_formats_and_large_photos_become_upright_jpegs(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    rows = Image.linear_gradient("L").resize((400, 100)).convert("RGB")  # from black above to white below
    rows.save(folder / "a.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    rows.save(folder / "b.jpg", quality=95, exif=exif)
    rows.resize((60, 30)).save(folder / "c.webp", lossless=True)
    library.index(folder)
    report = library.items().to_webdataset(tmp_path / "out", max_side=80)
    assert (report.samples, report.skipped) == (3, ())
    read = {one["json"]["path"]: one for one in read_by_webdataset(tmp_path / "out", "pil")}
    assert read["a.bmp"]["jpg"].size == (80, 20)
    assert read["b.jpg"]["jpg"].size == (20, 80)
    assert read["b.jpg"]["jpg"].getpixel((2, 40))[0] > 200 > 50 > read["b.jpg"]["jpg"].getpixel((17, 40))[0]
    assert read["c.webp"]["webp"].size == (60, 30)
    whole = library.items("type:bmp").to_webdataset(tmp_path / "whole")
    assert whole.samples == 1
    assert read_by_webdataset(tmp_path / "whole", "pil")[0]["jpg"].size == (400, 100)


def test_what_cannot_be_read_is_told_and_nothing_stays_half_written(
    indexed: Library, photos: Path, tmp_path: Path
) -> None:
    (photos / "cat.png").unlink()
    (photos / "grass.png").write_bytes(b"no picture any more")
    (photos / "cameraman.png").unlink()
    os.mkfifo(photos / "cameraman.png")
    report = indexed.items().to_webdataset(tmp_path / "out")
    told = {os.path.basename(one.path): one.reason for one in report.skipped}
    assert report.samples == 2
    assert set(told) == {"cat.png", "grass.png", "cameraman.png"}
    assert "No such file" in told["cat.png"]
    assert "regular" in told["cameraman.png"]
    assert all(str(photos) not in reason for reason in told.values())

    class Stopped(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        indexed.items().to_webdataset(tmp_path / "none", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(("none", ".none"))) == []


def test_folders_that_are_taken_and_wrong_values(indexed: Library, photos: Path, tmp_path: Path) -> None:
    before = sorted(photos.rglob("*"))
    with pytest.raises(TransferError, match="is not empty"):
        indexed.items().to_webdataset(photos)
    assert sorted(photos.rglob("*")) == before
    with pytest.raises(TransferError, match="there is no folder"):
        indexed.items().to_webdataset(tmp_path / "a" / "b")
    with pytest.raises(ArgumentError, match="16 to 65500"):
        indexed.items().to_webdataset(tmp_path / "out", max_side=2)


def test_films_and_documents_are_left_out(library: Library, photos: Path, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green")]
    pages[0].save(photos / "two.tif", save_all=True, append_images=pages[1:])
    library.index(photos)
    report = library.items().to_webdataset(tmp_path / "out")
    assert report.samples == 5
    assert [(os.path.basename(one.path), one.reason) for one in report.skipped] == [
        ("two.tif", "a document is no sample")
    ]


def test_command(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (photos / "cat.txt").write_text("Tom, a cat", "utf-8")
    mmsearch("index", "photos")
    done = mmsearch("export", "out", "--format", "webdataset", "--where", "type:png")
    assert done.stderr.splitlines()[-1] == "4 photos, 1 with a caption, written to 1 tar file in out"
    done = mmsearch("export", "small", "--format", "webdataset", "--max-side", "64", "--json")
    assert json.loads(done.stdout) == {"folder": "small", "samples": 5, "captioned": 1, "shards": 1, "skipped": []}
    with tarfile.open(tmp_path / "small" / "00000.tar") as archive:
        shown = [name for name in archive.getnames() if name.endswith(".jpg")]
        for name in shown:
            content = archive.extractfile(name)
            assert content is not None
            with Image.open(io.BytesIO(content.read())) as picture:
                assert max(picture.size) == 64
    assert len(shown) == 5
    assert "--format webdataset" in mmsearch("export", "other", "--where", "type:png", check=2).stderr
    assert "is no field" in mmsearch("export", "x", "--format", "webdataset", "--where", "camra:x", check=2).stderr
    assert not (tmp_path / "x").exists()
