"""Thumbnails are made once, and again where what was kept is damaged, gone or of an older file."""

from __future__ import annotations

import io
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsearch.errors import ArgumentError, ImageError
from mmsearch.media.thumbnail_cache import Thumbnail, ThumbnailCache
from mmsearch.types import SIDES, Photo

HASH = bytes(range(16))
LIMIT = 10 * 2**20


def photo_of(path: Path, id: int = 1) -> Photo:
    """As the library has it after an index run."""
    with Image.open(path) as image:
        turned = image.getexif().get(274, 1) >= 5
        size = image.size[::-1] if turned else image.size
    status = path.stat()
    return Photo(str(path), *size, "jpeg", status.st_size, status.st_mtime_ns, id=id)


def draw(path: Path, colour: str = "red", size: tuple[int, int] = (1600, 800), **options: Any) -> Photo:
    image = Image.new("RGB", size, colour)
    image.paste("blue", (0, 0, size[0] // 4, size[1] // 4))
    image.save(path, **options)
    return photo_of(path)


def picture(thumbnail: Thumbnail) -> Image.Image:
    return Image.open(io.BytesIO(thumbnail.content))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> ThumbnailCache:
    return ThumbnailCache(tmp_path / "thumbnails", LIMIT)


def test_an_upright_webp_of_each_size_without_metadata(cache: ThumbnailCache, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"  # turned by a quarter
    photo = draw(tmp_path / "a.jpg", exif=exif, comment=b"secret", icc_profile=b"profile" * 20)
    for side in SIDES:
        made = picture(cache.get(photo, HASH, side))
        assert (made.format, made.size, made.mode) == ("WEBP", (side // 2, side), "RGB")
        assert made.getexif() == {}
        assert set(made.info) <= {"loop", "background", "timestamp", "duration"}
        red, _, blue = made.getpixel((made.width - 3, 3))  # type: ignore[misc]
        assert blue > 200 > 60 > red  # the corner came to the right
    assert len(files(tmp_path / "thumbnails")) == len(SIDES)
    small = draw(tmp_path / "small.png", size=(40, 20))
    assert picture(cache.get(small, bytes(16), 640)).size == (40, 20)  # nothing is enlarged


def test_it_is_made_once(cache: ThumbnailCache, tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    first = cache.get(photo, HASH, 320)
    shutil.copy2(tmp_path / "a.jpg", tmp_path / "copy.jpg")
    copied = photo_of(tmp_path / "copy.jpg", 2)
    os.remove(tmp_path / "a.jpg")  # nobody opens it any more
    assert ThumbnailCache(tmp_path / "thumbnails", LIMIT).get(photo, HASH, 320) == first
    assert cache.get(copied, HASH, 320) == first  # the same content
    assert len(files(tmp_path / "thumbnails")) == 1
    with pytest.raises(ImageError, match="the file is gone") as caught:
        cache.get(photo, HASH, 160)
    assert caught.value.code == "file-gone"


def test_a_file_that_changed_shows_what_is_there_now(cache: ThumbnailCache, tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.png", "red")
    before = cache.get(photo, HASH, 160)
    draw(tmp_path / "a.png", "lime")
    now = cache.get(photo, HASH, 160)
    assert picture(now).getpixel((150, 70))[1] > 200  # type: ignore[index]
    assert now.etag != before.etag
    draw(tmp_path / "a.png", "white", (900, 900))
    assert picture(cache.get(photo, HASH, 160)).size == (160, 160)
    assert cache.get(photo, None, 160) == cache.get(photo, HASH, 160)  # no hash is known


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "folder", "other"])
def test_what_is_damaged_is_made_again(cache: ThumbnailCache, tmp_path: Path, damage: str) -> None:
    photo = draw(tmp_path / "a.jpg")
    first = cache.get(photo, HASH, 320)
    (file,) = files(tmp_path / "thumbnails")
    content = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        middle = len(content) // 2
        wrong = {
            "cut": content[:middle],
            "bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
            "other": b"<script>" * 100,
        }
        file.write_bytes(wrong[damage])
    assert cache.get(photo, HASH, 320) == first
    if damage != "folder":  # which is somebody else's, and stays
        assert file.read_bytes() == content


def test_deleting_the_folder_is_harmless(cache: ThumbnailCache, tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    first = cache.get(photo, HASH, 320)
    shutil.rmtree(tmp_path / "thumbnails")
    assert cache.get(photo, HASH, 320) == first
    assert len(files(tmp_path / "thumbnails")) == 1


def test_without_a_folder_to_write_to_it_is_made_each_time(tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    made = [
        ThumbnailCache(tmp_path / name, limit).get(photo, HASH, 320)
        for name, limit in (("file", LIMIT), ("link", LIMIT), ("none", 0), ("sound", LIMIT))
    ]
    assert made == [made[0]] * 4
    assert files(tmp_path / "elsewhere") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_read_only_folder_is_no_error(cache: ThumbnailCache, tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    (tmp_path / "thumbnails").mkdir(mode=0o500)
    assert picture(cache.get(photo, HASH, 320)).width == 320
    assert files(tmp_path / "thumbnails") == []


def test_the_least_recently_used_go_first_and_nothing_of_others(tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    folder = tmp_path / "thumbnails"
    size = 16 + len(ThumbnailCache(tmp_path / "other", LIMIT).get(photo, HASH, 160).content)
    cache = ThumbnailCache(folder, 5 * size)
    for number in range(5):
        cache.get(photo, bytes([number] * 16), 160)
    own = files(folder)
    assert len(own) == 5
    by_age = {}
    for age in range(5):
        cache_file = next(file for file in files(folder) if file.name not in by_age)
        by_age[cache_file.name] = age
        os.utime(cache_file, (1e9 + age * 1e5,) * 2)
    (folder / own[0].parent.name / "mine.txt").write_bytes(b"x" * 10 * size)
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / ".0123456789ab.partial").write_bytes(b"left behind")
    os.utime(folder / "ab" / ".0123456789ab.partial", (1e9, 1e9))
    oldest = min(by_age, key=lambda name: by_age[name])
    used = next(file for file in own if file.name == oldest)
    number = next(n for n in range(5) if _kept_at(folder, cache, photo, n) == used)
    cache.get(photo, bytes([number] * 16), 160)  # used again: the youngest now
    cache.get(photo, bytes([9] * 16), 160)
    left = files(folder)
    assert used in left
    assert sum(file.stat().st_size for file in left if file.suffix == ".thumb") <= 5 * size
    assert len([file for file in left if file.suffix == ".thumb"]) == 4
    assert [file.name for file in left if file.suffix != ".thumb"] == ["mine.txt"]


def _kept_at(folder: Path, cache: ThumbnailCache, photo: Photo, number: int) -> Path:
    """Where the thumbnail of this content is kept."""
    from mmsearch.media.thumbnail_cache import _key

    key = _key(photo, bytes([number] * 16))
    return folder / key[:2] / f"{key}-160.thumb"


def test_many_threads_and_two_caches_at_once(tmp_path: Path) -> None:
    photos = [draw(tmp_path / f"{number}.png", size=(200 + number, 100)) for number in range(6)]
    caches = [ThumbnailCache(tmp_path / "thumbnails", LIMIT) for _ in range(2)]
    made: list[tuple[int, bytes]] = []

    def ask(cache: ThumbnailCache) -> None:
        for number, photo in enumerate(photos * 3):
            made.append((number % 6, cache.get(photo, bytes([number % 6] * 16), 160).content))

    threads = [threading.Thread(target=ask, args=(cache,)) for cache in caches * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 * 18
    assert len(set(made)) == 6
    assert len(files(tmp_path / "thumbnails")) == 6


def test_what_it_refuses(cache: ThumbnailCache, tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.jpg")
    with pytest.raises(ArgumentError, match="side must be one of 160, 320, 640, 1280, not 5"):
        cache.get(photo, HASH, 5)
    with pytest.raises(ImageError, match="megapixels, over the limit"):
        ThumbnailCache(tmp_path / "thumbnails", LIMIT, max_megapixels=1).get(photo, HASH, 160)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    broken = replace(photo, path=str(tmp_path / "broken.jpg"))
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        cache.get(broken, None, 160)
    assert files(tmp_path / "thumbnails") == []
