"""TIFF files that Pillow shows wrong: a preview in place of the picture, and samples of more than 8 bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ImageFile, TiffImagePlugin

from mmsearch.media.spliced import size_of, spliced

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _SUB_IFDS = 254, 255, 256, 257, 330
_PLANAR, _ORIENTATION, _PHOTOMETRIC = 284, 274, 262
_REDUCED, _MASK = 1, 4  # bits of the kind of a page

_PAGES = 16  # that are looked at, and as many of those below the first one
_SMALL = 512  # pixels: no longer is the longer side of a first page that is taken for a preview unmarked


@dataclass(frozen=True)
class _Page:
    """A directory of a TIFF, and what it says."""

    at: int  # its place in the file
    width: int
    height: int
    reduced: bool  # marked as a smaller version of another page
    mask: bool


def main_page(file: BinaryIO) -> BinaryIO | None:
    """The file with the picture in place of a preview that stands first; None where the first page is the picture.

    A preview is marked as one, or it is small and there is the same shape at twice its size or more.
    """
    header = _header(file)
    if header is None:
        return None
    pages = list(_pages(file, *header))
    if not pages or not pages[0].width * pages[0].height:
        return None
    first, *others = pages
    better = [one for one in others if not one.reduced and not one.mask and _stands_for(first, one)]
    if not better:
        return None
    best = max(better, key=lambda one: (one.width * one.height, -one.at))
    return _beginning_with(file, header[0], best)


def pages(file: BinaryIO, most: int) -> list[BinaryIO]:
    """A file for each of the pages of a document, at most ``most``; none where the file is one picture.

    A photo with a preview, smaller versions of it, or a mask, is one picture, and so is what has pages below it only.
    """
    header = _header(file)
    if header is None:
        return []
    chain = list(_pages(file, *header, most=most, below=False))
    own = [one for one in chain if not one.reduced and not one.mask and one.width * one.height]
    own = [one for one in own if not any(_stands_for(one, other) for other in own if other is not one)]
    return [_beginning_with(file, header[0], one) for one in own] if len(own) > 1 else []


def _beginning_with(file: BinaryIO, order: str, page: _Page) -> BinaryIO:
    """The file with this page as its first one."""
    file.seek(0)
    return spliced(file, file.read(4) + struct.pack(order + "I", page.at), (8, size_of(file)))


def _stands_for(preview: _Page, picture: _Page) -> bool:
    """Whether the first page is a preview of this one."""
    if picture.width * picture.height <= preview.width * preview.height:
        return False
    if preview.reduced:
        return True
    scale = picture.width / preview.width
    same = abs(scale * preview.height / picture.height - 1) < 0.05
    return same and scale >= 2 and max(preview.width, preview.height) <= _SMALL


def _header(file: BinaryIO) -> tuple[str, int] | None:
    """The order of bytes and the place of the first directory; None for a BigTIFF and for no TIFF."""
    file.seek(0)
    header = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
    if order is None or len(header) < 8:
        return None
    return order, struct.unpack_from(order + "I", header, 4)[0]


def _pages(file: BinaryIO, order: str, at: int, most: int = _PAGES, below: bool = True) -> Iterator[_Page]:
    """The pages, as far as they can be read, then those ``below`` the first one."""
    seen: set[int] = set()
    lower: list[int] = []
    while at and at not in seen and len(seen) < most:
        page, subs, following = _page(file, order, at)
        if page is None:
            break
        lower = lower if seen else subs
        seen.add(at)
        at = following
        yield page
    for at in lower if below else ():
        page, _, _ = _page(file, order, at)
        if page is not None and at not in seen:
            yield page


def _page(file: BinaryIO, order: str, at: int) -> tuple[_Page | None, list[int], int]:
    """A directory, the places of those below it, and that of the next one."""
    try:
        file.seek(at)
        (count,) = struct.unpack(order + "H", file.read(2))
        body = file.read(12 * count + 4)
        values: dict[int, int] = {}
        subs: list[int] = []
        for start in range(0, 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", body, start)
            if number == 1 and kind in (3, 4, 13):
                values[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), body, start + 8)[0]
            if tag == _SUB_IFDS and kind in (4, 13):
                subs = _offsets(file, order, body[start + 8 : start + 12], min(number, _PAGES))
        following = struct.unpack_from(order + "I", body, 12 * count)[0] if len(body) >= 12 * count + 4 else 0
    except (struct.error, OSError, ValueError):
        return None, [], 0
    reduced = bool(values.get(_SUBFILE, 0) & _REDUCED) or values.get(_OLD_SUBFILE) == 2
    mask = bool(values.get(_SUBFILE, 0) & _MASK)
    return _Page(at, values.get(_WIDTH, 0), values.get(_HEIGHT, 0), reduced, mask), subs, following


def _offsets(file: BinaryIO, order: str, value: bytes, number: int) -> list[int]:
    if number > 1:
        file.seek(struct.unpack(order + "I", value)[0])
        value = file.read(4 * number)
    return list(struct.unpack(f"{order}{number}I", value))


def orientation(image: ImageFile.ImageFile) -> int | None:
    """What an opened TIFF says of its page, before Pillow turns it; None where it says nothing."""
    value = image.tag_v2.get(_ORIENTATION) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    return value if isinstance(value, int) else None


def correct(image: TiffImagePlugin.TiffImageFile) -> str | None:
    """Have an opened TIFF decoded as its header says, where Pillow would misread samples of 16 bits and more.

    Of planes of 16 bits that are not compressed it takes each byte for a sample.  What libtiff gives is in the order of
    this machine: of integers and floats Pillow believes it in that of the file.

    Returns None, or what is wrong in words: the header names too few strips for half of the picture, which would be
    black.
    """
    raw_parts = [tile.extents or (0, 0, 0, 0) for tile in image.tile if tile.codec_name == "raw"]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in raw_parts)
    whole = image._tile_size[0] * image._tile_size[1] * (len(image.getbands()) if has_planes(image) else 1)
    if raw_parts and 2 * covered < whole:
        return f"its header names strips for {covered / whole:.0%} of the picture"
    deep = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) == 16
    planes = deep and has_planes(image)
    order = "L" if image.tag_v2.prefix == TiffImagePlugin.II else "B"
    for number, tile in enumerate(image.tile):
        if not isinstance(tile.args, tuple):
            continue
        raw = str(tile.args[0])
        if tile.codec_name == "raw" and planes and len(raw) == 1:
            raw = f"{raw};16{order}"
        elif tile.codec_name == "libtiff" and image.mode in ("I", "F"):
            raw = raw.replace("BS", "NS").replace("BF", "NF").replace("32B", "32N")
        image.tile[number] = tile._replace(args=(raw, *tile.args[1:]))
    return None


def has_planes(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether red, green and blue stand one after the other."""
    return bool(image.tag_v2.get(_PLANAR) == 2)


def white_is_zero(image: object) -> bool:
    """Whether large samples mean dark."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
