"""Sketches of texts and rough pictures of photos: the decoder that ships, over real photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import CLI, SAMPLES
from small_models import CAPTIONS

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.errors import ModelError
from mmsearch.library import imagining
from mmsearch.library.library import Library
from mmsearch.media.decode import decode
from mmsearch.search.sketches import CARD, Sketches
from mmsearch.types import Pixels, Regions


@pytest.fixture(scope="module")
def sketches() -> Sketches:
    return Sketches(threads=1)


@pytest.fixture(scope="module")
def seen(encoder: OnnxEncoder) -> tuple[Pixels, Regions]:
    """Photos as the encoder sees them, and their region tokens."""
    pixels = []
    for name in CAPTIONS:
        with (SAMPLES / name).open("rb") as file:
            pixels.append(decode(file, name, encoder.card.preprocess).pixels)
    rows = np.stack(pixels)
    tokens = encoder.encode_pictures(rows)[1]
    assert tokens is not None
    return rows, tokens


def test_it_draws_the_tokens_of_the_embedded_model(sketches: Sketches, encoder: OnnxEncoder) -> None:
    assert sketches.fits(encoder.card)
    other = ModelCard.from_json(encoder.card.to_json().replace(encoder.card.weights, "0" * 64))
    assert not sketches.fits(other)


def test_sketches_are_more_like_their_own_photos_than_like_the_others(
    sketches: Sketches, seen: tuple[Pixels, Regions]
) -> None:
    pixels, tokens = seen
    drawn = sketches.draw(tokens)
    assert (drawn.shape, str(drawn.dtype)) == ((len(pixels), 128, 128, 3), "uint8")
    made, real = (
        np.stack([np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BOX), np.float64).ravel()
                  for one in rows]) for rows in (drawn, pixels)
    )  # fmt: skip
    correlations = np.corrcoef(made, real)[: len(made), len(made) :]  # (sketches, photos)
    own, others = correlations.diagonal().mean(), correlations[~np.eye(len(made), dtype=bool)].mean()
    assert own > others + 0.08  # 0.24 and 0.12 were measured: drawings, a rocket at night, no everyday photos


def test_tokens_of_a_picture_come_from_its_vector(
    sketches: Sketches, encoder: OnnxEncoder, seen: tuple[Pixels, Regions]
) -> None:
    pixels, tokens = seen
    vectors = encoder.encode_images(pixels)
    made = sketches.tokens(vectors)
    assert made.shape == tokens.shape
    assert np.array_equal(made, sketches.tokens(vectors))
    assert not np.array_equal(made, sketches.tokens(vectors, seed=1))
    flat, own = (sketches.standardized(one).reshape(len(one), -1) for one in (made, tokens))
    flat, own = (one - one.mean(axis=0) for one in (flat, own))
    cosines = flat @ own.T / np.linalg.norm(flat, axis=1)[:, None] / np.linalg.norm(own, axis=1)
    assert (cosines.diagonal() > (cosines.sum(axis=1) - cosines.diagonal()) / (len(cosines) - 1)).all()


def test_windows_of_cells_and_where_they_lie() -> None:
    tokens = np.arange(49, dtype=np.float32).reshape(1, 49, 1)
    means = imagining.windows(tokens, 7)
    grid = tokens.reshape(7, 7)
    assert means[0, :, 0].tolist() == [grid[y : y + 3, x : x + 3].mean() for y in range(5) for x in range(5)]
    assert imagining.box(7, 7) == pytest.approx((2 / 7, 1 / 7, 5 / 7, 4 / 7))


def test_the_nearest_region_of_a_photo_that_is_sketched_is_in_that_photo(
    sketches: Sketches, library: Library, photos: Path
) -> None:
    library.index(photos)
    hits = list(library)
    tokens, there = imagining.stored_tokens(library.store, library.encoder().card, [(one.path, 0) for one in hits])
    assert there.all()
    near = imagining.nearest(sketches, tokens, [(one, 0) for one in hits], tokens, 2)
    assert [(own[0].photo, own[0].box) for own in near] == [(one, own[0].sketch_box) for one, own in
                                                             zip(hits, near, strict=True)]  # fmt: skip
    assert [own[0].similarity for own in near] == pytest.approx([1.0] * len(near), abs=1e-4)
    assert all(own[1].similarity < 0.999 for own in near)
    assert all(own[1].photo != own[0].photo for own in near)


def test_a_text_gets_the_same_sketches_with_regions_of_ones_photos(library: Library, photos: Path) -> None:
    library.index(photos)
    first, second = (library.imagine("a cat", 2, regions=3) for _ in range(2))
    assert [one.pixels.shape for one in first] == [(128, 128, 3)] * 2
    assert not np.array_equal(first[0].pixels, first[1].pixels)
    for one, again in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, again.pixels)
        assert one.regions == again.regions
        assert [near.similarity for near in one.regions] == sorted((r.similarity for r in one.regions), reverse=True)
        assert len({near.photo.id for near in one.regions}) == 3
    assert library.imagine("a cat", 1, regions=0)[0].regions == ()


def test_an_empty_library_gets_sketches_alone(library: Library) -> None:
    (sketch,) = library.imagine("a cat", 1)
    assert sketch.regions == ()
    (alone,) = imagining.alone("a cat", 1)
    assert np.array_equal(sketch.pixels, alone.pixels)


def test_what_is_damaged_is_said(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text("{}")
    with pytest.raises(ModelError, match=r"sketch.json cannot be used"):
        Sketches(tmp_path)


def test_the_command_writes_sketches_beside_regions(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    alone = mmsearch("imagine", "a", "cat", "-o", tmp_path / "alone.png", "-n", "3")
    assert "there is no library: these are sketches only" in alone.stderr
    with Image.open(tmp_path / "alone.png") as sheet:
        assert sheet.width == 3 * 200 + 8
    assert not (tmp_path / "home" / ".local").exists()  # no library was made
    mmsearch("index", photos)
    (photos / "cat.png").rename(tmp_path / "away.png")
    done = mmsearch("imagine", "a cat", "-o", tmp_path / "out.webp", "-n", "2", "--regions", "5", "--json")
    assert "sketches, not photos" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [len(line["regions"]) for line in lines] == [5, 5]
    assert str(photos / "cat.png") in {region["path"] for region in lines[0]["regions"]}
    with Image.open(tmp_path / "out.webp") as sheet:
        assert (sheet.format, sheet.size) == ("WEBP", (6 * 200 + 8, 2 * 200 + 52))  # the one that is away, too


def test_what_cannot_be_imagined_or_written_is_said(
    mmsearch: CLI, photos: Path, region_model: Path, tmp_path: Path
) -> None:  # fmt: skip
    for arguments, code, said in (
        (("a cat",), 2, "give -o FILE.png, --json, or both"),
        (("a cat", "-o", tmp_path / "out.gif"), 2, "must end in .png, .jpg or .webp, not 'out.gif'"),
        (("a cat", "-o", tmp_path / "none" / "out.png"), 1, "cannot be written: there is no folder"),
        ((" ", "--json"), 2, "there are no words to imagine anything of"),
        (("a cat", "--json", "--library", tmp_path / "none"), 1, "there is no library"),
    ):
        done = mmsearch("imagine", *arguments, check=code)
        assert said in " ".join(done.stderr.split()), done.stderr
    mmsearch("index", photos)
    (tmp_path / "link.png").symlink_to(photos / "cat.png")
    before = (photos / "cat.png").read_bytes()
    for target in (photos / "cat.png", tmp_path / "link.png"):
        done = mmsearch("imagine", "a cat", "-o", target, check=1)
        assert f"{target.name} is a picture of the library: name another file" in done.stderr
    assert (photos / "cat.png").read_bytes() == before
    model = f"local-dir:{region_model}"
    mmsearch("index", photos, "--library", tmp_path / "other", MMSEARCH_MODEL=model)
    done = mmsearch("imagine", "a cat", "--json", "--library", tmp_path / "other", check=1, MMSEARCH_MODEL=model)
    assert "pictures can be imagined for the embedded model only" in " ".join(done.stderr.split())


def test_a_contact_sheet_shows_a_rough_picture_of_a_file_that_is_away(
    mmsearch: CLI, photos: Path, tmp_path: Path
) -> None:
    mmsearch("index", photos)
    (photos / "cat.png").unlink()
    mmsearch("query", "a cat", "-k", "1", "--html", tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert "rough: the file is gone; drawn from what the library knows of it" in page
    assert "data:image/jpeg" in page
    shown = mmsearch("query", "a cat", "-k", "1", "--show-as", "blocks").stdout
    assert "rough: the file is gone" in shown
    assert shown.count("\u2580") > 50


def test_a_rough_picture_says_so_in_itself() -> None:
    grey = Image.new("RGB", (200, 100), "grey")
    marked = np.asarray(imagining.marked(grey))
    corner = marked[-10:, :20].reshape(-1, 3)
    assert {tuple(pixel) for pixel in corner.tolist()} >= {(0, 0, 0)}
    assert (marked[:50] == 128).all()  # the rest is as it was
