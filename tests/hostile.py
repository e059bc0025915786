"""A folder of hostile and odd files: pictures that lie, break off or blow up, and paths that lead astray.

All is made by code, in seconds, and is small on disk.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin
from raw_files import dng
from skimage import data

Expected = Literal["found", "skipped", "ignored"]  # searchable; listed with a reason; neither


@dataclass(frozen=True)
class Case:
    """One file or path, and what must come of it."""

    id: str
    path: str  # absolute; bytes that are no UTF-8 are surrogates
    expected: Expected


@dataclass
class Corpus:
    """What was made.  What this system cannot make, such as names that are no UTF-8, is left out."""

    folder: Path
    cases: list[Case] = field(default_factory=list)

    def paths(self, expected: Expected) -> set[str]:
        return {case.path for case in self.cases if case.expected == expected}

    def add(self, id: str, expected: Expected, content: bytes, name: str) -> None:
        """A file of that content; ``name`` is relative to the folder."""
        path = self.folder / name
        with contextlib.suppress(OSError, ValueError):  # a name that this file system does not take
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():  # where "é" is one letter however it is written
                return
            path.write_bytes(content)
            self.cases.append(Case(id, str(path), expected))

    def note(self, id: str, expected: Expected, name: str, make: Callable[[Path], object]) -> None:
        """A path that ``make`` makes; nothing where the system refuses."""
        path = self.folder / name
        with contextlib.suppress(OSError, AttributeError, NotImplementedError):
            make(path)
            self.cases.append(Case(id, str(path), expected))


def make(folder: Path) -> Corpus:
    """All kinds, in ``folder``; links of the corpus lead into a second folder beside it, ``folder``-outside."""
    folder.mkdir(parents=True)
    corpus = Corpus(folder)
    for add in (*_FILES, _bombs, _names, _places, _links):
        add(corpus)
    return corpus


def contents() -> list[bytes]:
    """The contents of all files of the corpus that are no paths of interest: seeds to be damaged further."""
    found: list[bytes] = []

    class Kept(Corpus):
        def add(self, id: str, expected: Expected, content: bytes, name: str) -> None:
            found.append(content)

    for add in _FILES:
        add(Kept(Path()))
    return found


# --- parts -----------------------------------------------------------------------------------------------------------


Name = Literal["astronaut", "coffee", "chelsea", "rocket"]


@cache
def _scaled(name: Name, side: int) -> Image.Image:
    return Image.fromarray(getattr(data, name)()).resize((side, side * 2 // 3))


def _photo(name: Name = "astronaut", side: int = 120) -> Image.Image:
    return _scaled(name, side).copy()  # saving leaves options of its format behind


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def _png(width: int, height: int, rows: bytes, bits: int = 8, colour: int = 0, *more: bytes) -> bytes:
    """A PNG of these compressed rows; ``colour`` is 0 for grey, 2 for RGB, 6 for RGBA."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _compressed(size: int) -> bytes:
    """``size`` zeros compressed: a block of them, which stands for itself, again and again, and the rest."""
    block, rest, check = bytes(2**20), bytes(size & (2**20 - 1)), 1
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)  # without the sum that goes behind
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(size >> 20):
        check = zlib.adler32(block, check)
    end = packer.compress(rest) + packer.flush()
    return b"\x78\xda" + packed * (size >> 20) + end + zlib.adler32(rest, check).to_bytes(4, "big")


def _with_chunk(png: bytes, *chunks: bytes) -> bytes:
    """``chunks`` behind the header of a PNG."""
    return png[:33] + b"".join(chunks) + png[33:]


_SIZES = {1: "B", 3: "H", 4: "I"}  # types of TIFF values


def _tiff(
    tags: dict[int, tuple[int, int | list[int]]],
    strip: bytes = b"",
    next_ifd: int = 0,
    far: dict[int, tuple[int, int, int]] | None = None,
) -> bytes:
    """A little-endian TIFF of one directory; a tag has its type and its value or values.  Tag 273 is set here.

    ``far`` are tags of a type and count, and where their values are said to be.
    """
    tags = {**tags, 273: (4, 8)}
    start = 8 + len(strip) + len(strip) % 2
    beyond = start + 2 + 12 * (len(tags) + len(far or {})) + 4
    entries, values_behind = {tag: struct.pack("<HHII", tag, *entry) for tag, entry in (far or {}).items()}, b""
    for tag, (kind, value) in tags.items():
        values = value if isinstance(value, list) else [value]
        packed = struct.pack(f"<{len(values)}{_SIZES[kind]}", *values)
        if len(packed) > 4:
            packed, values_behind = struct.pack("<I", beyond + len(values_behind)), values_behind + packed
        entries[tag] = struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    directory += struct.pack("<I", next_ifd) + values_behind
    return b"II*\0" + struct.pack("<I", start) + strip.ljust(len(strip) + len(strip) % 2, b"\0") + directory


