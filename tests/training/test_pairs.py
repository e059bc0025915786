"""Captioned photos: faults of their file, the division, and what is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.errors import SourceError
from mmsearch.training.common import augment, mining
from mmsearch.training.common.pairs import Pairs, Pictures, read, split, without
from mmsearch.types import Preprocess

SMALL = Preprocess(32, resize_mode="squash")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chelsea.png a cat", r"line 18: wanted 'file name<TAB>caption', got 'chelsea.png a cat'"),
        ("\ta cat", r"line 18: wanted 'file name<TAB>caption'"),
        ("chelsea.png\t ", r"line 18: the caption of 'chelsea.png' is empty"),
        ("gone.png\ta cat\nlost.png\ta dog", r"line 18: there is no photo 'gone.png' in .*images; 1 more photos"),
    ],
)
def test_fault_is_named_with_its_line(pairs_file: Path, line: str, message: str) -> None:
    with pairs_file.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(SourceError, match=message):
        read(pairs_file, pairs_file.parent / "images")


def test_file_without_pairs_or_of_another_kind(tmp_path: Path, pairs_file: Path) -> None:
    images = pairs_file.parent / "images"
    (tmp_path / "empty.tsv").write_text("\n\n", "utf-8")
    with pytest.raises(SourceError, match="no pairs"):
        read(tmp_path / "empty.tsv", images)
    (tmp_path / "latin.tsv").write_bytes("chelsea.png\tKätzchen\n".encode("latin-1"))
    with pytest.raises(SourceError, match="no UTF-8"):
        read(tmp_path / "latin.tsv", images)
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read(tmp_path / "absent.tsv", images)
    with pytest.raises(SourceError, match="no such folder"):
        read(pairs_file, tmp_path / "nowhere")


def test_captions_of_a_photo_come_together(pairs: Pairs) -> None:
    assert (len(pairs), pairs.captions) == (8, 16)
    assert pairs.texts[pairs.names.index("chelsea.png")] == (
        "a cat looks at the camera",
        "this is a cat looks at the camera",
    )


def test_no_photo_is_on_both_sides_and_the_division_stays(pairs: Pairs) -> None:
    train, dev = split(pairs, 0.25)
    assert (len(train), len(dev)) == (6, 2)
    assert set(train.names) | set(dev.names) == set(pairs.names)
    assert not set(train.names) & set(dev.names)
    turned = pairs.keep(reversed(range(len(pairs))))
    assert set(split(turned, 0.25)[1].names) == set(dev.names)
    assert any(split(pairs, 0.25, seed)[1].names != dev.names for seed in range(1, 9))
    assert len(split(pairs, 0.0)[1]) == 0
    assert len(split(pairs, 0.001)[1]) == 1
    assert set(without(pairs, dev).names) == set(train.names)


@pytest.mark.parametrize("limit", [0, 2**30])
def test_damaged_photo_is_left_out_and_counted(pairs: Pairs, limit: int) -> None:
    damaged = pairs.folder / "chelsea.png"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    reports: list[tuple[int, int]] = []
    kept, pictures = Pictures.open(pairs, SMALL, 1.25, limit, lambda done, total: reports.append((done, total)))
    assert set(kept.names) == set(pairs.names) - {"chelsea.png"}
    assert [Path(item.path).name for item in kept.skipped] == ["chelsea.png"]
    assert reports == [(number, 8) for number in range(1, 9)]
    row = kept.names.index("coffee.png")
    assert pictures.plain([row, 0]).shape == (2, 32, 32, 3)
    with Image.open(pairs.folder / "coffee.png") as image:
        small = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(pictures.plain([row])[0] - small).mean() < 4


def test_no_photo_left(pairs: Pairs) -> None:
    for name in pairs.names:
        (pairs.folder / name).write_bytes(b"nothing")
    with pytest.raises(SourceError, match="no pairs are left: none of the 8 photos could be read; the first: "):
        Pictures.open(pairs, SMALL)


def test_view_depends_on_seed_round_and_photo_only(pairs: Pairs) -> None:
    _, pictures = Pictures.open(pairs, SMALL, 1.25)
    first = pictures.views([0, 1, 2], 5, 1)
    assert first.shape == (3, 32, 32, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(pictures.views([2], 5, 1)[0], first[2])
    assert not np.array_equal(pictures.views([2], 5, 2)[0], first[2])
    assert not np.array_equal(pictures.views([2], 6, 1)[0], first[2])


def test_view_shows_half_of_the_picture_at_least() -> None:
    ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 128, axis=0).repeat(3, axis=2)
    for number in range(20):
        seen = augment.view(ramp, 64, augment.generator(0, 0, number))
        assert int(seen.max()) - int(seen.min()) > 70  # of 254, after less contrast and light


def test_epoch_shows_every_caption_once() -> None:
    captions = [np.arange(3 * photo, 3 * photo + 3) for photo in range(10)] + [np.array([30])]
    for per_photo in (1, 2):
        plan = mining.epoch(captions, 4, per_photo, np.random.default_rng(0))
        shown = np.concatenate([meeting.captions.reshape(-1) for meeting in plan])
        assert set(shown.tolist()) == set(range(31))
        assert len(shown) == 31 if per_photo == 1 else len(shown) == 42  # short photos repeat a caption
        for meeting in plan:
            assert 2 <= len(meeting.photos) <= 4
            for photo, own in zip(meeting.photos, meeting.captions, strict=True):
                assert set(own.tolist()) <= set(captions[photo].tolist())
    again = mining.epoch(captions, 4, 2, np.random.default_rng(0))
    assert all(np.array_equal(a.captions, b.captions) for a, b in zip(plan, again, strict=True))
    assert {len(m.photos) % 2 for m in mining.epoch(captions, 5, 1, np.random.default_rng(0), multiple=2)} == {0}


def test_mined_batches_hold_neighbours() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat(np.arange(8), 4)  # eight kinds of four photos each
    vectors = np.eye(8, dtype=np.float32)[kind] + 0.01 * rng.standard_normal((32, 8)).astype(np.float32)
    near = mining.nearest(vectors, 3)
    assert all(set(kind[row]) == {kind[photo]} for photo, row in enumerate(near))
    captions = [np.array([photo]) for photo in range(32)]
    plan = mining.epoch(captions, 4, 1, rng, near=near, mined=1.0, group=4)
    assert all(len(set(kind[meeting.photos])) == 1 for meeting in plan)
    half = mining.epoch(captions, 4, 1, rng, near=near, mined=0.5, group=4)
    assert sum(len(set(kind[meeting.photos])) == 1 for meeting in half) in (4, 5, 6)
    assert sorted(np.concatenate([meeting.photos for meeting in half])) == list(range(32))
