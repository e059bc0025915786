"""Every suffix that is said to be read is read; the others that matter are counted; docs/formats.md says the same."""

from __future__ import annotations

import io
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import made_for
from PIL import Image
from raw_files import dng
from skimage import data
from sounds import sound

from mmsearch.errors import ImageError
from mmsearch.media import formats
from mmsearch.media.decode import decode, prepare
from mmsearch.media.discover import walk
from mmsearch.media.formats import FORMATS, PASSED_OVER, SOUND_FORMATS, SUFFIXES, Format, counted, picture_suffixes
from mmsearch.query.fields import FORMATS as TYPES
from mmsearch.types import Decoded, Found, Pixels, Preprocess

ROOT = Path(__file__).parent.parent.parent
SQUASH = Preprocess(size=32, resize_mode="squash")
PHOTO = Image.fromarray(data.astronaut()).resize((120, 90))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def read(content: bytes, path: str = "x") -> Decoded:
    return decode(io.BytesIO(content), path, SQUASH)


def reason(content: bytes, path: str = "x") -> str:
    with pytest.raises(ImageError) as caught:
        read(content, path)
    return caught.value.reason


def away(found: Pixels, wanted: Image.Image) -> float:
    return float(np.abs(found.astype(int) - prepare(wanted, SQUASH)).mean())


# --- the table -------------------------------------------------------------------------------------------------------


def test_no_suffix_stands_twice() -> None:
    every = [suffix for one in FORMATS for suffix in one.suffixes]
    every += [suffix for suffixes in PASSED_OVER.values() for suffix in suffixes]
    assert len(every) == len(set(every))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in every)


