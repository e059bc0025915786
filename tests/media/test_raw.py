"""Camera raw files: the preview inside where it is large enough, else a development; upright, with metadata."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_files import dng
from skimage import data

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, prepare, upright
from mmsearch.media.raw import LEAST
from mmsearch.types import Decoded, Preprocess

pytest.importorskip("rawpy")
SQUASH = Preprocess(size=32, resize_mode="squash")
PHOTO = Image.fromarray(data.astronaut()).resize((800, 600))
OTHER = Image.fromarray(data.coffee()).resize((800, 600))
TURNED = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}


def read(content: bytes, path: str = "x.dng") -> Decoded:
    return decode(io.BytesIO(content), path, SQUASH)


def away(found: Decoded, wanted: Image.Image) -> float:
    return float(np.abs(found.pixels.astype(int) - prepare(wanted, SQUASH)).mean())


def reason(content: bytes, path: str = "x.dng") -> str:
    with pytest.raises(ImageError) as caught:
        read(content, path)
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".dng", ".NEF", ".cr2", ".arw"])
def test_a_large_preview_is_taken(suffix: str) -> None:
    found = read(dng(PHOTO, OTHER.resize((LEAST * 4 // 3, LEAST))), f"x{suffix}")
    assert away(found, OTHER) < 4
    assert (found.width, found.height, found.format, found.damage) == (800, 600, "raw", None)


@pytest.mark.parametrize("preview", [None, OTHER.resize((256, 192)), OTHER.resize((1000, LEAST - 1))])
def test_else_the_picture_is_developed(preview: Image.Image | None) -> None:
    found = read(dng(PHOTO, preview))
    assert away(found, PHOTO) < 14  # brighter, as LibRaw likes it
    assert away(found, OTHER) > 40
    assert (found.width, found.height, found.format) == (800, 600, "raw")


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("preview", [None, PHOTO.resize((800, 600))], ids=["developed", "preview"])
def test_it_comes_out_upright(preview: Image.Image | None, orientation: int) -> None:
    method = TURNED[orientation]
    wanted = PHOTO if method is None else PHOTO.transpose(method)
    found = read(dng(PHOTO, preview, orientation))
    assert (found.width, found.height) == wanted.size
    assert away(found, wanted) < 14


def test_what_the_camera_said_is_kept() -> None:
    for preview in (None, OTHER.resize((800, 600))):
        exif = read(dng(PHOTO, preview, camera="Nikon D90", taken="2019:07:14 18:30:05")).exif
        assert (exif.camera, exif.taken_at) == ("Nikon D90", datetime(2019, 7, 14, 18, 30, 5))


def test_limits_hold_for_the_whole_picture() -> None:
    with pytest.raises(ImageError, match=r"0\.5 megapixels, over the limit of 0\.4"):
        decode(io.BytesIO(dng(PHOTO, OTHER.resize((600, 512)))), "x.dng", SQUASH, 0.4)


def test_a_picture_that_is_only_called_like_a_raw_file() -> None:
    buffer = io.BytesIO()
    PHOTO.save(buffer, "JPEG")
    assert read(buffer.getvalue(), "x.nef").format == "jpeg"


@pytest.mark.parametrize("content", [b"II*\0" + bytes(5000), b"words", bytes(999), dng(PHOTO)[:9000]])
def test_what_cannot_be_read_is_refused_in_words(content: bytes) -> None:
    assert reason(content).startswith("cannot be decoded: ")
    assert "b'" not in reason(content)


def test_thumbnails_are_made_of_it() -> None:
    shown = upright(io.BytesIO(dng(PHOTO, None, 6)), "x.dng", 60)
    assert shown.size == (45, 60)


def test_without_its_library_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(dng(PHOTO))
    program = (
        "import sys\n"
        "sys.modules['rawpy'] = None\n"  # what a missing module looks like
        "from mmsearch.errors import ImageError\n"
        "from mmsearch.media.decode import decode\n"
        "from mmsearch.types import Preprocess\n"
        "try:\n"
        "    decode(open(sys.argv[1], 'rb'), 'a.dng', Preprocess(size=8))\n"
        "except ImageError as error:\n"
        "    print(error, error.retry)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.dng"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "a.dng: a raw file needs the extra: pip install 'mmsearch[raw]' True\n"
