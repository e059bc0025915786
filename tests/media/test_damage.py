"""What can be read of damaged pictures is read, what is damaged is said, and what is mostly missing is refused."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from skimage import data

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, prepare
from mmsearch.media.spliced import spliced
from mmsearch.types import Decoded, Exif, Pixels, Preprocess

SQUASH = Preprocess(size=32, resize_mode="squash")
END, METADATA = "the end of the file is missing", "metadata in the file cannot be read"


def photo(side: int = 240) -> Image.Image:
    return Image.fromarray(data.astronaut()).resize((side, side * 2 // 3))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def read(content: bytes, path: str = "x") -> Decoded:
    return decode(io.BytesIO(content), path, SQUASH)


def reason(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(content)
    return caught.value.reason


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def chunk(kind: bytes, body: bytes, check: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body) if check is None else check)
    )


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


# --- cut files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\0\0"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}], ids=["plain", "progressive", "444"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("side", [60, 1200])
def test_a_jpeg_without_its_last_two_bytes_is_whole(mode: str, options: dict[str, Any], end: bytes, side: int) -> None:
    content = encoded(photo(side).convert(mode), "JPEG", quality=90, **options)
    assert content.endswith(b"\xff\xd9")
    found = read(content[:-2] + end)
    np.testing.assert_array_equal(found.pixels, read(content).pixels)
    if mode == "RGB":  # of others libjpeg may be done before it looks for the end
        assert found.damage is not None
        assert found.damage.startswith(END)
    assert read(content).damage is None


def test_a_jpeg_whose_lower_part_is_that_grey_is_whole_all_the_same() -> None:
    image = photo()
    image.paste((128, 128, 128), (0, 40, 240, 160))
    content = encoded(image, "JPEG", quality=90)
    np.testing.assert_array_equal(read(content[:-2]).pixels, read(content).pixels)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "TGA", "PCX", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_of_a_cut_picture_what_is_there_is_read(format: str, mode: str) -> None:
    image = photo().convert(mode)
    try:
        content = encoded(image, format)
    except (OSError, ValueError):
        pytest.skip(f"{format} has no {mode}")
    if mode == "RGBA" and format == "GIF":
        pytest.skip("a GIF with transparency is laid on a ground of its own")
    if mode == "P" and format == "PCX":
        pytest.skip("its colours stand at its end")
    whole, found = read(content, "x.tga"), read(content[: len(content) * 80 // 100], "x.tga")
    assert (found.width, found.height, found.format) == (whole.width, whole.height, whole.format)
    assert found.damage is not None
    share = int(found.damage.removesuffix(" % of the picture is missing"))
    assert 5 <= share <= 45
    upper = 32 * (100 - share) // 100 - 4  # the row of blocks in which a JPEG breaks off is half grey
    if format not in ("BMP", "TGA", "GIF"):  # which begin below, or come in four passes
        assert difference(found.pixels[:upper], whole.pixels[:upper]) < 1


def test_a_share_of_one_percent_is_read_too() -> None:
    content = encoded(photo(), "JPEG", quality=90)
    found = read(content[: len(content) * 99 // 100])
    assert found.damage in (END, "1 % of the picture is missing", "2 % of the picture is missing")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_what_is_mostly_missing_is_refused(format: str, share: float) -> None:
    content = encoded(photo(), format)
    assert "truncated" in reason(content[: int(len(content) * share)])


def test_a_progressive_jpeg_is_read_from_its_second_scan_on() -> None:
    content = encoded(photo(), "JPEG", quality=90, progressive=True)
    starts = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
    coarse = read(content[: starts[2]])
    assert coarse.damage == "the end of the file is missing, and perhaps fine detail with it"
    assert difference(coarse.pixels, read(content).pixels) < 8
    assert "truncated" in reason(content[: starts[0] + 200])


@pytest.mark.parametrize("side", [240, 1200])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["plain", "progressive"])
def test_zeros_in_the_place_of_data_are_missing(options: dict[str, Any], side: int) -> None:
    content = encoded(photo(side), "JPEG", quality=90, **options)
    for share in (60, 80, 95):
        cut = content[: len(content) * share // 100]
        zeroed = read(cut + bytes(len(content) - len(cut)))
        assert zeroed.damage is not None
        assert zeroed.damage == read(cut).damage
        np.testing.assert_array_equal(zeroed.pixels, read(cut).pixels)
    if not options:
        assert reason(content[: len(content) // 5] + bytes(len(content)))


def test_zeros_behind_the_end_are_no_damage() -> None:
    content = encoded(photo(), "JPEG")
    assert read(content + bytes(5_000)).damage is None


def test_black_pictures_are_no_missing_ones() -> None:
    image = photo()
    image.paste(0, (0, 30, 240, 160))
    content = encoded(image, "JPEG", quality=90)
    assert read(content[:-2]).damage == END
    image = photo()
    image.paste(0, (0, 0, 240, 100))
    png = encoded(image, "PNG")
    found = read(png[: len(png) * 9 // 10])
    assert found.damage is not None
    assert int(found.damage.partition(" ")[0]) < 20


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_cut_pictures_come_out_upright(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(photo(), format, exif=exif.tobytes())
    whole, found = read(content), read(content[: len(content) - 600])
    assert (found.width, found.height) == (whole.width, whole.height)
    assert difference(found.pixels, whole.pixels) < 9


def test_pillow_is_not_switched_and_threads_do_not_disturb_each_other() -> None:
    content = encoded(photo(), "JPEG", quality=90)
    cut, wanted = content[:-2], read(content).pixels
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(read, [cut, content] * 20))
    assert all((one.pixels == wanted).all() for one in found)
    assert [one.damage for one in found] == [END, None] * 20
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(cut)).load()


def test_wrong_pixel_data_keeps_what_was_decoded_before_it() -> None:
    content = encoded(photo(), "PNG")
    found = read(content[:-20] + b"\0\0\0\0" + content[-16:])  # the checksum of all pixels
    assert difference(found.pixels, prepare(photo(), SQUASH)) < 4
    assert found.damage is not None
    broken = bytearray(content)
    broken[len(broken) * 3 // 4] ^= 0xFF
    assert read(bytes(broken)).damage is not None


# --- what stands beside the pixels -----------------------------------------------------------------------------------

TEXT = chunk(b"tEXt", b"Description\0a red barn")
SIDE_CHUNKS = {
    "huge-profile": chunk(b"iCCP", b"scanner\0\0" + zlib.compress(random.Random(0).randbytes(2_000_000))),
    "huge-text": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"node " * 300_000)),
    "huge-itxt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"node " * 300_000)),
    "profile-method": chunk(b"iCCP", b"ICC\0\1" + zlib.compress(b"x" * 500)),
    "profile-empty": chunk(b"iCCP", b""),
    "text-crc": chunk(b"tEXt", b"Software\0some program", 1),
    "gamma-crc": chunk(b"gAMA", bytes(4), 1),
    "date-length": chunk(b"tIME", b"\x07"),
    "density-length": chunk(b"pHYs", b"\0\0"),
    "clear-length": chunk(b"tRNS", b"\0"),
}


@pytest.mark.parametrize("name", SIDE_CHUNKS)
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_a_side_chunk_never_costs_a_png(name: str, behind: bool) -> None:
    png = encoded(photo(), "PNG")
    at = len(png) - 12 if behind else 33
    found = read(png[:33] + TEXT + png[33:at] + SIDE_CHUNKS[name] + png[at:])
    np.testing.assert_array_equal(found.pixels, prepare(photo(), SQUASH))
    assert found.description == "a red barn"
    assert found.damage in (None, METADATA)


def test_damaged_metadata_is_noted() -> None:
    png = encoded(photo(), "PNG")
    assert read(png[:33] + SIDE_CHUNKS["text-crc"] + png[33:]).damage == METADATA
    assert read(png[:33] + TEXT + png[33:]).damage is None


@pytest.mark.parametrize(
    "part",
    [
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe"),
        segment(0xED, b"Photoshop 3.0\x008BIM"),
        segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xFE, b"\0\xff" * 999),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of damaged EXIF
def test_a_side_segment_never_costs_a_jpeg(part: bytes) -> None:
    jpeg = encoded(photo(), "JPEG")
    np.testing.assert_array_equal(read(jpeg[:2] + part + jpeg[2:]).pixels, read(jpeg).pixels)


def test_what_is_sound_of_the_metadata_stays() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Abc", 6
    jpeg = encoded(photo(), "JPEG", exif=exif)
    found = read(jpeg[:2] + segment(0xE2, b"ICC_PROFILE\0") + jpeg[2:])
    assert (found.exif, found.width, found.damage) == (Exif(camera="Abc"), 160, METADATA)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("tag", [(271, 5, 100, 2**31), (330, 13, 100, 3), (34853, 9, 2, 2**31 + 5), (700, 4, 2**20, 9)])
def test_a_side_tag_never_costs_a_tiff(tag: tuple[int, int, int, int]) -> None:
    grey = photo(60).convert("L")
    tags = {256: (4, 1, 60), 257: (4, 1, 40), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (3, 1, 1), 278: (4, 1, 40), 279: (4, 1, 2400), tag[0]: tag[1:]}
    directory = b"".join(struct.pack("<HHII", number, *entry) for number, entry in sorted(tags.items()))
    content = b"II*\0" + struct.pack("<I", 2408) + grey.tobytes()
    found = read(content + struct.pack("<H", len(tags)) + directory + bytes(4))
    np.testing.assert_array_equal(found.pixels, prepare(grey, SQUASH))


# --- a file of parts -------------------------------------------------------------------------------------------------


def test_a_file_of_parts_reads_as_these_bytes() -> None:
    content = bytes(range(256)) * 40
    file = spliced(io.BytesIO(content), b"head", (10, 300), b"", (300, 301), (5_000, 9_000), b"tail")
    wanted = b"head" + content[10:301] + content[5_000:9_000] + b"tail"
    assert file.read() == wanted
    assert (file.seek(0, io.SEEK_END), file.read(1)) == (len(wanted), b"")
    rng = random.Random(0)
    for _ in range(300):
        at, size = rng.randrange(len(wanted) + 9), rng.randrange(600)
        file.seek(at)
        assert file.read(size) == wanted[at : at + size]
        assert file.tell() == min(at + size, max(at, len(wanted)))
    with pytest.raises(ValueError, match="negative"):
        file.seek(-1)
    file.seek(10)
    tracemalloc.start()
    assert file.read(2**40) == wanted[10:]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("between", [chunk(b"IDAT", b""), chunk(b"IDAT", b"") + chunk(b"prVt", b"")])
def test_very_many_chunks_are_read_in_one_go(between: bytes) -> None:
    png = encoded(photo(), "PNG")
    content = png[:33] + SIDE_CHUNKS["text-crc"] + between * 20_000 + png[33:]
    np.testing.assert_array_equal(read(content).pixels, prepare(photo(), SQUASH))
