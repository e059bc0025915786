"""Picture files of every kind to pixels; damaged ones to an ImageError that says why."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from skimage import data

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, prepare
from mmsearch.media.modes import to_rgb
from mmsearch.types import Decoded, Exif, Pixels, Preprocess

SMALL = Preprocess(size=8)
SQUASH = Preprocess(size=8, resize_mode="squash")


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(content: bytes, preprocess: Preprocess = SMALL, path: str = "x", max_megapixels: float = 200.0) -> Decoded:
    return decode(io.BytesIO(content), path, preprocess, max_megapixels)


def reason(content: bytes, path: str = "x", max_megapixels: float = 200.0) -> str:
    with pytest.raises(ImageError) as caught:
        decoded(content, path=path, max_megapixels=max_megapixels)
    assert caught.value.path == path
    assert "\n" not in caught.value.reason
    return caught.value.reason


def flat(mode: str, colour: Any, **options: Any) -> Pixels:
    """The one colour that a PNG or TIFF of one colour comes out as."""
    format = "TIFF" if mode in ("CMYK", "YCbCr", "LAB", "F", "I") else "PNG"
    pixels = decoded(encoded(Image.new(mode, (9, 11), colour), format, **options)).pixels
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()  # type: ignore[no-any-return]


def colour_png(width: int, height: int, bits: int, pixel: bytes) -> bytes:
    """A PNG whose header says so, with 8 x 8 pixels in it.  (Pillow writes no 16-bit colour and no false headers.)"""
    row = b"\0" + pixel * 8
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 8)),
        (b"IEND", b""),
    ]:
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return content


@cache
def photo(name: Literal["astronaut", "coffee", "chelsea", "rocket"] = "astronaut") -> Image.Image:
    return Image.fromarray(getattr(data, name)())


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
        ("TGA", {}),
        ("PCX", {}),
        ("DDS", {}),
        ("JPEG2000", {"irreversible": False}),
    ],
)
def test_lossless_formats_give_the_pixels_of_the_original(format: str, options: dict[str, Any]) -> None:
    image = photo().resize((60, 40))
    found = decoded(encoded(image, format, **options), path="x.tga")
    assert (found.width, found.height, found.format, found.exif) == (60, 40, format.lower(), Exif())
    np.testing.assert_array_equal(found.pixels, prepare(image, SMALL))


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "GIF", "HEIF"])
def test_lossy_formats_give_about_the_pixels_of_the_original(format: str) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = photo().resize((60, 40))
    found = decoded(encoded(image, format))
    assert (found.width, found.height, found.format) == (60, 40, format.lower())
    assert difference(found.pixels, prepare(image, SMALL)) < 4


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_tiff_is_read_from_a_file_on_disk(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    image = photo().resize((60, 40))
    image.save(path, compression=compression, exif=b"Exif\0\0" + little_tiff(0x010F, b"Abc\0"))
    with path.open("rb") as file:
        found = decode(file, str(path), SMALL)
    assert found.exif == Exif(camera="Abc")
    assert difference(found.pixels, prepare(image, SMALL)) < 4


def test_the_first_frame_of_an_animation_is_taken() -> None:
    red, blue = Image.new("RGB", (10, 10), "red"), Image.new("RGB", (10, 10), "blue")
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        pixels = decoded(encoded(red, format, save_all=True, append_images=[blue])).pixels
        assert difference(pixels, prepare(red, SMALL)) < 3, format


def test_mpo_gives_its_first_picture() -> None:
    found = decoded(
        encoded(photo(), "MPO", save_all=True, append_images=[photo().transpose(Image.Transpose.ROTATE_90)])
    )
    assert (found.width, found.height, found.format) == (512, 512, "mpo")
    assert difference(found.pixels, prepare(photo(), SMALL)) < 4


def test_an_icon_gives_its_largest_picture() -> None:
    found = decoded(encoded(photo(), "ICO", sizes=[(16, 16), (64, 64)]))
    assert (found.width, found.height, found.format) == (64, 64, "ico")


def test_the_suffix_does_not_matter() -> None:
    assert decoded(encoded(photo(), "PNG"), path="a.jpg").format == "png"


def test_the_file_is_read_from_its_beginning_and_left_open() -> None:
    file = io.BytesIO(encoded(photo(), "PNG"))
    file.seek(100)
    assert decode(file, "x", SMALL).format == "png"
    assert not file.closed


def test_a_file_is_not_confused_with_another_of_its_path(tmp_path: Path) -> None:
    grey, other = Image.new("L", (10, 10), 50), Image.new("L", (10, 10), 200)
    other.save(tmp_path / "a.bmp")  # raw pixels, which Pillow likes to map from the named file
    assert decoded(encoded(grey, "BMP"), path=str(tmp_path / "a.bmp")).pixels[0, 0].tolist() == [50, 50, 50]


# --- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("RGB", (10, 20, 30), [10, 20, 30]),
        ("L", 77, [77, 77, 77]),
        ("1", 1, [255, 255, 255]),
        ("LA", (100, 255), [100, 100, 100]),
        ("LA", (100, 0), [255, 255, 255]),
        ("RGBA", (200, 0, 0, 255), [200, 0, 0]),
        ("RGBA", (200, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
        ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
        ("I;16", 0x7FFF, [127, 127, 127]),
        ("F", 3.5, [0, 0, 0]),
    ],
)
def test_modes(mode: str, colour: Any, rgb: list[int]) -> None:
    assert flat(mode, colour) == rgb


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "HSV", "CMYK", "RGBX", "P", "PA", "RGBa", "La", "1"])
def test_rare_modes_look_like_the_original(mode: str) -> None:
    image = photo()
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        odd = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
        assert odd is not None
    elif mode in ("PA", "RGBa", "La"):
        odd = image.convert({"PA": "P", "RGBa": "RGBA", "La": "LA"}[mode]).convert(mode)
    else:
        odd = image.convert(mode)
    assert odd.mode == mode
    wanted = image.convert("L").convert("RGB") if mode in ("1", "La") else image
    assert difference(prepare(to_rgb(odd), SMALL), prepare(wanted, SMALL)) < 6


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (10, 10), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    for format in ("PNG", "GIF"):
        assert decoded(encoded(image, format)).pixels[0, 0].tolist() == [0, 0, 255]
        assert decoded(encoded(image, format, transparency=1)).pixels[0, 0].tolist() == [255, 255, 255]
    half = encoded(image, "PNG", transparency=bytes([255, 51]))
    assert decoded(half).pixels[0, 0].tolist() == [204, 204, 255]


def test_a_transparent_colour_of_grey_or_rgb_is_laid_on_white() -> None:
    assert flat("L", 7, transparency=7) == [255, 255, 255]
    assert flat("L", 7, transparency=8) == [7, 7, 7]
    assert flat("RGB", (1, 2, 3), transparency=(1, 2, 3)) == [255, 255, 255]


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    image = photo()
    found = decoded(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert difference(found.pixels, prepare(image, SMALL)) < 3


def test_sixteen_bits_are_divided_by_256() -> None:
    values = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    wanted = (values >> 8).astype(np.uint8)
    for format in ("PNG", "TIFF", "PPM"):
        pixels = decoded(encoded(Image.fromarray(values), format)).pixels
        np.testing.assert_array_equal(pixels, np.dstack([wanted] * 3), format)


def test_sixteen_bits_of_colour_are_divided_by_256() -> None:
    content = colour_png(8, 8, 16, struct.pack(">3H", 0x1234, 0xABCD, 0xFFFF))
    assert decoded(content).pixels[3, 3].tolist() == [0x12, 0xAB, 0xFF]


def test_twelve_bits_are_divided_by_16() -> None:
    entries = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]  # tag, value
    content = b"II*\0" + struct.pack("<I", 12) + b"\xff\xf8\x00\0"  # 4095 and 2048
    content += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 3, 1, n) for tag, n in entries)
    with Image.open(io.BytesIO(content + bytes(4))) as image:
        assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [255, 128]


def test_integers_and_floats_are_stretched_from_black_to_white() -> None:
    values = np.array([[-1000, 0], [500, 1000]], np.int32)
    assert np.asarray(to_rgb(Image.fromarray(values)))[:, :, 0].tolist() == [[0, 128], [191, 255]]
    floats = np.array([[np.nan, -np.inf, 0.25], [0.5, 0.75, np.inf]], np.float32)
    assert np.asarray(to_rgb(Image.fromarray(floats)))[:, :, 0].tolist() == [[0, 0, 0], [128, 255, 255]]
    nothing = np.full((2, 2), np.nan, np.float32)
    assert np.asarray(to_rgb(Image.fromarray(nothing)))[:, :, 0].tolist() == [[0, 0], [0, 0]]
    extreme = np.array([[-3.4e38, 3.4e38]], np.float32)
    assert np.asarray(to_rgb(Image.fromarray(extreme)))[:, :, 0].tolist() == [[0, 255]]


# --- upright ---------------------------------------------------------------------------------------------------------

UPRIGHT_TO_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_upright(format: str, orientation: int) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    upright = photo("rocket").resize((96, 64))
    method = UPRIGHT_TO_STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Abc"
    found = decoded(encoded(stored, format, exif=exif.tobytes()), SQUASH)
    assert (found.width, found.height, found.exif) == (96, 64, Exif(camera="Abc"))
    assert difference(found.pixels, prepare(upright, SQUASH)) < 4


def little_tiff(tag: int, value: bytes, kind: int = 2) -> bytes:
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", tag, kind, len(value)) + value + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0" + little_tiff(0x0112, b"6\0\0\0"),  # a text
        b"Exif\0\0" + little_tiff(0x0112, b"\x06\x06\x06\x06", kind=1),  # four numbers
        b"Exif\0\0" + little_tiff(0x0112, b"\x09", kind=1).ljust(26, b"\0"),  # 9
    ],
)
def test_a_senseless_orientation_is_upright(exif: bytes) -> None:
    found = decoded(encoded(photo().resize((30, 20)), "PNG", exif=exif))
    assert (found.width, found.height) == (30, 20)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of damaged EXIF
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense" * 9])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_picture(exif: bytes, format: str) -> None:
    found = decoded(encoded(photo().resize((30, 20)), format, exif=exif))
    assert (found.width, found.height, found.exif) == (30, 20, Exif())


def test_exif_and_full_size_are_reported() -> None:
    exif = Image.Exif()
    exif[0x0132], exif[0x0112] = "2019:07:14 18:30:05", 6
    found = decoded(encoded(photo("coffee"), "JPEG", exif=exif))
    assert (found.width, found.height) == (photo("coffee").height, photo("coffee").width)  # turned by a quarter
    assert (found.format, found.exif) == ("jpeg", Exif(taken_at=datetime(2019, 7, 14, 18, 30, 5)))


# --- decoding JPEG at a smaller scale --------------------------------------------------------------------------------


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    resize_mode: Literal["shortest", "longest", "squash"], turned: bool
) -> None:
    image = photo().resize((1536, 1024), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = encoded(image.transpose(Image.Transpose.ROTATE_90) if turned else image, "JPEG", quality=90, exif=exif)
    preprocess = Preprocess(size=96, resize_mode=resize_mode)

    found = decoded(content, preprocess)
    assert (found.width, found.height) == (1536, 1024)
    full = Image.open(io.BytesIO(content)).convert("RGB")
    full = full.transpose(Image.Transpose.ROTATE_270) if turned else full
    assert difference(found.pixels, prepare(full, preprocess)) < 1.0


@pytest.mark.parametrize(
    ("resize_mode", "size", "scale"),
    [
        ("shortest", (1536, 1024), 4),  # 256 is more than 2 x 96 on the shorter side, 128 is not
        ("shortest", (1024, 1536), 4),
        ("shortest", (768, 767), 2),
        ("shortest", (4000, 191), 1),
        ("squash", (4000, 400), 2),
        ("longest", (1536, 1024), 8),
        ("longest", (400, 1535), 4),
        ("longest", (1536, 3), 2),  # Pillow leaves no side without a pixel
        ("longest", (191, 100), 1),
    ],
)
def test_the_scale_leaves_twice_the_pixels_that_are_needed(
    resize_mode: Literal["shortest", "longest", "squash"], size: tuple[int, int], scale: int
) -> None:
    from mmsearch.media.decode import _draft
    from mmsearch.media.opening import open_picture

    image = open_picture(io.BytesIO(encoded(Image.new("RGB", size), "JPEG")), "x").image
    _draft(image, Preprocess(size=96, resize_mode=resize_mode))
    image.load()
    assert image.size == (-(-size[0] // scale), -(-size[1] // scale))


# --- limits ----------------------------------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    assert reason(colour_png(12_000, 30_000, 8, b"rgb")) == (
        "12000 x 30000 pixels are 360 megapixels, over the limit of 200; raise max_megapixels"
    )
    assert reason(encoded(photo(), "JPEG"), max_megapixels=0.25) == (
        "512 x 512 pixels are 0.3 megapixels, over the limit of 0.25; raise max_megapixels"
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "PPM", "MPO", "JPEG2000", "AVIF", "HEIF", "TGA"])
def test_the_limit_of_pillow_plays_no_part_and_is_left_alone(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = photo("chelsea")
    content = encoded(image, format)
    wanted = decoded(content, path="x.tga")
    for limit in (100_000, 100):  # of 135,300 pixels: Pillow would warn at the first, refuse at the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: decoded(content, path="x.tga"), range(8)))
        assert limit == Image.MAX_IMAGE_PIXELS
        for one in found:
            assert (one.width, one.height) == image.size
            np.testing.assert_array_equal(one.pixels, wanted.pixels)


def test_where_a_format_insists_on_the_limit_of_pillow_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(photo(), "ICO", sizes=[(64, 64)])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert reason(content) == "more pixels than Pillow allows in this format"


@pytest.mark.parametrize("size", [(1, 65_000), (65_000, 1), (3, 20_000)])
def test_a_strip_is_decoded(size: tuple[int, int]) -> None:
    for format in ("PNG", "JPEG"):
        found = decoded(encoded(Image.new("RGB", size, (9, 9, 9)), format))
        assert (found.width, found.height, found.pixels.shape, found.pixels.max()) == (*size, (8, 8, 3), 9)


# --- what is no picture ----------------------------------------------------------------------------------------------


def test_an_empty_file() -> None:
    assert reason(b"") == "the file is empty"


@pytest.mark.parametrize("content", [b"x", b"hello, world\n", bytes(5000), b"<html>404</html>"])
@pytest.mark.parametrize("path", ["a.jpg", "a.tga", "caf\udce9\n.png"])
def test_what_is_no_picture(content: bytes, path: str) -> None:
    assert reason(content, path) == "not a picture that can be read"


def test_an_eps_file_is_not_opened() -> None:
    assert reason(encoded(photo(), "EPS"), "a.eps") == "not a picture that can be read"


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_cut_file_of_a_format_that_comes_as_a_whole_is_refused(format: str, share: float) -> None:
    content = encoded(photo(), format)
    assert reason(content[: int(len(content) * share)])


def test_a_truncated_file_is_called_so() -> None:
    for format in ("JPEG", "PNG", "TIFF", "BMP"):
        content = encoded(photo(), format)
        assert reason(content[: len(content) // 3]) == "the file is truncated"
        assert reason(content[:6]) == ("not a picture that can be read" if format == "PNG" else "the file is truncated")


def test_a_damaged_file_says_what_the_decoder_said() -> None:
    content = encoded(photo(), "PNG").replace(b"IHDR", b"IHDS")
    assert reason(content) == "cannot be decoded: broken PNG file (bad header checksum in b'IHDS')"


def test_an_error_of_the_disk_is_not_blamed_on_the_picture() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(ImageError) as caught:
        decode(Failing(b"x"), "a.jpg", SMALL)
    assert str(caught.value) == "a.jpg: cannot be read: Input/output error"


def test_heic_without_its_plugin_names_the_extra(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path = tmp_path / "a.heic"
    photo().save(path, "HEIF")
    program = (
        "import io, sys\n"
        "sys.modules['pillow_heif'] = None\n"  # what a missing module looks like
        "from mmsearch.errors import ImageError\n"
        "from mmsearch.media.decode import decode\n"
        "from mmsearch.types import Preprocess\n"
        "try:\n"
        "    decode(open(sys.argv[1], 'rb'), 'a.heic', Preprocess(size=8))\n"
        "except ImageError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert run.stdout == "a.heic: HEIC needs the extra: pip install 'mmsearch[heic]'\n"


def test_heic_is_registered_when_the_first_one_comes(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / "a.heic"
    photo().save(path, "HEIF")
    program = (
        "import sys\n"
        "from mmsearch.media.decode import decode\n"
        "from mmsearch.types import Preprocess\n"
        "assert 'pillow_heif' not in sys.modules\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    print(decode(file, 'a.heic', Preprocess(size=8)).format)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert run.stdout == "heif\n"


@cache
def seeds() -> list[bytes]:
    image = photo().resize((24, 16))
    formats = ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "ICO", "DDS", "PCX", "TGA"]
    return [encoded(image, format) for format in formats] + [encoded(image, "TIFF", compression="tiff_lzw")]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes_give_pixels_or_an_image_error(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.one_of(st.binary(max_size=200), st.sampled_from(seeds()))))
    for position in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=8)):
        content[position : position + 1] = data.draw(st.binary(min_size=1, max_size=1))
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(ImageError):
        found = decoded(bytes(content), path=data.draw(st.sampled_from(["a.jpg", "a.tga"])), max_megapixels=1.0)
        assert found.pixels.shape == (8, 8, 3)
        assert found.pixels.dtype == np.uint8
