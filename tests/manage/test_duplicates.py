"""Groups of files that show the same, on real photos in a real library, and against plain loops."""

from __future__ import annotations

import functools
import io
import itertools
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from samples import SAMPLES

from mmsearch.errors import SourceError
from mmsearch.library.library import Library
from mmsearch.manage.duplicates import Group, Level, Proposals, find
from mmsearch.media.dhash import dhash
from mmsearch.media.pixel_match import Sketch, alike, sketch
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Decoded, Exif, Found, Ids, Progress

TAKEN, TAKEN_FRACTION = 0x9003, 0x9291  # EXIF: when the shutter opened, and the fraction of that second
Rows = list[tuple[Level, str, list[tuple[Level, str]]]]


def _photo(name: str) -> Image.Image:
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB")


def _save(image: Image.Image, file: Path, time: int, quality: int = 90, taken: str = "", fraction: str = "") -> Path:
    """As JPEG, last written ``time`` seconds after 2020-01-01 UTC."""
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[TAKEN] = taken
    if fraction:
        exif.get_ifd(0x8769)[TAKEN_FRACTION] = fraction
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, "JPEG", quality=quality, exif=exif)
    return _dated(file, time)


def _dated(file: Path, time: int) -> Path:
    os.utime(file, (1577836800 + time, 1577836800 + time))
    return file


def _copied(file: Path, to: Path, time: int) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return _dated(Path(shutil.copy(file, to)), time)


def _scaled(image: Image.Image, share: float) -> Image.Image:
    return image.resize((round(share * image.width), round(share * image.height)))


def _middle(image: Image.Image, share: float) -> Image.Image:
    across, down = (1 - share) * image.width / 2, (1 - share) * image.height / 2
    return image.crop((int(across), int(down), int(image.width - across), int(image.height - down)))


