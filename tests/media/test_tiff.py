"""TIFFs of every kind are as their header says, or refused: compared with what another program wrote into them."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, prepare
from mmsearch.types import Decoded, Exif, Pixels, Preprocess

SQUASH = Preprocess(size=64, resize_mode="squash")
COLOUR: Pixels = np.ascontiguousarray(data.astronaut()[:96, :128])
COLOUR[:4, :4], COLOUR[-4:, -4:] = 0, 255  # stretched values stay as they are
GREY: Pixels = COLOUR.max(axis=2)


def written(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    order = options.get("byteorder", "<")
    tifffile.imwrite(buffer, values.astype(values.dtype.newbyteorder(order)), **options)
    return buffer.getvalue()


def read(content: bytes, path: str = "x.tif") -> Decoded:
    return decode(io.BytesIO(content), path, SQUASH)


def of_bits(pixels: Pixels, bits: int, kind: str = "u2") -> NDArray[Any]:
    return (pixels.astype(np.uint64) * ((1 << bits) - 1) // 255).astype(kind)


def away(content: bytes, wanted: Pixels) -> float:
    """The mean difference from the pixels that went in."""
    shown = prepare(Image.fromarray(wanted), SQUASH).astype(int)
    return float(np.abs(read(content).pixels - shown).mean())


ORDERS, PACKED, TILES = ("<", ">"), (None, "zlib"), (None, (16, 16), (80, 80))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colours_in_planes_or_not_are_as_they_were_written(kind: str, planes: str, alpha: bool) -> None:
    for order, packed, tile in itertools.product(ORDERS, PACKED, TILES):
        values = of_bits(COLOUR, 8 * np.dtype(kind).itemsize, kind)
        if alpha:
            values = np.dstack([values, np.full(values.shape[:2], np.iinfo(kind).max, kind)])
        if planes == "separate":
            values = np.ascontiguousarray(values.transpose(2, 0, 1))
        extra = {"extrasamples": ["unassalpha"]} if alpha else {}
        options = {"photometric": "rgb", "planarconfig": planes, "byteorder": order, "compression": packed}
        assert away(written(values, tile=tile, **options, **extra), COLOUR) < 1, (order, packed, tile)


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4", "i4", "f4"])
@pytest.mark.parametrize("white", ["minisblack", "miniswhite"])
def test_grey_is_as_bright_as_it_was_written_or_refused(kind: str, white: str) -> None:
    read_well, reasons = 0, set[str]()
    for order, packed, tile in itertools.product(ORDERS, PACKED, TILES):
        bits = {"u1": 8, "u2": 16, "i2": 15, "u4": 32, "i4": 31}.get(kind)
        values = (GREY / np.float32(255)).astype(kind) if bits is None else of_bits(GREY, bits, kind)
        if white == "miniswhite":
            values = values.max() - values
        content = written(values, photometric=white, byteorder=order, compression=packed, tile=tile)
        try:
            assert away(content, GREY) < 1.5, (order, packed, tile)
            read_well += 1
        except ImageError as error:  # said, not shown wrong
            reasons.add(error.reason)
    assert reasons <= {"cannot be decoded: unknown pixel mode"}
    assert read_well or (white == "miniswhite" and kind in ("i2", "u4", "i4"))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("white", ["minisblack", "miniswhite"])
def test_fewer_bits_in_sixteen_are_as_bright_as_they_are_meant(bits: int, white: str) -> None:
    values = of_bits(GREY, bits)
    if white == "miniswhite":
        values = ((1 << bits) - 1 - values).astype("u2")
    assert away(written(values, photometric=white), GREY) < 1.5


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_sixteen_in_a_png(bits: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(of_bits(GREY, bits)).save(buffer, "PNG")
    assert away(buffer.getvalue(), GREY) < 1.5


def test_the_header_says_what_is_white() -> None:
    dim = of_bits(GREY // 20, 16)
    tags = [(281, "H", 1, 65535, True)]
    assert read(written(dim, photometric="minisblack", extratags=tags)).pixels.max() < 20
    assert read(written(dim, photometric="minisblack")).pixels.max() > 60


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_sixteen_of_colours(bits: int, alpha: bool, planes: str) -> None:
    for order, packed in itertools.product(ORDERS, PACKED):
        values = of_bits(COLOUR, bits)
        if alpha:
            values = np.dstack([values, np.full(values.shape[:2], 65535, "u2")])
        if planes == "separate":
            values = np.ascontiguousarray(values.transpose(2, 0, 1))
        extra = {"extrasamples": ["unassalpha"]} if alpha else {}
        options = {"photometric": "rgb", "planarconfig": planes, "byteorder": order, "compression": packed}
        if planes == "contig" or packed is None or bits == 16:  # of compressed planes Pillow gives the upper half only
            assert away(written(values, **options, **extra), COLOUR) < 1.5, (order, packed)


# --- previews --------------------------------------------------------------------------------------------------------

SMALL = np.zeros((66, 88, 3), np.uint8)


def pages(*written: tuple[NDArray[Any], dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for values, options in written:
            writer.write(values, photometric="rgb", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pages((SMALL, {"subfiletype": 1}), (COLOUR, {})),
        pages((SMALL, {"subfiletype": 1, "subifds": 1}), (COLOUR, {"subfiletype": 0})),
        pages((SMALL[::2, ::2], {}), (COLOUR, {})),
        pages((SMALL, {"subfiletype": 1}), (SMALL, {"subfiletype": 1}), (COLOUR, {}), (COLOUR[::2, ::2], {})),
        pages((SMALL, {"subfiletype": 1}), (COLOUR, {"compression": "zlib"})),
    ],
    ids=["marked", "below", "small", "several", "compressed"],
)
def test_a_preview_is_not_taken_for_the_picture(content: bytes) -> None:
    found = read(content)
    assert (found.width, found.height, found.damage) == (128, 96, None)
    assert away(content, COLOUR) < 1


@pytest.mark.parametrize(
    "content",
    [
        pages((COLOUR, {}), (SMALL, {"subfiletype": 1})),  # a pyramid
        pages((COLOUR, {}), (np.zeros((300, 200, 3), np.uint8), {})),  # pages of a document
        pages((COLOUR, {"subfiletype": 1})),  # there is no other
    ],
    ids=["pyramid", "document", "alone"],
)
def test_the_first_page_is_taken_where_it_is_the_picture(content: bytes) -> None:
    assert away(content, COLOUR) < 1


def test_what_is_said_beside_a_preview_is_kept() -> None:
    tags: list[Any] = [(271, "s", 0, "Abc", True), (274, "H", 1, 6, True)]
    preview = {"subfiletype": 1, "extratags": tags, "description": "a red barn"}
    found = read(pages((SMALL, preview), (COLOUR, {})))
    assert (found.width, found.height) == (96, 128)  # turned as the preview says
    assert (found.exif, found.description) == (Exif(camera="Abc"), "a red barn")
    turned = read(pages((SMALL, preview), (COLOUR, {"extratags": [(274, "H", 1, 1, True)]})))
    assert (turned.width, turned.height) == (128, 96)


@pytest.mark.parametrize("at", [0, 8, 2**31, 2**32 - 1])
def test_pages_that_lead_astray_end(at: int) -> None:
    first = bytearray(pages((SMALL, {"subfiletype": 1})))
    start = struct.unpack_from("<I", first, 4)[0]
    count = struct.unpack_from("<H", first, start)[0]
    struct.pack_into("<I", first, start + 2 + 12 * count, at)
    assert read(bytes(first)).width == 88


def test_a_cut_tiff_with_a_preview_is_read_as_far_as_it_goes() -> None:
    content = pages((SMALL, {"subfiletype": 1}), (COLOUR, {}))
    found = read(content[:-4000])
    assert (found.width, found.height) == (128, 96)
    assert found.damage is not None