def _grey_tiff(width: int, height: int, strip: bytes, compression: int = 1, **more: Any) -> bytes:
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, compression), 262: (3, 1), 277: (3, 1)}
    return _tiff({**tags, 278: (4, height), 279: (4, len(strip)), **more.pop("tags", {})}, strip, **more)


# --- kinds -----------------------------------------------------------------------------------------------------------


def _cut(corpus: Corpus) -> None:
    kinds = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "AVIF": "avif"}
    for format, suffix in {**kinds, "JPEG2000": "jp2"}.items():
        content = _encoded(_photo(), format)
        for percent in (1, 30, 70, 97):
            cut = content[: max(12, len(content) * percent // 100)]
            read = percent >= 70 and suffix not in ("webp", "avif", "jp2")
            corpus.add(f"cut-{suffix}-{percent}", "found" if read else "skipped", cut, f"cut/{percent}.{suffix}")
    content = _encoded(_photo("coffee"), "JPEG")
    for name, options in (("plain", {}), ("progressive", {"progressive": True}), ("grey", {"quality": 30})):
        jpeg = _encoded(_photo("coffee").convert("L" if name == "grey" else "RGB"), "JPEG", **options)
        corpus.add(f"jpeg-no-end-{name}", "found", jpeg[:-2], f"cut/no-end-{name}.jpg")
        corpus.add(f"jpeg-zero-end-{name}", "found", jpeg[:-2] + b"\0\0", f"cut/zero-end-{name}.jpg")
        if name != "progressive":  # of which a fifth is the whole picture, without detail
            corpus.add(
                f"jpeg-zeros-{name}", "skipped", jpeg[: len(jpeg) // 5] + bytes(len(jpeg)), f"cut/zeros-{name}.jpg"
            )
    corpus.add("jpeg-garbage-behind", "found", content + bytes(range(256)) * 40, "cut/longer.jpg")
    corpus.add("jpeg-garbage-before", "skipped", b"\0" * 7 + content, "cut/before.jpg")
    png = _encoded(_photo(), "PNG")
    corpus.add("png-data-crc", "found", png[:-20] + b"\0\0\0\0" + png[-16:], "cut/data-crc.png")
    corpus.add("png-header-crc", "skipped", png[:29] + b"\0\0\0\0" + png[33:], "cut/header-crc.png")
    corpus.add("png-chunk-crc", "found", _with_chunk(png, _chunk(b"gAMA", bytes(4), crc=1)), "cut/gamma-crc.png")
    corpus.add("png-chunk-length", "skipped", _with_chunk(png, b"\xff\xff\xff\xffIDAT"), "cut/length.png")
    corpus.add("png-no-size", "skipped", _png(0, 0, zlib.compress(b"\0")), "cut/no-size.png")
    corpus.add("png-no-data", "skipped", _png(8, 8, b""), "cut/no-data.png")
    corpus.add("jpeg-no-tables", "skipped", b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9", "cut/no-tables.jpg")
    gif = bytearray(_encoded(_photo(), "GIF"))
    gif[gif.index(b",") + 9] = 0x80 | 7
    corpus.add("gif-false-palette", "skipped", bytes(gif[: len(gif) // 3]), "cut/palette.gif")


def _no_pictures(corpus: Corpus) -> None:
    svg = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/'
    svg += b'2000/svg"><style>@font-face{font-family:x;src:url(http://127.0.0.1:9/x)}</style><text>&x;</text></svg>'
    for id, expected, content, name in [
        ("zero", "skipped", b"", "no/zero.jpg"),
        ("one-byte", "skipped", b"\xff", "no/one.jpg"),
        ("zeros", "skipped", bytes(100_000), "no/zeros.tif"),
        ("text", "skipped", b"hello, world\n" * 99, "no/text.jpg"),
        ("html", "skipped", b"<!doctype html><title>404</title>", "no/page.png"),
        ("pdf", "skipped", b"%PDF-1.7\n" + bytes(99), "no/paper.gif"),
        ("zip", "skipped", b"PK\3\4" + bytes(99), "no/archive.webp"),
        ("svg", "ignored", svg, "no/drawing.svg"),
        ("svg-as-png", "skipped", svg, "no/drawing.png"),
        ("eps-as-jpg", "skipped", _encoded(_photo(), "EPS"), "no/eps.jpg"),
        ("eps", "ignored", _encoded(_photo(), "EPS"), "no/eps.eps"),
        ("text-file", "ignored", b"words", "no/notes.md"),
        ("no-suffix", "ignored", _encoded(_photo(), "PNG"), "no/picture"),
        ("suffix-alone", "ignored", _encoded(_photo(), "PNG"), "no/.jpg"),
        ("png-as-jpg", "found", _encoded(_photo("rocket"), "PNG"), "no/really-png.jpg"),
        ("jpeg-as-tif", "found", _encoded(_photo("rocket"), "JPEG"), "no/really-jpeg.tif"),
        ("webp-as-gif", "found", _encoded(_photo("rocket"), "WEBP"), "no/really-webp.gif"),
        ("polyglot", "found", _encoded(_photo("coffee"), "JPEG") + b"PK\3\4" + b"<script>", "no/polyglot.jpg"),
        ("tga-noise", "skipped", bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8)), "no/noise.tga"),
    ]:
        corpus.add(id, expected, content, name)  # type: ignore[arg-type]


def _bombs(corpus: Corpus) -> None:
    """Few bytes that claim, or really hold, very many pixels."""
    for side in (50_000, 2**31 - 1):
        corpus.add(f"png-claims-{side}", "skipped", _png(side, side, zlib.compress(bytes(99))), f"bombs/{side}.png")
    for side in (14_000, 50_000, 2**32 - 1):
        corpus.add(f"tiff-claims-{side}", "skipped", _grey_tiff(side, side, bytes(99)), f"bombs/{side}.tif")
    corpus.add("png-claims-within", "skipped", _png(14_000, 14_000, zlib.compress(bytes(99))), "bombs/within.png")
    corpus.add("png-real-above", "skipped", _png(15_000, 15_000, _compressed(15_000 * 15_001)), "bombs/real.png")
    corpus.add("png-real-below", "found", _png(9_000, 9_000, _compressed(9_000 * 9_001)), "bombs/large.png")
    rgba = _png(5_000, 5_000, _compressed(5_000 * 20_001), 8, 6)
    corpus.add("png-large-rgba", "found", rgba, "bombs/large-rgba.png")
    corpus.add("tiff-real-above", "skipped", _grey_tiff(15_000, 15_000, _compressed(225 * 10**6), 8), "bombs/real.tif")
    corpus.add("tiff-real-below", "found", _grey_tiff(6_000, 6_000, _compressed(36 * 10**6), 8), "bombs/large.tif")
    floats = {258: (3, 32), 339: (3, 3)}
    corpus.add(
        "tiff-large-float",
        "found",
        _grey_tiff(7_000, 7_000, _compressed(4 * 49 * 10**6), 8, tags=floats),
        "bombs/large-float.tif",
    )
    corpus.add("png-more-than-claimed", "found", _png(8, 8, _compressed(50 * 10**6)), "bombs/longer.png")
    for format, suffix, at, kind in (
        ("GIF", "gif", 6, "<HH"), ("BMP", "bmp", 18, "<ii"), ("PCX", "pcx", 8, "<HH"), ("DDS", "dds", 12, "<II"),
    ):  # fmt: skip
        claims = bytearray(_encoded(_photo(), format))
        struct.pack_into(kind, claims, at, 50_000, 50_000)
        corpus.add(f"{suffix}-claims", "skipped", bytes(claims), f"bombs/claims.{suffix}")
    for side, expected in ((50_000, "skipped"), (4_000, "found")):  # OpenJPEG fills up what is missing
        claims = bytearray(_encoded(_photo(), "JPEG2000"))
        size = claims.index(b"\xff\x4f\xff\x51") + 8
        for at in (claims.index(b"ihdr") + 4, size, size + 16):  # the picture, and that it is one tile
            struct.pack_into(">II", claims, at, side, side)
        corpus.add(f"jp2-claims-{side}", expected, bytes(claims), f"bombs/{side}.jp2")  # type: ignore[arg-type]
    corpus.add("ppm-claims", "skipped", b"P6 50000 50000 255\n" + bytes(99), "bombs/claims.ppm")
    corpus.add("ppm-absurd", "skipped", b"P6 " + b"9" * 5000 + b" 1 255\n" + bytes(99), "bombs/absurd.ppm")
    jpeg = bytearray(_encoded(_photo(), "JPEG"))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", 65_500, 65_500)
    corpus.add("jpeg-claims", "skipped", bytes(jpeg), "bombs/claims.jpg")
    corpus.add(
        "webp-large", "found", _encoded(Image.new("RGB", (5_000, 5_000), "red"), "WEBP", method=0), "bombs/large.webp"
    )
    corpus.add("jpeg-scans", "skipped", _many_scans(3_000, 5_000), "bombs/scans.jpg")
    corpus.add("jpeg-scans-few", "found", _encoded(_photo("chelsea"), "JPEG", progressive=True), "bombs/few-scans.jpg")


def _many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour that goes over all its pixels again and again."""
    content = _encoded(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    starts = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
    first = content.rindex(b"\xff\xc4", 0, starts[1])  # the table of the second scan, and the scan
    again = content[first : content.index(b"\xff\xc4", starts[1])]
    return content[:first] + again * scans + content[first:]


def _strips(corpus: Corpus) -> None:
    row = zlib.compress(bytes(100_001))
    corpus.add("wide-png", "found", _png(100_000, 1, row), "strips/wide.png")
    corpus.add("tall-png", "found", _png(1, 100_000, zlib.compress(bytes(200_000))), "strips/tall.png")
    corpus.add("wide-tiff", "found", _grey_tiff(100_000, 1, bytes(100_000)), "strips/wide.tif")
    corpus.add("tall-tiff", "found", _grey_tiff(1, 100_000, bytes(100_000)), "strips/tall.tif")
    corpus.add("wide-bmp", "found", _encoded(Image.new("L", (100_000, 1), 9), "BMP"), "strips/wide.bmp")
    corpus.add("wide-jpeg", "found", _encoded(Image.new("L", (65_500, 1), 9), "JPEG"), "strips/wide.jpg")
    corpus.add("wide-gif", "found", _encoded(Image.new("L", (65_500, 1), 9), "GIF"), "strips/wide.gif")
    corpus.add("million-png", "found", _png(10**6, 1, zlib.compress(bytes(10**6 + 1))), "strips/million.png")
    corpus.add("one-pixel", "found", _encoded(Image.new("RGB", (1, 1), "blue"), "PNG"), "strips/one.png")


def _ifd(*entries: tuple[int, int, int, int], next_ifd: int = 0) -> bytes:
    """EXIF of one directory: tag, type, count, value."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", next_ifd)


def _exif(corpus: Corpus) -> None:
    kinds = {
        "garbage": b"Exif\0\0" + b"\xde\xad\xbe\xef" * 500,
        "short": b"Exif\0\0II*\0",
        "far": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "recursive": _ifd((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), next_ifd=8),
        "interop-loop": _ifd((0x8769, 4, 1, 8), (0xA005, 4, 1, 8)),
        "huge-count": _ifd((0x010F, 2, 2**32 - 1, 8), (0x9003, 5, 2**31, 0)),
        "many-entries": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x010F, 2, 60_000, 8) * 5_000,
        "zero-denominators": _ifd((0x8825, 4, 1, 26)) + struct.pack("<HHHII", 1, 2, 5, 3, 44) + bytes(40),
        "maker-note": _ifd((0x927C, 7, 60_000, 26)) + bytes(60_000),
        **{f"orientation-{n}": _ifd((0x0112, 3, 1, n)) for n in (0, 9, 255, 65_535)},
        "orientation-text": _ifd((0x0112, 2, 4, 0x36363636)),
        "orientation-many": _ifd((0x0112, 3, 1000, 8)),
    }
    for name, exif in kinds.items():
        for format, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
            content = _encoded(_photo("chelsea", 96), format, exif=exif)
            corpus.add(f"exif-{name}-{suffix}", "found", content, f"exif/{name}.{suffix}")


def _frames(corpus: Corpus) -> None:
    first, others = _photo("coffee", 90), [_photo("rocket", 90)] * 3
    for format, suffix in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "apng"), ("TIFF", "tif"), ("AVIF", "avif")):
        content = _encoded(first, format, save_all=True, append_images=others)
        corpus.add(f"animated-{suffix}", "found", content, f"frames/animated.{suffix}")
    mpo = _encoded(first, "MPO", save_all=True, append_images=others)
    corpus.add("mpo", "found", mpo, "frames/plain.mpo")
    index = mpo.index(b"MPF\0") + 4
    where = mpo.index(struct.pack("<HH", 0xB002, 7), index)  # the table of pictures: size, offset, ...
    (table,) = struct.unpack_from("<I", mpo, where + 8)
    for name, offset in (("loop", 0), ("far", 2**32 - 1)):
        spoilt = bytearray(mpo)
        for entry in range(1, 4):
            struct.pack_into("<I", spoilt, index + table + 16 * entry + 8, offset)
        corpus.add(f"mpo-{name}", "found", bytes(spoilt), f"frames/{name}.mpo")
    garbage = mpo[:index] + b"\xff" * 30 + mpo[index + 30 :]
    corpus.add("mpo-garbage", "found", garbage, "frames/garbage.mpo")
    still = _encoded(first, "PNG")
    control = _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    corpus.add("apng-many-frames", "found", _with_chunk(still, control), "frames/many.png")
    dark = Image.new("RGB", first.size)
    for format, suffix in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("AVIF", "avif")):
        fade = _encoded(dark, format, save_all=True, append_images=[Image.blend(dark, first, n / 9) for n in range(9)])
        corpus.add(f"fade-{suffix}", "found", fade, f"frames/fade.{suffix}")
    cut = _encoded(dark, "GIF", save_all=True, append_images=others)
    corpus.add("fade-cut", "found", cut[: len(cut) // 2], "frames/fade-cut.gif")
    loop = _encoded(Image.new("P", (9, 9), 1), "GIF", save_all=True, append_images=[Image.new("P", (9, 9), 2)] * 500)
    corpus.add("gif-500-frames", "found", loop, "frames/500.gif")


def _metadata(corpus: Corpus) -> None:
    png, ten = _encoded(_photo("rocket"), "PNG"), 10 * 2**20
    bomb = _compressed(100 * 2**20)
    random = np.random.default_rng(0).integers(0, 256, 3 * 2**20, np.uint8).tobytes()
    photo = _photo("astronaut", 90)
    jpeg = _encoded(photo, "JPEG")
    text = PngImagePlugin.PngInfo()
    for number in range(2_000):
        text.add_text(f"key {number}", "x" * 50)
    entities = (
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
    )
    for id, expected, content, name in [
        ("png-zTXt-bomb", "found", _with_chunk(png, _chunk(b"zTXt", b"Comment\0\0" + bomb)), "ztxt.png"),
        ("png-iTXt-bomb", "found", _with_chunk(png, _chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)), "itxt.png"),
        ("png-iCCP-bomb", "found", _with_chunk(png, _chunk(b"iCCP", b"icc\0\0" + bomb)), "iccp.png"),
        ("png-iCCP-garbage", "found", _with_chunk(png, _chunk(b"iCCP", b"icc\0\0" + b"\xde\xad" * 99)), "iccp-2.png"),
        ("png-long-text", "found", _with_chunk(png, _chunk(b"tEXt", b"Comment\0" + b"x" * ten)), "text.png"),
        ("png-many-texts", "found", _encoded(photo, "PNG", pnginfo=text), "texts.png"),
        ("png-text-no-end", "found", _with_chunk(png, _chunk(b"tEXt", b"")), "empty-text.png"),
        ("png-bad-eXIf", "found", _with_chunk(png, _chunk(b"eXIf", b"\xff" * 99)), "exif.png"),
        ("jpeg-icc-huge", "found", _encoded(photo, "JPEG", icc_profile=random), "icc.jpg"),
        ("png-iCCP-method", "found", _with_chunk(png, _chunk(b"iCCP", b"icc\0\1" + zlib.compress(b"x"))), "iccp-3.png"),
        ("png-iCCP-large", "found", _with_chunk(png, _chunk(b"iCCP", b"a\0\0" + zlib.compress(random))), "iccp-4.png"),
        ("png-text-crc", "found", _with_chunk(png, _chunk(b"tEXt", b"Comment\0x", crc=1)), "text-crc.png"),
        ("png-date", "found", _with_chunk(png, _chunk(b"tIME", b"\7")), "date.png"),
        ("png-zTXt-behind", "found", png[:-12] + _chunk(b"zTXt", b"a\0\0" + bomb) + png[-12:], "ztxt-behind.png"),
        *(
            (f"jpeg-short-{id}", "found", _with_segment(jpeg, marker, body), f"short-{id}.jpg")
            for id, marker, body in [
                ("icc", 0xE2, b"ICC_PROFILE\0"),
                ("jfif", 0xE0, b"JFIF\0"),
                ("adobe", 0xEE, b"Adobe"),
            ]
        ),
        ("tiff-far-tag", "found", _grey_tiff(8, 8, bytes(range(64)), far={271: (5, 100, 2**31)}), "far-tag.tif"),
        ("tiff-gps-negative", "found", _grey_tiff(8, 8, bytes(range(64)), far={34853: (9, 2, 2**32 - 9)}), "gps.tif"),
        ("jpeg-icc-garbage", "found", _encoded(photo, "JPEG", icc_profile=b"nonsense"), "icc-2.jpg"),
        ("webp-icc-huge", "found", _encoded(photo, "WEBP", icc_profile=random), "icc.webp"),
        ("jpeg-comment", "found", _encoded(photo, "JPEG", comment=b"\0\xff\n\x1b[31m" * 7_000), "comment.jpg"),
        ("jpeg-xmp-entities", "found", _encoded(photo, "JPEG", xmp=entities), "xmp.jpg"),
        ("jpeg-xmp-nested", "found", _encoded(photo, "JPEG", xmp=_nested_xmp(60_000)), "xmp-nested.jpg"),
        ("jpeg-xmp-address", "found", _encoded(photo, "JPEG", xmp=_long_address(60_000)), "xmp-address.jpg"),
        ("webp-xmp-nested", "found", _encoded(photo, "WEBP", xmp=_nested_xmp(10**6)), "xmp-nested.webp"),
        ("webp-xmp-address", "found", _encoded(photo, "WEBP", xmp=_long_address(10**6)), "xmp-address.webp"),
        ("beside-xmp-address", "ignored", _long_address(7 * 10**6), "xmp.xmp"),
        ("beside-json-deep", "ignored", b"[" * 10**6, "xmp.jpg.json"),
        ("jpeg-iptc", "found", _with_iptc(_encoded(photo, "JPEG")), "iptc.jpg"),
    ]:
        corpus.add(id, expected, content, f"metadata/{name}")  # type: ignore[arg-type]


def _nested_xmp(size: int) -> bytes:
    """Titles in titles, and a list in the innermost: each title has each value of the list."""
    titles, values = size // 50, size // 40
    head = b'<r xmlns:d="http://purl.org/dc/elements/1.1/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    return head + b"<d:title>" * titles + b"<rdf:li>x</rdf:li>" * values + b"</d:title>" * titles + b"</r>"


def _long_address(size: int) -> bytes:
    """Half of it an address, half of it attributes whose names begin with that."""
    names = " ".join(f'p:a{number}=""' for number in range(size // 24))
    return f'<r xmlns:p="{"u" * (size // 2)}" {names}/>'.encode()


def _with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def _with_iptc(jpeg: bytes) -> bytes:
    """IPTC whose lengths lead out of it."""
    block = b"Photoshop 3.0\08BIM\x04\x04\0\0\xff\xff\xff\xff\x1c\x02\x78\xff\xffcaption"
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def _lab(photo: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(photo, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    return lab


def _modes(corpus: Corpus) -> None:
    photo = _photo("astronaut", 96)
    grey: NDArray[np.float32] = np.asarray(photo.convert("L")).astype(np.float32)
    odd = grey.copy()
    odd[:9], odd[9:18], odd[18:27] = np.nan, np.inf, -3e38
    cmyk = _encoded(photo.convert("CMYK"), "JPEG")
    adobe = cmyk.index(b"Adobe")
    short = _png(8, 8, zlib.compress((b"\0" + b"\xff" * 8) * 8), 8, 3, _chunk(b"PLTE", b"rgb"))
    for id, content, name in [
        ("cmyk", cmyk, "cmyk.jpg"),
        ("ycck", cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :], "ycck.jpg"),
        ("grey-16", _encoded(Image.fromarray((grey * 200).astype(np.uint16)), "PNG"), "grey-16.png"),
        ("rgb-16", _png(96, 64, zlib.compress(bytes(577 * 64)), 16, 2), "rgb-16.png"),
        ("palette", _encoded(photo.convert("P"), "PNG", transparency=bytes(range(256))), "palette.png"),
        ("palette-short", short, "short.png"),
        ("one-bit", _encoded(photo.convert("1"), "PNG"), "1.png"),
        ("one-bit-fax", _encoded(photo.convert("1"), "TIFF", compression="group4"), "fax.tif"),
        ("lab", _encoded(_lab(photo), "TIFF"), "lab.tif"),
        ("float", _encoded(Image.fromarray(grey), "TIFF"), "float.tif"),
        ("float-odd", _encoded(Image.fromarray(odd), "TIFF"), "nan.tif"),
        ("int-32", _encoded(Image.fromarray(grey.astype(np.int32) * 9**8), "TIFF"), "int.tif"),
        ("ycbcr", _encoded(photo.convert("YCbCr"), "TIFF"), "ycbcr.tif"),
        ("transparent", _encoded(Image.new("RGBA", (9, 9)), "PNG"), "nothing.png"),
        ("grey-alpha", _encoded(photo.convert("LA"), "WEBP", lossless=True), "la.webp"),
        ("icon", _encoded(photo, "ICO"), "icon.ico"),
        ("pfm", _encoded(Image.fromarray(grey), "PPM"), "float.pfm"),
    ]:
        corpus.add(f"mode-{id}", "found", content, f"modes/{name}")


def _tiffs(corpus: Corpus) -> None:
    grey, strips = bytes(range(64)), struct.pack("<HHI", 273, 4, 1)
    tiles = _grey_tiff(8, 8, grey, tags={322: (4, 2**31 - 16), 323: (4, 2**31 - 16), 324: (4, 8)})
    deep = np.arange(64, dtype="<u2") * 60  # 12 bits in 16
    preview = _grey_tiff(8, 8, grey, tags={254: (4, 1)}, next_ifd=8 + 64)  # of itself
    planes = {258: (3, [16] * 3), 262: (3, 2), 277: (3, 3), 284: (3, 2), 279: (4, [128] * 3)}
    kinds: list[tuple[str, Expected, bytes]] = [
        ("twelve-in-sixteen", "found", _grey_tiff(8, 8, deep.tobytes(), tags={258: (3, 16)})),
        ("white-is-zero-16", "found", _grey_tiff(8, 8, deep.tobytes(), tags={258: (3, 16), 262: (3, 0)})),
        ("planes-one-strip", "skipped", _grey_tiff(8, 8, bytes(range(192)) * 2, tags=planes)),
        ("preview-of-itself", "found", preview),
        ("preview-sub-loop", "found", _grey_tiff(8, 8, grey, tags={254: (4, 1), 330: (4, [72] * 99)})),
        ("preview-sub-far", "found", _grey_tiff(8, 8, grey, tags={254: (4, 1), 330: (4, [2**32 - 1] * 2**14)})),
        ("ifd-loop", "found", _grey_tiff(8, 8, grey, next_ifd=8 + 64)),
        ("ifd-far", "found", _grey_tiff(8, 8, grey, next_ifd=2**32 - 1)),
        ("unknown-tags", "found", _grey_tiff(8, 8, grey, tags=dict.fromkeys(range(60_000, 60_040), (3, 1)))),
        ("unknown-tags-lzw", "found", _unknown_tags(_encoded(_photo(), "TIFF", compression="tiff_lzw"))),
        ("huge-count", "skipped", _grey_tiff(8, 8, grey).replace(strips, struct.pack("<HHI", 273, 4, 2**31))),
        ("no-strips", "skipped", _grey_tiff(8, 8, grey).replace(strips, struct.pack("<HHI", 280, 4, 1))),
        ("deflate-garbage", "skipped", _grey_tiff(8, 8, b"\xde\xad\xbe\xef" * 16, 8)),
        ("lzw-garbage", "skipped", _grey_tiff(64, 64, b"\xde\xad\xbe\xef" * 16, 5)),
        ("jpeg-garbage", "skipped", _grey_tiff(64, 64, b"\xff\xd8\xff\xd9" * 16, 7)),
        ("fax-garbage", "skipped", _grey_tiff(64, 64, b"\xff\0" * 16, 99)),
        ("unknown-compression", "skipped", _grey_tiff(8, 8, grey, 31_337)),
        ("thousand-samples", "skipped", _grey_tiff(8, 8, grey, tags={277: (3, 1000), 258: (3, [8] * 1000)})),
        ("tile-huge", "skipped", tiles.replace(strips, struct.pack("<HHI", 280, 4, 1))),
    ]
    for id, expected, content in kinds:
        corpus.add(f"tiff-{id}", expected, content, f"tiffs/{id}.tif")


def _other_formats(corpus: Corpus) -> None:
    """Camera raw files and JPEG XL, where their libraries are there, and Photoshop files."""
    photo = _photo("rocket", 96)
    flat = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 64, 96, 8, 3) + bytes(12) + bytes(2)
    flat += np.asarray(photo).transpose(2, 0, 1).tobytes()
    claims = flat[:14] + struct.pack(">II", 50_000, 50_000) + flat[22:]
    far = flat[:30] + struct.pack(">I", 2**31) + flat[34:]
    for id, expected, content in [
        ("whole", "found", flat), ("claims", "skipped", claims), ("cut", "skipped", flat[:60]), ("far", "skipped", far),
    ]:  # fmt: skip
        corpus.add(f"psd-{id}", expected, content, f"psd/{id}.psd")  # type: ignore[arg-type]
    if importlib.util.find_spec("rawpy") is not None:
        shot = dng(photo.resize((600, 520)))
        size, far = shot.rindex(struct.pack("<HHII", 256, 4, 1, 600)), struct.pack("<IHHII", 50_000, 257, 4, 1, 50_000)
        for id, expected, content, suffix in [
            ("whole", "found", shot, "dng"),
            ("preview", "found", dng(photo, photo.resize((800, 600))), "dng"),
            ("claims", "skipped", shot[: size + 8] + far + shot[size + 24 :], "dng"),
            ("cut", "skipped", shot[: len(shot) // 2], "dng"),
            ("zeros", "skipped", b"II*\0" + bytes(5_000), "nef"),
            ("words", "skipped", b"words" * 99, "cr2"),
            ("really-jpeg", "found", _encoded(photo, "JPEG"), "arw"),
        ]:
            corpus.add(f"raw-{id}", expected, content, f"raw/{id}.{suffix}")  # type: ignore[arg-type]
    if importlib.util.find_spec("pillow_jxl") is not None:
        import pillow_jxl  # noqa: F401 - teaches Pillow to write it

        jxl, bare = (_encoded(photo, "JXL", use_container=one) for one in (True, False))
        huge = b"\xff\x0a" + (0b11_0 | (2**30 - 1) << 3 | 1 << 33).to_bytes(6, "little") + bare[8:]
        for id, expected, content in [
            ("whole", "found", jxl), ("bare", "found", bare), ("cut", "skipped", jxl[: len(jxl) // 2]),
            ("claims", "skipped", huge), ("boxes", "skipped", jxl[:12] + struct.pack(">I4s", 8, b"free") * 500),
            ("no-end", "skipped", jxl[:12]),
        ]:  # fmt: skip
            corpus.add(f"jxl-{id}", expected, content, f"jxl/{id}.jxl")  # type: ignore[arg-type]


def _unknown_tags(tiff: bytes) -> bytes:
    """The directory of a TIFF anew, at its end, with tags that libtiff knows nothing of."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    entries = tiff[at + 2 : at + 2 + 12 * count]
    entries += b"".join(struct.pack("<HHII", tag, 3, 1, 1) for tag in range(60_000, 60_009))
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + struct.pack("<H", count + 9) + entries + bytes(4)


def _names(corpus: Corpus) -> None:
    photo = _encoded(_photo("chelsea", 60), "JPEG")
    for id, name in {
        "newline": "a\nb\n.jpg",
        "emoji": "🏝️ été 中文 עברית.jpg",
        "control": "\x1b[31mred\a\b\x7f\r.jpg",
        "not-utf-8": os.fsdecode(b"caf\xe9 \xff\xfe.jpg"),
        "half-surrogate": os.fsdecode(b"\xed\xa0\x80.jpg"),
        "longest": "n" * 251 + ".jpg",
        "longest-umlauts": "ü" * 125 + ".jpg",
        "dash": "-rf --help.jpg",
        "spaces": "  .jpg ".rstrip(),
        "quotes": "'\"`$(reboot);&|<>*?.jpg",
        "upper": "IMG.JPG",
        "two-suffixes": "x.txt.jpeg",
        "right-to-left": "\u202egpj.exe.jpg",
        "percent": "%s%n%00.jpg",
        "composed": "caf\u00e9.jpg",
        "decomposed": "cafe\u0301.jpg",
        "glob": "[a-z]{1,2}.jpg",
    }.items():
        corpus.add(f"name-{id}", "found", photo + id.encode(), f"names/{name}")


def _places(corpus: Corpus) -> None:
    photo = _encoded(_photo("coffee", 60), "JPEG")
    corpus.add("folder-named-jpg", "found", photo, "places/folder.jpg/inside.jpg")
    corpus.add("folder-not-utf-8", "found", photo, os.fsdecode(b"places/\xff\xfe/inside.jpg"))
    corpus.add("hidden-folder", "ignored", photo, "places/.hidden/inside.jpg")
    corpus.add("hidden-file", "ignored", photo, "places/.hidden.jpg")
    corpus.add("junk-folder", "ignored", photo, "places/@eaDir/inside.jpg")
    corpus.add("deep", "found", photo, "places/" + "d/" * 200 + "deep.jpg")
    room = 4_000 - len(os.fsencode(corpus.folder))
    corpus.add("deepest", "found", photo, "places/" + ("l" * 200 + "/") * (room // 201) + "deep.jpg")
    with contextlib.suppress(OSError, NotImplementedError):
        corpus.cases.append(Case("too-deep", _too_deep(corpus.folder / "places/beyond"), "skipped"))
    corpus.add("unreadable", "found", photo, "places/unreadable.jpg")
    os.chmod(corpus.folder / "places/unreadable.jpg", 0)
    corpus.add("in-unreadable", "found", photo, "places/locked/inside.jpg")
    os.chmod(corpus.folder / "places/locked", 0)
    if not os.access(corpus.folder / "places/locked", os.R_OK):  # nothing is closed to root
        readable = [case for case in corpus.cases if case.id not in ("unreadable", "in-unreadable")]
        locked = Case("locked", str(corpus.folder / "places/locked"), "skipped")
        corpus.cases = [*readable, locked, Case("unreadable", str(corpus.folder / "places/unreadable.jpg"), "skipped")]
    corpus.note("fifo", "skipped", "places/fifo.jpg", os.mkfifo)
    corpus.note("socket", "skipped", "places/socket.jpg", _socket)
    for id, seconds in (("future", 2**33), ("past", -(2**31))):
        corpus.add(id, "found", photo, f"places/{id}.jpg")
        os.utime(corpus.folder / f"places/{id}.jpg", (seconds, seconds))


def _too_deep(path: Path) -> str:
    """Folders in folders until their path is longer than Linux takes (4,095 bytes); the first of these."""
    path.mkdir()
    whole, inner = str(path), os.open(path, os.O_RDONLY)
    try:
        while len(os.fsencode(whole)) < 4_096:
            whole += "/" + 200 * "b"
            os.mkdir(200 * "b", dir_fd=inner)
            before, inner = inner, os.open(200 * "b", os.O_RDONLY, dir_fd=inner)
            os.close(before)
    finally:
        os.close(inner)
    return whole


def _socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(before)


def _links(corpus: Corpus) -> None:
    outside = corpus.folder.parent / f"{corpus.folder.name}-outside"
    outside.mkdir()
    photo = _photo("rocket", 70)
    photo.save(outside / "photo.jpg")
    (outside / "more").mkdir()
    photo.save(outside / "more/inside.png")
    (corpus.folder / "links").mkdir()
    photo.save(corpus.folder / "links/original.jpg")
    corpus.note("original", "found", "links/original.jpg", lambda path: None)
    corpus.note("hard-link", "found", "links/hard.jpg", lambda path: os.link(path.parent / "original.jpg", path))
    links: list[tuple[str, Expected, str, str | Path]] = [
        ("link", "ignored", "soft.jpg", "original.jpg"),  # listed by its real path
        ("link-out", "found", "out.jpg", outside / "photo.jpg"),
        ("link-zero", "skipped", "zero.jpg", "/dev/zero"),
        ("link-random", "skipped", "random.png", "/dev/random"),
        ("link-null", "skipped", "null.jpg", "/dev/null"),
        ("link-dangling", "skipped", "dangling.jpg", "nowhere.jpg"),
        ("link-itself", "skipped", "itself.jpg", "itself.jpg"),
        ("link-long", "skipped", "long.jpg", "x" * 300),
        ("link-up", "ignored", "up", ".."),
        ("link-here", "ignored", "here", "."),
        ("link-root", "ignored", ".root", "/"),
        ("link-folder-out", "ignored", "outside", outside / "more"),
    ]
    for id, expected, name, target in links:
        corpus.note(id, expected, f"links/{name}", partial(os.symlink, target))
    corpus.cases.append(Case("in-link-folder-out", str(corpus.folder / "links/outside/inside.png"), "found"))


_FILES = (_cut, _no_pictures, _strips, _exif, _frames, _metadata, _modes, _tiffs, _other_formats)