def _rows(groups: list[Group], folder: Path) -> Rows:
    """Groups with paths relative to ``folder``."""

    def name(path: str) -> str:
        return str(Path(path).relative_to(folder))

    return [
        (
            group.level,
            name(group.keep.path),
            [(level, name(p.path)) for p, level in zip(group.others, group.levels, strict=True)],
        )
        for group in groups
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def copies(folder: Path) -> Path:
    """Two photos with copies of all kinds, and two that are alone."""
    cat, coffee = _photo("chelsea.png"), _photo("coffee.png")
    _save(cat, folder / "cat.jpg", time=100)
    _copied(folder / "cat.jpg", folder / "backup" / "IMG_1.jpg", time=50)
    _save(_scaled(cat, 0.5), folder / "cat_small.jpg", time=10, quality=60)
    _save(coffee, folder / "coffee.jpg", time=100, quality=85)
    _save(_middle(coffee, 0.9), folder / "coffee_middle.jpg", time=100)
    _save(ImageEnhance.Brightness(coffee).enhance(0.8), folder / "coffee_dark.jpg", time=100, quality=30)
    _save(_photo("astronaut.png"), folder / "astronaut.jpg", time=100)
    _save(_photo("rocket.jpg"), folder / "rocket.jpg", time=100)
    return folder


def test_copies_and_edited_copies_are_grouped_with_the_best_one_first(library: Library, copies: Path) -> None:
    library.index(copies)
    groups = library.duplicates()
    assert _rows(groups, copies) == [
        ("near", "coffee.jpg", [("near", "coffee_dark.jpg"), ("near", "coffee_middle.jpg")]),
        ("near", "backup/IMG_1.jpg", [("exact", "cat.jpg"), ("near", "cat_small.jpg")]),
    ]
    sizes = [sum((copies / p.path).stat().st_size for p in group.others) for group in groups]
    assert [group.bytes for group in groups] == sizes == sorted(sizes, reverse=True)


def test_equal_files_alone(library: Library, copies: Path) -> None:
    library.index(copies)
    assert _rows(library.duplicates("exact"), copies) == [("exact", "backup/IMG_1.jpg", [("exact", "cat.jpg")])]


def test_of_equal_files_the_oldest_is_kept_then_that_with_the_shortest_path(library: Library, folder: Path) -> None:
    first = _save(_photo("rocket.jpg"), folder / "b.jpg", time=20)
    _copied(first, folder / "a.jpg", time=30)
    _copied(first, folder / "a (2).jpg", time=20)
    library.index(folder)
    assert _rows(library.duplicates("exact"), folder) == [
        ("exact", "b.jpg", [("exact", "a (2).jpg"), ("exact", "a.jpg")])
    ]


def test_of_near_files_that_with_most_pixels_is_kept_then_the_largest(library: Library, folder: Path) -> None:
    cat = _photo("chelsea.png")
    _save(_scaled(cat, 0.6), folder / "small.jpg", time=0, quality=100)
    _save(cat, folder / "middling.jpg", time=0, quality=50)
    _save(cat, folder / "good.jpg", time=100, quality=60)
    library.index(folder)
    assert _rows(library.duplicates(), folder) == [
        ("near", "good.jpg", [("near", "middling.jpg"), ("near", "small.jpg")])
    ]


def test_no_chain_of_crops_leads_to_a_picture_that_is_unlike_the_kept_one(library: Library, folder: Path) -> None:
    whole = _photo("coffee.png")
    part = _middle(whole, 0.87)
    detail = _middle(part, 0.87)
    files = [_save(image, folder / f"{number}.jpg", time=0) for number, image in enumerate((whole, part, detail))]
    sketches = [sketch(io.BytesIO(file.read_bytes()), file.name) for file in files]
    assert [alike(sketches[0], sketches[1]), alike(sketches[1], sketches[2])] == [True, True]
    assert not alike(sketches[0], sketches[2])
    library.index(folder)
    assert _rows(library.duplicates(), folder) == [("near", "0.jpg", [("near", "1.jpg")])]


def test_two_shots_are_no_copies_where_the_camera_says_so(library: Library, folder: Path) -> None:
    cat = _photo("chelsea.png")
    _save(cat, folder / "1.jpg", 0, quality=95, taken="2024:05:01 10:00:00", fraction="50")
    _save(cat, folder / "another.jpg", 0, quality=90, taken="2024:05:01 10:00:00", fraction="70")
    _save(cat, folder / "later.jpg", 0, quality=85, taken="2024:05:01 10:00:05", fraction="50")
    _save(cat, folder / "same.jpg", 0, quality=80, taken="2024:05:01 10:00:00")  # an editor dropped the fraction
    _save(cat, folder / "unknown.jpg", 0, quality=75)
    library.index(folder)
    assert _rows(library.duplicates(), folder) == [("near", "1.jpg", [("near", "same.jpg"), ("near", "unknown.jpg")])]
    assert _rows(library.duplicates("burst"), folder) == [
        (
            "burst",
            "1.jpg",
            [("near", "same.jpg"), ("near", "unknown.jpg"), ("burst", "another.jpg"), ("burst", "later.jpg")],
        )
    ]


@pytest.mark.parametrize(("seconds", "place", "found"), [(10, "", True), (11, "", False), (5, "elsewhere", False)])
def test_a_burst_is_taken_within_ten_seconds_in_one_folder(
    library: Library, folder: Path, seconds: int, place: str, found: bool
) -> None:
    left = _save(_photo("motorcycle_left.png"), folder / "1.jpg", 0, quality=95, taken="2024:05:01 10:00:00")
    _save(_photo("motorcycle_right.png"), folder / place / "2.jpg", 0, 90, taken=f"2024:05:01 10:00:{seconds:02}")
    _save(_photo("rocket.jpg"), folder / "3.jpg", 1, taken="2024:05:01 10:00:01")
    library.index(folder)
    assert library.duplicates() == []
    assert _rows(library.duplicates("burst"), folder) == ([("burst", left.name, [("burst", "2.jpg")])] if found else [])


@pytest.mark.parametrize("taken", ["2024:05:01 11:00:00", ""])
def test_when_a_file_was_written_makes_no_burst(library: Library, folder: Path, taken: str) -> None:
    _save(_photo("motorcycle_left.png"), folder / "1.jpg", 0, quality=95, taken=taken and "2024:05:01 10:00:00")
    _save(_photo("motorcycle_right.png"), folder / "2.jpg", 0, taken=taken)
    library.index(folder)
    assert library.duplicates("burst") == []


def test_a_picture_that_was_taken_in_a_burst_comes_with_its_copies(library: Library, folder: Path) -> None:
    left, right = _photo("motorcycle_left.png"), _photo("motorcycle_right.png")
    _save(left, folder / "1.jpg", 0, quality=95, taken="2024:05:01 10:00:00")
    _save(right, folder / "2.jpg", 0, quality=90, taken="2024:05:01 10:00:03")
    _save(_scaled(right, 0.5), folder / "web" / "2.jpg", 1000)
    library.index(folder)
    assert _rows(library.duplicates(), folder) == [("near", "2.jpg", [("near", "web/2.jpg")])]
    assert _rows(library.duplicates("burst"), folder) == [
        ("burst", "1.jpg", [("burst", "2.jpg"), ("burst", "web/2.jpg")])
    ]


def test_a_higher_threshold_leaves_less(library: Library, copies: Path) -> None:
    library.index(copies)
    found = [sum(len(group.others) for group in library.duplicates(threshold=least)) for least in (0.5, 0.9, 0.9999)]
    assert found[0] >= found[1] > found[2] == 1  # the equal files
    assert _rows(library.duplicates(threshold=0.9999), copies) == [
        ("exact", "backup/IMG_1.jpg", [("exact", "cat.jpg")])
    ]


def test_only_files_in_the_given_folders_are_grouped(library: Library, copies: Path) -> None:
    library.index(copies)
    assert library.duplicates(within=copies / "backup") == []
    both = [copies / "backup", copies / "cat_small.jpg"]
    assert _rows(library.duplicates(within=both), copies) == [("near", "backup/IMG_1.jpg", [("near", "cat_small.jpg")])]
    with pytest.raises(SourceError, match="no such file or folder"):
        library.duplicates(within=copies / "nowhere")


def test_what_has_changed_or_gone_is_left_alone_and_said(
    library: Library, copies: Path, caplog: pytest.LogCaptureFixture
) -> None:
    library.index(copies)
    (copies / "backup" / "IMG_1.jpg").unlink()
    _save(_photo("rocket.jpg"), copies / "coffee_dark.jpg", time=500)
    with caplog.at_level(logging.WARNING):
        groups = library.duplicates()
    assert sorted(_rows(groups, copies)) == [
        ("near", "cat.jpg", [("near", "cat_small.jpg")]),
        ("near", "coffee.jpg", [("near", "coffee_middle.jpg")]),
    ]
    assert sorted(record.message for record in caplog.records) == [
        f"left alone, changed since it was indexed: {copies}/coffee_dark.jpg",
        f"left alone, not there now: {copies}/backup/IMG_1.jpg",
    ]


def test_other_names_of_a_file_are_no_copies(library: Library, folder: Path) -> None:
    cat = _save(_photo("chelsea.png"), folder / "cat.jpg", 0)
    os.link(cat, folder / "hard.jpg")
    (folder / "soft.jpg").symlink_to(cat)
    assert library.index(folder).added == 2  # a link is no photo of its own
    assert library.duplicates() == []
    _copied(cat, folder / "copy.jpg", 100)
    library.index(folder)
    assert _rows(library.duplicates(), folder) == [("exact", "cat.jpg", [("exact", "copy.jpg")])]


def test_pictures_without_a_hash_are_found_by_their_vectors(library: Library, copies: Path) -> None:
    library.index(copies)
    expected = _rows(library.duplicates(), copies)
    for names in (["cat_small.jpg"], ["cat.jpg", "backup/IMG_1.jpg"], ["cat_small.jpg", "cat.jpg", "backup/IMG_1.jpg"]):
        paths = [os.fsencode(copies / name) for name in names]
        with sqlite3.connect(library.folder / "library.sqlite") as connection:
            for path in paths:
                connection.execute(
                    "UPDATE contents SET dhash = NULL WHERE id = (SELECT content_id FROM photos WHERE path = ?)", [path]
                )
        connection.close()
        assert _rows(library.duplicates(), copies) == expected


def test_progress_counts_the_pictures(library: Library, copies: Path) -> None:
    library.index(copies)
    steps: list[Progress] = []
    library.duplicates(progress=steps.append)
    assert [(step.done, step.total, step.step) for step in steps] == [(7, 7, "duplicates")]


# Against plain loops over many small pictures


def _drawn(rng: np.random.Generator, scene: int) -> Image.Image:
    """Blurred blocks, the same for the same scene, cut or lighter by chance."""
    blocks = np.random.default_rng(scene).integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(blocks).resize((96, 96), Image.Resampling.BICUBIC)
    image = _middle(image, float(rng.choice([1.0, 0.97, 0.93, 0.88])))
    side = int(rng.choice([48, 64, 64, 80]))
    lighter = np.asarray(image.resize((side, side)), np.float64) * rng.uniform(0.8, 1.1) + rng.normal(
        0, 3, (side, side, 3)
    )
    return Image.fromarray(lighter.clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Made:
    """A picture on disk, and what is stored of it."""

    path: str
    pixels: int
    bytes: int
    time: float  # of the file
    vector: NDArray[np.float32]
    hash: int | None
    taken: datetime | None


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteStore, list[Made]]]:
    """300 pictures of 75 scenes, with vectors that are made up, some without a hash."""
    rng = np.random.default_rng(0)
    scenes = rng.standard_normal((75, 16))
    folder, made = tmp_path_factory.mktemp("many"), []
    with SqliteStore(folder / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", "abc", 16, active=True)
            for number in range(300):
                scene, time = int(rng.integers(75)), int(rng.integers(300))
                file = folder / f"folder{scene % 3}" / f"{number:03}.png"
                file.parent.mkdir(exist_ok=True)
                image = _drawn(rng, scene)
                image.save(file)
                status = _dated(file, time).stat()
                vector = scenes[scene] + rng.choice([0.2, 0.5, 0.9]) * rng.standard_normal(16)
                vector = (vector / np.linalg.norm(vector)).astype("<f2").astype(np.float32)
                taken = datetime(2020, 1, 1) + timedelta(seconds=time) if rng.random() < 0.6 else None
                picture = Decoded(np.asarray(image), *image.size, "png", Exif(taken))
                content = writer.put(b"%d" % number, picture, vector, model)
                writer.place(Found(str(file), status.st_size, status.st_mtime_ns), content)
                looks = None if content % 11 == 0 else int.from_bytes(dhash(picture.pixels), "big")
                pixels = image.width * image.height
                made.append(Made(str(file), pixels, status.st_size, status.st_mtime, vector, looks, taken))
        with sqlite3.connect(store.file) as connection:
            connection.execute("UPDATE contents SET dhash = NULL WHERE id % 11 = 0")
        connection.close()
        yield store, made


def _proposed(left: Made, right: Made) -> bool:
    if left.taken is not None and right.taken is not None and abs(left.taken - right.taken) >= timedelta(seconds=1):
        return False
    cosine = float(left.vector @ right.vector)
    if left.hash is None or right.hash is None:
        return cosine >= 0.75
    bits = bin(left.hash ^ right.hash).count("1")
    return (bits <= 6 and cosine >= 0.3) or (bits <= 18 and cosine >= 0.75)


def _at_once(left: Made, right: Made) -> bool:
    if left.taken is None or right.taken is None or os.path.dirname(left.path) != os.path.dirname(right.path):
        return False
    return abs(left.taken - right.taken) <= timedelta(seconds=10)


@functools.cache
def _sketch(path: str) -> Sketch:
    return sketch(io.BytesIO(Path(path).read_bytes()), path)


def _by_loops(made: list[Made], bursts: bool) -> dict[str, list[tuple[Level, str]]]:
    """Path of the kept one -> the others of its group."""
    best = sorted(made, key=lambda one: (-one.pixels, -one.bytes, one.time, one.path))
    sketches = [_sketch(one.path) for one in best]
    near = [-1] * len(best)
    for row, one in enumerate(best):
        if near[row] >= 0:
            continue
        near[row] = row
        for other in range(row + 1, len(best)):
            if near[other] < 0 and _proposed(one, best[other]) and alike(sketches[row], sketches[other]):
                near[other] = row
    heads = {row: row for row in sorted(set(near))}
    members = {head: [row for row in range(len(best)) if near[row] == head] for head in heads}
    for head, other in itertools.combinations(list(heads), 2) if bursts else ():
        if heads[head] == head and heads[other] == other and float(best[head].vector @ best[other].vector) >= 0.75:
            pairs = itertools.product(members[head], members[other])
            if any(_at_once(best[left], best[right]) for left, right in pairs):
                heads[other] = head
    kept = {}  # of those of a head with as many pixels the first that has a date, else the head
    for head, rows in members.items():
        dated = [row for row in rows if best[row].pixels == best[head].pixels and best[row].taken is not None]
        kept[head] = (dated or [head])[0]
    groups: dict[str, list[tuple[Level, str]]] = {}
    for row in range(len(best)):
        head = heads[near[row]]
        if row != kept[head]:
            level: Level = "near" if near[row] == head else "burst"
            groups.setdefault(best[kept[head]].path, []).append((level, best[row].path))
    return groups


@pytest.mark.parametrize("level", ["near", "burst"])
def test_groups_agree_with_loops(many: tuple[SqliteStore, list[Made]], level: Level) -> None:
    store, made = many
    model = store.model()
    assert model is not None
    groups, left = find(store, model, level)
    assert left == []
    expected = _by_loops(made, bursts=level == "burst")
    found = {g.keep.path: [(own, p.path) for p, own in zip(g.others, g.levels, strict=True)] for g in groups}
    assert {path: sorted(others) for path, others in found.items()} == {p: sorted(o) for p, o in expected.items()}
    assert len(found) > 30
    assert {own for others in found.values() for own, _ in others} == {"near", *([level] if level == "burst" else [])}


@pytest.mark.parametrize("hashed", [1.0, 0.7, 0.0])
def test_proposals_are_all_pairs_that_rules_allow(hashed: float) -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 60, 300)
    vectors = (rng.standard_normal((60, 8))[scene] + 0.6 * rng.standard_normal((300, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = np.packbits((rng.random((60, 64)) < 0.5)[scene] ^ (rng.random((300, 64)) < 0.12), axis=1)
    there, free = rng.random(300) < hashed, rng.random(300) < 0.9
    proposals = Proposals(vectors, codes, there, [(8, 0.4), (16, 0.75)], 0.8)
    found: dict[int, Ids] = {}
    for start in range(0, 300, 128):
        found |= proposals.block(start, min(start + 128, 300), free)
    expected: dict[int, list[int]] = {}
    for left, right in itertools.combinations(np.flatnonzero(free).tolist(), 2):
        cosine = float(vectors[left] @ vectors[right])
        bits = sum(bin(a ^ b).count("1") for a, b in zip(codes[left].tolist(), codes[right].tolist(), strict=True))
        both = there[left] and there[right]
        if (bits <= 8 and cosine >= 0.4) or (bits <= 16 and cosine >= 0.75) if both else cosine >= 0.8:
            expected.setdefault(left, []).append(right)
    assert {row: others.tolist() for row, others in found.items()} == expected
    assert list(found) == sorted(found)
    assert len(expected) > 30


@pytest.mark.parametrize(("count", "found"), [(12, True), (310, False)])
def test_times_of_a_clock_that_stood_still_make_no_burst(tmp_path: Path, count: int, found: bool) -> None:
    """More than 300 files of a folder within ten seconds: nobody took these one by one."""
    vector = np.array([1, 0, 0, 0], np.float32)
    with SqliteStore(tmp_path / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", "abc", 4, active=True)
            for number in range(count):
                file = tmp_path / f"{number:03}.png"
                noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
                image = Image.fromarray(noise)  # near by vector, not to look at
                image.save(file)
                status = file.stat()
                taken = datetime(2020, 1, 1) + timedelta(seconds=9 * number // count)
                picture = Decoded(np.asarray(image), *image.size, "png", Exif(taken))
                content = writer.put(b"%d" % number, picture, vector, model)
                writer.place(Found(str(file), status.st_size, status.st_mtime_ns), content)
        groups, left = find(store, model, "burst")
    assert left == []
    assert [len(group.others) for group in groups] == ([count - 1] if found else [])