@pytest.mark.parametrize("one", FORMATS, ids=[one.name for one in FORMATS])
def test_every_suffix_is_read_as_what_it_is_said_to_be(one: Format) -> None:
    if one.module is not None:
        pytest.importorskip(one.module)
    if one.name == "heif":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if one.name == "raw":
        content = dng(PHOTO)
    elif one.name == "psd":
        content = psd(np.asarray(PHOTO))
    elif one in SOUND_FORMATS:
        content = sound(one.suffixes[-1])
    elif one.extra == "video":
        content = made_for(one.name)
    else:
        several = {"save_all": True, "append_images": [PHOTO]} if one.name == "mpo" else {}
        content = encoded(PHOTO, one.name.upper(), **several)
    for suffix in one.suffixes:
        assert read(content, f"x{suffix}").format == one.name
        assert TYPES[suffix[1:]] == one.name


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of docs/formats.md."""
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    part = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:3] == "| `"]


def suffixes(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`(\.[^`]+)`", cell))


def test_the_page_about_formats_has_the_same_suffixes_and_libraries() -> None:
    said = {suffixes(cells[0]): cells[2] for cells in rows("What is read")}
    readers = {one.suffixes: one.reader + (f", `mmsearch[{one.extra}]`" if one.extra else "") for one in FORMATS}
    assert said == readers
    assert all(len(cells) == 4 and all(cells) for cells in rows("What is read"))  # what is lost is said of each
    assert {suffixes(cells[0]) for cells in rows("What is passed over")} == set(PASSED_OVER.values())


# --- what is passed over ---------------------------------------------------------------------------------------------


def test_what_is_passed_over_is_counted_in_words() -> None:
    assert counted({".nef": 3, ".dng": 1, ".jxl": 1, ".mp4": 1}) == "4 raw files, 1 JXL, 1 video"
    assert counted({".mov": 1200}) == "1,200 videos"


def test_a_walk_passes_over_what_it_cannot_read_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "b.NEF", "c.jxl", "d.mp4", "e.txt", "f", ".g.mp4", "sub/h.MOV", "@eaDir/i.mp4", "out/j.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for module in ("rawpy", "pillow_jxl", "av"):
        monkeypatch.setitem(sys.modules, module, None)  # what a missing module looks like
    passed = set[str]()
    found = [item for item in walk(str(tmp_path), ["out"], passed) if isinstance(item, Found)]
    assert [Path(item.path).name for item in found] == ["a.jpg"]
    assert {Path(path).name for path in passed} == {"b.NEF", "c.jxl", "d.mp4", "h.MOV"}


def test_extras_are_read_only_where_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with_extras = SUFFIXES.union(*(one.suffixes for one in FORMATS))
    for one in FORMATS:
        if one.module is not None:
            pytest.importorskip(one.module)
    assert picture_suffixes() == with_extras
    for one in FORMATS:
        if one.module is not None:
            monkeypatch.setitem(sys.modules, one.module, None)
    assert picture_suffixes() == SUFFIXES
    assert formats.counted_suffixes() >= formats.RAW_SUFFIXES | formats.JXL_SUFFIXES | {".mp4", ".pdf"}


# --- JPEG XL ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def jxl() -> None:
    pytest.importorskip("pillow_jxl")


@pytest.mark.usefixtures("jxl")
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (120, 90), (1920, 1080), (700, 513), (5000, 3), (3, 8193)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int], container: bool) -> None:
    from mmsearch.media.jxl import JxlImageFile

    content = encoded(PHOTO.resize(size), "JXL", use_container=container, effort=1)
    assert JxlImageFile(io.BytesIO(content), "").size == size
    assert read(content).pixels.shape == (32, 32, 3)
    with pytest.raises(ImageError, match="over the limit"):
        decode(io.BytesIO(content), "x", SQUASH, size[0] * size[1] / 1e6 - 1e-6)


@pytest.mark.usefixtures("jxl")
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_a_jpeg_xl_gives_its_pixels(mode: str) -> None:
    found = read(encoded(PHOTO.convert(mode), "JXL", lossless=True))
    assert (found.width, found.height, found.format) == (120, 90, "jxl")
    assert away(found.pixels, PHOTO.convert(mode).convert("RGB")) < 1


@pytest.mark.usefixtures("jxl")
def test_a_jpeg_xl_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Abc"
    found = read(encoded(PHOTO, "JXL", exif=exif.tobytes(), use_container=True))
    assert (found.width, found.height, found.exif.camera) == (120, 90, "Abc")  # the codestream says how it stands
    PHOTO.save(tmp_path / "a.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "a.jpg") as jpeg:
        inside = encoded(jpeg, "JXL", lossless_jpeg=True)
    found = read(inside)
    assert (found.width, found.height, found.exif.camera) == (90, 120, "Abc")  # here the JPEG does
    assert away(found.pixels, PHOTO.transpose(Image.Transpose.ROTATE_270)) < 4


@pytest.mark.usefixtures("jxl")
@pytest.mark.parametrize("container", [False, True])
def test_a_damaged_jpeg_xl_is_refused_in_words(container: bool) -> None:
    content = encoded(PHOTO, "JXL", use_container=container)
    for cut in (0.2, 0.6, 0.95):
        assert reason(content[: int(len(content) * cut)]) in (
            "cannot be decoded: the JPEG XL data is damaged",
            "there is no JPEG XL picture in it",
        )
    assert "JPEG XL" in reason(content[:12] + bytes(500))


def test_a_jpeg_xl_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert reason(b"\xff\x0a" + bytes(99)) == "JPEG XL needs the extra: pip install 'mmsearch[jxl]'"


# --- Photoshop -------------------------------------------------------------------------------------------------------


def psd(pixels: Pixels, composite: bool = True, layers: int | None = None) -> bytes:
    """A Photoshop file of 8 bits; the count of its layers is below 0 where the fourth channel is transparency."""
    height, width, channels = pixels.shape
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8, 3)
    version = struct.pack(">I?I", 1, composite, 0)
    resources = b"8BIM" + struct.pack(">HH", 1057, 0) + struct.pack(">I", len(version)) + version + b"\0"
    block = b"" if layers is None else struct.pack(">Ih", 2, layers)
    body = header + bytes(4) + struct.pack(">I", len(resources)) + resources
    body += struct.pack(">I", len(block)) + block + bytes(2)
    return body + pixels.transpose(2, 0, 1).tobytes()


def test_of_a_photoshop_file_the_composite_is_read() -> None:
    found = read(psd(np.asarray(PHOTO)))
    assert (found.width, found.height, found.format) == (120, 90, "psd")
    assert away(found.pixels, PHOTO) < 1


def test_a_photoshop_file_without_a_composite_is_refused() -> None:
    assert reason(psd(np.asarray(PHOTO), composite=False)) == (
        "there is no picture of all layers in it: save it with maximum compatibility"
    )


def test_a_saved_mask_is_no_transparency() -> None:
    four = np.dstack([np.asarray(PHOTO), np.zeros((90, 120), np.uint8)])
    assert away(read(psd(four, layers=2)).pixels, PHOTO) < 1
    assert read(psd(four, layers=-2)).pixels.min() == 255  # all clear, on white
