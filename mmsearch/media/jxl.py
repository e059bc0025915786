"""JPEG XL through pillow-jxl-plugin, an extra: decoded when it is loaded, because the plugin decodes when it opens."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any, BinaryIO

from PIL import Image, ImageFile

from mmsearch.errors import ImageError

_CODESTREAM, _CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_BOXES = 100  # that are looked at for the picture
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, ISO/IEC 18181-1, D.2
_LONG = (9, 13, 18, 30)  # bits of a size, by its first two


def accept(prefix: bytes) -> bool:
    """Whether a file begins like JPEG XL."""
    return prefix.startswith((_CODESTREAM, _CONTAINER))


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL file; its size is known before it is decoded, so that limits come first."""

    format, format_description = "JXL", "JPEG XL"

    def __init__(self, file: BinaryIO, path: str) -> None:
        """``path`` names it in errors.  Raises ImageError where there is no picture in it."""
        self._path = path
        super().__init__(file, "")

    def _open(self) -> None:
        assert self.fp is not None
        size = _size(self.fp)
        if size is None:
            raise ImageError(self._path, "there is no JPEG XL picture in it")
        self._size, self._mode = size, "RGB"

    def load(self) -> Any:
        """Decodes, upright.  Raises ImageError for what the decoder cannot read."""
        if self._im is None:
            from pillow_jxl.JpegXLImagePlugin import JXLImageFile

            assert self.fp is not None
            self.fp.seek(0)
            try:
                inner = JXLImageFile(io.BytesIO(self.fp.read()), "")
                inner.load()
            except (RuntimeError, SyntaxError) as error:  # all that the plugin says of damaged files
                raise ImageError(self._path, "cannot be decoded: the JPEG XL data is damaged") from error
            self._mode, self._size, self.im = inner.mode, inner.size, inner.im
            self.info.update(inner.info)
            if not inner.jpeg:  # of a JPEG inside, EXIF says how it stands; of others that is done
                self._stands_upright()
        return Image.Image.load(self)

    def _stands_upright(self) -> None:
        with contextlib.suppress(Exception):  # damaged EXIF
            exif = Image.Exif()
            exif.load(self.info["exif"])
            exif[0x0112] = 1
            self.info["exif"] = exif.tobytes()


def _size(file: Any) -> tuple[int, int] | None:
    """Width and height of the codestream as its header says; None where there is none."""
    file.seek(0)
    start = file.read(12)
    if not start.startswith(_CODESTREAM):
        _seek_codestream(file)
        start = file.read(12)
    if not start.startswith(_CODESTREAM):
        return None
    bits = int.from_bytes(start[2:].ljust(10, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def length(small: int) -> int:
        return 8 * (take(5) + 1) if small else take(_LONG[take(2)]) + 1

    small = take(1)
    height, ratio = length(small), take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return length(small), height


def _seek_codestream(file: BinaryIO) -> None:
    """Goes to the picture in a container of boxes, where there is one."""
    file.seek(0)
    for _ in range(_BOXES):
        place = file.tell()
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack_from(">I4s", head)
        header = 8
        if size == 1 and len(head) == 16:
            (size,), header = struct.unpack_from(">Q", head, 8), 16
        if kind in (b"jxlc", b"jxlp"):
            file.seek(place + header + (4 if kind == b"jxlp" else 0))
            return
        if size < header:  # 0: to the end of the file
            break
        file.seek(place + size)
