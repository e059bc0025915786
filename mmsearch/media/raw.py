"""Camera raw files: the picture that the camera has put into them, or else a development of half the size.

LibRaw reads them, through rawpy, an extra.  It comes before Pillow, which takes many of them for TIFFs of a small
preview.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, BinaryIO

from PIL import Image, ImageFile, JpegImagePlugin

from mmsearch.errors import ImageError
from mmsearch.media.formats import RAW_SUFFIXES, needs_extra
from mmsearch.media.spliced import size_of, spliced

LEAST = 512  # pixels of the shorter side of a preview that is taken for the picture
_FLIPS = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's ``sizes.flip`` -> orientation of EXIF
_OTHER_FORMATS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")  # pictures that are only called like raw files
_TIFF = (b"II*\0", b"MM\0*")
_LIKE_TIFF = (b"IIU\0", b"IIRO", b"IIRS")  # of Panasonic and Olympus: TIFFs but for their first bytes


class RawImageFile(ImageFile.ImageFile):
    """A raw file that is developed when it is loaded, to half its size; of Pillow's kind, so that it goes its way."""

    format, format_description = "RAW", "Camera raw"

    def __init__(self, file: BinaryIO, raw: Any, path: str) -> None:
        """``raw`` is what rawpy opened, ``path`` names it in errors."""
        self._raw, self._path = raw, path
        super().__init__(file, "")

    def _open(self) -> None:
        self._size, self._mode = raw_size(self._raw), "RGB"

    def load(self) -> Any:
        """Develops with the camera's white balance and leaves the picture as it lies on the sensor; or ImageError."""
        if self._im is None:
            try:
                with contextlib.closing(self._raw):
                    pixels = self._raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)
            except Exception as error:  # of LibRaw
                raise ImageError(self._path, f"cannot be decoded: {said(error)}") from error
            developed = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
            self._size, self.im = developed.size, developed.im
        return Image.Image.load(self)


def is_raw(path: str, prefix: bytes) -> bool:
    """Whether a file of this name that begins so is for LibRaw."""
    return os.path.splitext(path)[1].lower() in RAW_SUFFIXES and not prefix.startswith(_OTHER_FORMATS)


def raw_size(raw: Any) -> tuple[int, int]:
    """Width and height of the picture as it lies on the sensor."""
    return raw.sizes.width, raw.sizes.height


def open_raw(file: BinaryIO, path: str) -> tuple[ImageFile.ImageFile, Image.Image, int, tuple[int, int]]:
    """The picture of a raw file, not yet read; what has its metadata; its orientation as in EXIF; and its full size.

    The preview inside is taken where its shorter side has ``LEAST`` pixels.  Raises ImageError.
    """
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(path, needs_extra("raw"), retry=True) from error
    file.seek(0)
    try:
        raw = rawpy.imread(file)
        size, orientation = raw_size(raw), _FLIPS.get(raw.sizes.flip, 1)
        preview = _preview(raw)
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise ImageError(path, f"cannot be decoded: {said(error)}") from error
    if preview is None:
        image: ImageFile.ImageFile = RawImageFile(file, raw, path)
    else:
        raw.close()
        image = preview
    return image, _about(file, image), orientation, size


def said(error: Exception) -> str:
    """What LibRaw says is wrong: rawpy gives it as bytes."""
    told = error.args[0] if error.args else ""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told) or type(error).__name__


def _preview(raw: Any) -> ImageFile.ImageFile | None:
    """The JPEG in a raw file, where it is large enough."""
    with contextlib.suppress(Exception):  # there is none, or it is damaged
        found = raw.extract_thumb()
        if found.format.name == "JPEG":
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(found.data), "")
            if min(image.size) >= LEAST:
                return image
    return None


def _about(file: BinaryIO, image: ImageFile.ImageFile) -> Image.Image:
    """What carries the metadata: of the file where it is a kind of TIFF, else of the preview."""
    about = Image.new("RGB", (1, 1))
    about.format, about.info = "RAW", image.info
    file.seek(0)
    magic = file.read(4)
    like = spliced(file, _TIFF[0], (4, size_of(file))) if magic in _LIKE_TIFF else file if magic in _TIFF else None
    exif = Image.Exif()
    if like is not None:
        with contextlib.suppress(Exception):  # damaged
            like.seek(0)
            exif.load_from_fp(like)
            about.info = {name: value for name, value in image.info.items() if name != "exif"}
    elif "exif" in image.info:
        exif.load(image.info["exif"])
    about._exif = exif
    return about
